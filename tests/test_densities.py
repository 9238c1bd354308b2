"""Sums over what is near are those over all, and a force is that of the model which it is chosen from."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorefield.config import BeadSettings, Config
from scorefield.energy.build import fit_model, resolve
from scorefield.energy.densities import of_all, of_near, rows_needed
from scorefield.forcefield import ForceField
from scorefield.geometry import centred
from scorefield.molecule import Molecule

N = 104
REACH, LEVEL = jnp.float32(1.2), jnp.float32(0.01)


def chain(n, frames):
    """Random walks of `n` beads, nm, stretched out."""
    steps = np.random.default_rng(0).normal(size=(frames, n, 3)) + np.array([0.4, 0, 0])
    steps *= 0.38 / np.linalg.norm(steps, axis=-1, keepdims=True)
    return centred(np.cumsum(steps, axis=1))


@pytest.mark.parametrize("n", [37, 64])
def test_sums_over_what_is_near_are_those_over_all(n):
    x, rng = jnp.asarray(chain(n, 1)[0]), np.random.default_rng(1)
    v, weights = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((n, 3), (6, 3, 5)))
    rows = int(rows_needed(x, REACH))

    def value(sums):
        return lambda x, v: jnp.sum(jnp.tanh(sums(x)(v, weights)) ** 2)

    near = value(lambda x: of_near(x, REACH, 6, rows + 2))
    every = value(lambda x: of_all(x, REACH, 6))
    assert near(x, v) == pytest.approx(float(every(x, v)), rel=1e-3)
    for a, b in zip(jax.grad(near, (0, 1))(x, v), jax.grad(every, (0, 1))(x, v), strict=True):
        np.testing.assert_allclose(a, b, atol=5e-3 * float(jnp.abs(b).max()))
    exact = value(lambda x: of_near(x, REACH, 6, rows))
    assert exact(x, v) == pytest.approx(float(near(x, v)), rel=1e-5)


def test_what_does_not_fit_is_known_beforehand():
    x = jnp.asarray(chain(64, 1)[0])
    needed = int(rows_needed(x, REACH))
    v, weights = jnp.ones((64, 1)), jnp.ones((1, 1, 1))
    every = of_all(x, REACH, 1)(v, weights)
    assert not np.allclose(of_near(x, REACH, 1, needed - 1)(v, weights), every, rtol=1e-3)


@pytest.fixture(scope="module")
def model():
    """Of a chain long enough for lists."""
    row = tuple((i, i + 1) for i in range(N - 1))
    molecule = Molecule("chain", ("CA",) * N, ("ALA",) * N, tuple(range(N)), (12.0,) * N, row)
    settings = Config(energy=BeadSettings(width=8, coarse_width=8, coarse_depth=1, channels=2, radial=4))
    frames = chain(N, 50)
    return fit_model(resolve(settings, molecule, frames), molecule, frames, jax.random.key(0))


@pytest.mark.parametrize("tight", [False, True])
def test_forces_of_a_long_chain_are_those_of_all_its_pairs(model, tight):
    x = chain(N, 6) if not tight else np.random.default_rng(2).uniform(0, 2.0, (6, N, 3)).astype(np.float32)
    holding = [bool(jnp.all(jax.vmap(m.holds, (0, None))(jnp.asarray(x), LEVEL))) for m in model.cheaper()]
    assert any(holding) != tight  # a ball of beads is near all of itself
    field = ForceField(model, float(LEVEL), 300.0)
    found = eqx.filter_jit(jax.vmap(field.force_in_batch))(jnp.asarray(x))
    wanted = jax.vmap(field.force)(jnp.asarray(x))
    np.testing.assert_allclose(found, wanted, atol=5e-3 * float(jnp.abs(wanted).max()))


def test_a_lost_replica_does_not_make_the_others_slow(model):
    x = jnp.asarray(chain(N, 6)).at[2].set(jnp.nan)
    assert bool(jnp.all(jax.jit(jax.vmap(model.cheaper()[0].holds, (0, None)))(x, LEVEL)))
