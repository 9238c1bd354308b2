"""DATASET folders: the coarse-grained equilibrium structures that a model learns from, and is judged by.

beads.pdb       the molecule, one frame
positions.npy   (n_frames, n_beads, 3) float32 nm, chain after chain
weights.npy     (n_frames,) float32, only for reweighted data
forces.npy      (n_frames, n_beads, 3) float32 kJ/mol/nm, only where the source had them
dataset.json    molecule, temperature, interval, chains with their split and source, map, provenance, hashes
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from .errors import InputError
from .molecule import Molecule
from .storage import (
    describe,
    new_folder,
    read_array,
    read_json,
    reading,
    sha256,
    temperature_in,
    write_array,
    write_json,
)
from .structure import write_pdb
from .trajectory import Trajectory

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_FINGERPRINT_FRAMES = 20_000
_CHUNK = 65_536  # frames


@dataclass(frozen=True, eq=False)
class Dataset:
    """A reference Trajectory whose chains are assigned to splits (by chain, never by frame).

    Attributes: `trajectory`; `forces` (n_frames, n_beads, 3) kJ/mol/nm, noisy draws whose conditional mean is the mean
    force, or None (training can use them, and needs none); `splits` and `sources`, one entry a chain; `map` that made the
    beads; `provenance` (free text and hashes of the source files); `equilibrium`: what `scorefield prepare` found about
    convergence. Raises InputError if their lengths or shapes disagree.
    """

    trajectory: Trajectory
    splits: tuple[Split, ...]
    sources: tuple[str, ...]
    map: str
    provenance: dict[str, Any] = field(default_factory=dict)
    equilibrium: dict[str, Any] | None = None
    forces: Float[np.ndarray, "f n 3"] | None = None

    def __post_init__(self) -> None:
        if not len(self.splits) == len(self.sources) == self.trajectory.n_chains:
            raise InputError("a dataset needs one split and one source for every chain")
        if self.forces is not None and self.forces.shape != self.trajectory.positions.shape:
            raise InputError(f"forces {self.forces.shape} for positions {self.trajectory.positions.shape}")

    @property
    def molecule(self) -> Molecule:
        """The molecule of every frame."""
        return self.trajectory.molecule

    @property
    def temperature(self) -> float:
        """Of all frames, K."""
        return self.trajectory.temperature

    def split(self, name: Split) -> Trajectory:
        """The chains of one split. Raises InputError if there are none, or all their weights are 0."""
        self.require(name)
        found = self.trajectory.select_chains([i for i, split in enumerate(self.splits) if split == name])
        if found.weights is not None and not found.weights.any():
            raise InputError(f"the weights of all {name} frames are 0; prepare the dataset again with other --split")
        return found

    def split_forces(self, name: Split) -> Float[np.ndarray, "f n 3"]:
        """The forces of the frames of `split`, kJ/mol/nm. Raises InputError if the dataset has none."""
        self.require(name)
        chains = [i for i, split in enumerate(self.splits) if split == name]
        return replace(self.trajectory, positions=self.require_forces()).select_chains(chains).positions

    def require_forces(self) -> Float[np.ndarray, "f n 3"]:
        """The forces of all frames. Raises InputError if the dataset has none."""
        if self.forces is None:
            raise InputError("the dataset has no forces; prepare it with --forces, from TRR files that have them")
        return self.forces

    def require(self, *names: Split) -> None:
        """Raise InputError if one of these splits has no chain."""
        for name in names:
            if name not in self.splits:
                raise InputError(f"the dataset has no {name} chains; prepare it again with more data or other --split")

    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of what a training sees: molecule, chains, splits, temperature, some frames and forces."""
        trajectory = self.trajectory
        words = [self.molecule.to_json(), self.splits, trajectory.chain_lengths, trajectory.temperature]
        digest = hashlib.sha256(json.dumps(words).encode())
        some = trajectory.thin(_FINGERPRINT_FRAMES)
        forces = None if self.forces is None else replace(trajectory, positions=self.forces).thin(_FINGERPRINT_FRAMES)
        for array in (some.positions, some.weights, None if forces is None else forces.positions):
            if array is not None:
                digest.update(np.ascontiguousarray(array, "<f4").data)
        return digest.hexdigest()


