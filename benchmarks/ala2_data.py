"""The full equilibrium set of alanine dipeptide (140,380 frames, 64 replicas), for comparisons that will be quoted."""

from pathlib import Path

import numpy as np

from scorefield.dataset import Dataset, Split
from scorefield.errors import InputError
from scorefield.systems import load_system
from scorefield.trajectory import Trajectory


def dataset_from_npz(path: Path, with_forces: bool = False) -> Dataset:
    """All frames of `ala2_equilibrium.npz`: replicas 0-27 train, 28-31 validation, 32-63 test; one chain a replica.

    Raises InputError if the file is missing or not that data set.
    """
    builtin = load_system("ala2")
    try:
        with np.load(path, allow_pickle=False) as source:
            x, replica, temperature = source["positions_nm"], source["replica"], float(source["temperature_K"])
            forces = source["forces_kj_mol_nm"]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not ala2_equilibrium.npz ({type(error).__name__}: {error})") from None
    order = np.argsort(replica, kind="stable")  # time order is kept within a replica
    lengths = np.bincount(replica)
    x = x[order] - x[order].mean(axis=1, keepdims=True)
    splits: tuple[Split, ...] = tuple(
        "train" if r < 28 else "validation" if r < 32 else "test" for r in range(len(lengths))
    )
    return Dataset(
        Trajectory(builtin.molecule, x.astype(np.float32), tuple(int(n) for n in lengths), temperature),
        splits,
        tuple(f"replica {r}" for r in range(len(lengths))),
        builtin.map,
        {"text": builtin.provenance["text"].rsplit(" Here thinned", 1)[0], "source": {"file": path.name}},
        forces=forces[order] if with_forces else None,
    )
