"""A tiny synthetic dataset and an untrained model of every kind on it."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from backbones import chain_molecule, random_chain

from scorefield.config import Config
from scorefield.energy.base import AbstractScore
from scorefield.energy.build import fit_model, resolve

N = 4
MOLECULE = chain_molecule(("A",) * N)
SIZES = {
    "invariant": {"width": 8, "depth": 2},
    "beads": {"width": 8, "interactions": 2, "channels": 2, "radial": 4, "coarse_width": 8, "coarse_depth": 1},
    "transferable": {"width": 8, "interactions": 2, "channels": 2, "radial": 4},
}
_SIZE = {"hidden": 8, "layers": 1}


@functools.cache
def frames() -> np.ndarray:
    """(500, N, 3) float32 nm, centred, all of one chirality."""
    x = random_chain(500, N - 1, 0)
    volume = np.einsum("fi,fi->f", np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]), x[:, 3] - x[:, 0])
    return np.where(volume[:, None, None] > 0, x, -x).astype(np.float32)


@functools.cache
def config(kind: str) -> Config:
    """The smallest configuration of a kind in `MODELS`, resolved for `frames`."""
    energy = {"kind": kind, **SIZES.get(kind, _SIZE)}
    return resolve(Config.model_validate({"energy": energy, "training": {"contrast": 0.0}}), MOLECULE, frames())


@functools.cache
def untrained(kind: str) -> AbstractScore:
    """The untrained model (in single precision: to be asked for outside `jax.enable_x64`)."""
    assert not jax.config.jax_enable_x64
    return fit_model(config(kind), MOLECULE, frames(), jax.random.key(0))


def in_double(model: AbstractScore) -> AbstractScore:
    """The same model in float64 (inside `jax.enable_x64`)."""
    return jax.tree.map(lambda a: jnp.asarray(np.asarray(a, np.float64)) if eqx.is_inexact_array(a) else a, model)
