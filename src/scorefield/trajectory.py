"""`Trajectory`: frames of one molecule in independent chains, whatever made them.

Reference MD, independent samples and Langevin output share this type, so that every comparison is Trajectory against
Trajectory.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from .errors import InputError
from .molecule import Molecule


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Frames in time order within each chain; chains are independent of each other.

    Attributes: `positions` (n_frames, n_beads, 3) in nm, the chains one after another (may be a read-only memory map);
    `chain_lengths` in frames, summing to n_frames; `temperature` in K; `interval` between the frames of a chain in ps,
    None for independent samples or where time order was lost; `weights` (n_frames,) for reweighted data, or None.
    Raises InputError if shapes disagree, or temperature, interval or a weight is out of range.
    """

    molecule: Molecule
    positions: Float[np.ndarray, "f n 3"]
    chain_lengths: tuple[int, ...]
    temperature: float
    interval: float | None = None
    weights: Float[np.ndarray, " f"] | None = None

    def __post_init__(self) -> None:
        shape = (sum(self.chain_lengths), self.molecule.n_beads, 3)
        if self.positions.shape != shape:
            raise InputError(f"positions have shape {self.positions.shape}, but chains and molecule ask for {shape}")
        if any(length < 0 for length in self.chain_lengths):
            raise InputError(f"a chain cannot have {min(self.chain_lengths)} frames")
        if not 0 < self.temperature < math.inf:
            raise InputError(f"temperature must be a positive number of K, not {self.temperature}")
        if self.interval is not None and not 0 < self.interval < math.inf:
            raise InputError(f"interval between frames must be a positive number of ps, not {self.interval}")
        if self.weights is not None:
            self._check_weights(self.weights)

    def _check_weights(self, weights: np.ndarray) -> None:
        if weights.shape != (self.n_frames,):
            raise InputError(f"{weights.shape} frame weights for {self.n_frames} frames")
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise InputError("frame weights must be finite and none negative")

    @property
    def n_frames(self) -> int:
        """Number of frames over all chains."""
        return len(self.positions)

    @property
    def n_chains(self) -> int:
        """Number of independent chains."""
        return len(self.chain_lengths)

    def chains(self) -> list[Float[np.ndarray, "f n 3"]]:
        """The chains' positions, one view each."""
        return np.split(self.positions, np.cumsum(self.chain_lengths)[:-1])

    def select_chains(self, indices: Sequence[int]) -> "Trajectory":
        """The Trajectory of the chains `indices`, in that order."""
        starts = np.concatenate([[0], np.cumsum(self.chain_lengths)])
        frames = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in indices] or [np.arange(0)])
        return replace(
            self,
            positions=self.positions[frames],
            chain_lengths=tuple(self.chain_lengths[i] for i in indices),
            weights=None if self.weights is None else self.weights[frames],
        )

    def representative(self, n: int, seed: int = 0) -> "Trajectory":
        """About `n` frames that count alike: evenly spaced, or drawn by their weights where they have some."""
        if self.weights is None:
            return self.thin(n)
        p = np.asarray(self.weights, np.float64) / np.sum(self.weights, dtype=np.float64)
        index = np.sort(np.random.default_rng(seed).choice(self.n_frames, min(n, self.n_frames), p=p))
        return Trajectory(self.molecule, self.positions[index], (len(index),), self.temperature)

    def alike(self) -> "Trajectory":
        """As many frames, which count alike: itself, or drawn by their weights where they have some."""
        return self.representative(self.n_frames)

    def thin(self, n: int) -> "Trajectory":
        """`n` frames evenly spaced over all chains, as one chain without time order; itself if it has no more."""
        if self.n_frames <= n:
            return self
        frames = np.linspace(0, self.n_frames - 1, n).round().astype(np.int64)
        return replace(
            self,
            positions=self.positions[frames],
            chain_lengths=(n,),
            interval=None,
            weights=None if self.weights is None else self.weights[frames],
        )
