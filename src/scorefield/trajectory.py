"""`Trajectory`: frames of one molecule in independent chains, whatever made them.

Reference MD, independent samples and Langevin output share this type, so that every comparison is Trajectory against
Trajectory.
"""

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
    Raises InputError if shapes disagree.
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
        if self.weights is not None and self.weights.shape != shape[:1]:
            raise InputError(f"{self.weights.shape} frame weights for {shape[0]} frames")

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
