"""A soft chain of four beads, its dataset, and a training of a few seconds: what the tests of commands and files use."""

from dataclasses import replace

import numpy as np
from backbones import chain_molecule

from scorefield.config import Config, config_from
from scorefield.dataset import Dataset
from scorefield.level import LevelCurve
from scorefield.molecule import Molecule
from scorefield.trajectory import Trajectory

MOLECULE = chain_molecule(("CA",) * 4)
LEVELS = LevelCurve((0.003,), (0.0,), (0.0,), 0.003)  # of a Model that was not trained
SETTINGS = {
    "energy": {"kind": "invariant", "width": 16, "depth": 1},
    "training": {"steps": 300, "batch": 32, "warmup": 20},
    "sampling": {"steps": 16},
    "simulation": {"dt_fs": 2.0},
}


def config(**training) -> Config:
    """`SETTINGS`, with other values in its section `training`."""
    return config_from(SETTINGS | {"training": SETTINGS["training"] | training}, "SETTINGS")


def at_steps_of(dt_fs: float) -> Config:
    """The default configuration at a time step of its own, resolved as far as sampling needs."""
    return config_from({"simulation": {"dt_fs": dt_fs}, "sampling": {"sigma_min": 1e-3}}, "test")


def direct(**training) -> Config:
    """Likewise with a direct network, which compiles faster."""
    energy = {"kind": "graph_transformer_direct", "hidden": 8, "layers": 1}
    return config_from({"energy": energy, "training": SETTINGS["training"] | {"contrast": 0} | training}, "SETTINGS")


def positions(n: int, seed: int, molecule: Molecule = MOLECULE) -> np.ndarray:
    """(n, n_beads, 3) nm, centred: bonds of about 0.35 nm, so soft that nothing is lost in a simulation."""
    steps = np.random.default_rng(seed).normal(0.2, 0.06, (n, molecule.n_beads, 3))
    x = np.cumsum(steps, axis=1).astype(np.float32)
    return x - x.mean(axis=1, keepdims=True)


def dataset(seed: int = 0, molecule: Molecule = MOLECULE, weights: np.ndarray | None = None) -> Dataset:
    """2000 frames in four chains: two to train on, one to validate, one to test."""
    x = positions(2000, seed, molecule)
    trajectory = Trajectory(molecule, x, (500,) * 4, 300.0, 1.0, weights)
    return Dataset(trajectory, ("train", "train", "validation", "test"), ("a", "b", "c", "d"), "ca")


def with_frames(data: Dataset, x: np.ndarray) -> Dataset:
    """`data` with other positions."""
    return replace(data, trajectory=replace(data.trajectory, positions=x))