def write_dataset(dataset: Dataset, path: Path) -> None:
    """Write a DATASET folder. Raises InputError if `path` exists or cannot be written."""
    with new_folder(path) as draft:
        trajectory = dataset.trajectory
        write_array(draft / "positions.npy", trajectory.positions)
        if trajectory.weights is not None:
            write_array(draft / "weights.npy", trajectory.weights)
        if dataset.forces is not None:
            write_array(draft / "forces.npy", dataset.forces)
        finish_dataset(dataset, draft)


def finish_dataset(dataset: Dataset, draft: Path) -> None:
    """Add `beads.pdb` and `dataset.json` to a folder whose arrays are in place."""
    trajectory = dataset.trajectory
    write_pdb(draft / "beads.pdb", dataset.molecule, np.asarray(trajectory.positions[0]))
    native = dataset.molecule.native
    chains = zip(trajectory.chain_lengths, dataset.splits, dataset.sources, strict=True)
    write_json(
        draft / "dataset.json",
        describe(
            "dataset",
            molecule=dataset.molecule.to_json(),
            native=None if native is None else np.asarray(native, float).round(5).tolist(),
            temperature_K=trajectory.temperature,
            interval_ps=trajectory.interval,
            chains=[{"length": n, "split": split, "source": source} for n, split, source in chains],
            map=dataset.map,
            provenance=dataset.provenance,
            equilibrium=dataset.equilibrium,
            sha256={p.name: sha256(p) for p in sorted(draft.glob("*.npy"))},
        ),
    )


def load_dataset(path: Path | str, verify_hashes: bool = True) -> Dataset:
    """Read a DATASET folder, positions (n_frames, n_beads, 3) in nm memory-mapped.

    Raises InputError if a file is missing, damaged, changed since, not of the described shape, or has a position that is
    not finite. Without `verify_hashes` the arrays' contents are not looked at.
    """
    path = Path(path)
    data = read_json(path / "dataset.json", "dataset")
    with reading(path / "dataset.json"):
        native = data["native"]
        molecule = Molecule.from_json(data["molecule"], None if native is None else np.array(native, float))
        lengths = tuple(int(c["length"]) for c in data["chains"])
        digest = str(data["sha256"]["positions.npy"])
        hashes = {"positions.npy": digest, **data["sha256"]} if verify_hashes else {}
        if not all(n > 0 for n in lengths):
            raise ValueError("a chain has no frames")
        shape = (sum(lengths), molecule.n_beads, 3)
        weighted = "weights.npy" in data["sha256"]
        trajectory = Trajectory(
            molecule,
            read_array(path / "positions.npy", shape, hashes.get("positions.npy")),
            lengths,
            temperature_in(data),
            None if data["interval_ps"] is None else float(data["interval_ps"]),
            read_array(path / "weights.npy", shape[:1], hashes.get("weights.npy")) if weighted else None,
        )
        splits: tuple[Split, ...] = tuple(c["split"] for c in data["chains"])
        if any(s not in SPLITS for s in splits):
            raise InputError(f"{path}/dataset.json: a chain's split is not one of {', '.join(SPLITS)}")
        sources = tuple(str(c["source"]) for c in data["chains"])
        if verify_hashes and not _finite(trajectory.positions):
            raise InputError(f"{path}/positions.npy has positions that are not finite; prepare the dataset again")
        forces = None
        if "forces.npy" in data["sha256"]:
            forces = read_array(path / "forces.npy", shape, hashes.get("forces.npy"))
            if verify_hashes and not _finite(forces):
                raise InputError(f"{path}/forces.npy has forces that are not finite; prepare the dataset again")
        equilibrium = None if data["equilibrium"] is None else dict(data["equilibrium"])
        return Dataset(trajectory, splits, sources, str(data["map"]), dict(data["provenance"]), equilibrium, forces)


def _finite(positions: np.ndarray) -> bool:
    """Chunk by chunk: the array may be larger than memory."""
    return all(bool(np.isfinite(positions[k : k + _CHUNK]).all()) for k in range(0, len(positions), _CHUNK))
