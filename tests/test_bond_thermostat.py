"""The bond thermostat: Maxwell-Boltzmann stays, momenta stay, bonds forget; stiff bonds bear long steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorefield.bond_thermostat import BondThermostat
from scorefield.dynamics import Langevin

KT = 2.5
MASSES = jnp.array([12.0, 14.0, 1.0, 16.0, 30.0])
BRANCHED = np.array([(0, 1), (1, 2), (1, 3), (3, 4), (0, 4)])  # a branch and a ring


@pytest.mark.parametrize(
    ("bonds", "rounds"),
    [(np.stack([np.arange(9), np.arange(1, 10)], axis=1), 2), (BRANCHED, 3), (np.zeros((0, 2), int), 0)],
)
def test_every_bond_has_its_round_in_which_no_bead_has_two(bonds, rounds):
    made = [np.asarray(r).tolist() for r in BondThermostat.of(bonds, np.ones(len(bonds))).rounds]
    assert len(made) == rounds
    assert all(len({*np.ravel(r)}) == 2 * len(r) for r in made)
    assert sorted(pair for r in made for pair in r) == sorted(bonds.tolist())


def drawn(n: int):
    """Positions, and velocities before and after, of `n` molecules at one configuration."""
    x = jax.random.normal(jax.random.key(0), (5, 3))
    v = jnp.sqrt(KT / MASSES)[None, :, None] * jax.random.normal(jax.random.key(1), (n, 5, 3))
    thermostat = BondThermostat.of(BRANCHED, np.array([0.1, 1, 2, 5, 50]))
    xi = jax.random.normal(jax.random.key(2), (n, len(BRANCHED)))
    new = jax.vmap(lambda xi, v: thermostat.damped(xi, x, v, MASSES, KT, 0.2))(xi, v)
    return x, v, new


def test_velocities_stay_those_of_maxwell_and_boltzmann():
    _, _, new = drawn(40_000)
    scaled = (np.asarray(new) * np.sqrt(np.asarray(MASSES) / KT)[:, None]).reshape(-1, 15)
    np.testing.assert_allclose(np.cov(scaled.T), np.eye(15), atol=0.03)


def test_momentum_and_angular_momentum_stay():
    x, v, new = drawn(20)
    change = np.asarray(MASSES)[:, None] * np.asarray(new - v)
    np.testing.assert_allclose(change.sum(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(np.cross(x, change).sum(axis=1), 0, atol=1e-4)
    assert np.abs(change).max() > 1


def test_a_bond_forgets_at_twice_its_frequency_and_what_is_across_is_not_touched():
    x = jnp.array([[0.0, 0, 0], [0.3, 0, 0]])
    v = jnp.sqrt(KT / MASSES[:2])[None, :, None] * jax.random.normal(jax.random.key(0), (20_000, 2, 3))
    thermostat = BondThermostat.of(np.array([(0, 1)]), np.array([30.0]))
    xi = jax.random.normal(jax.random.key(1), (len(v), 1))
    new = jax.vmap(lambda xi, v: thermostat.damped(xi, x, v, MASSES[:2], KT, 0.02))(xi, v)
    np.testing.assert_allclose(new[:, :, 1:], v[:, :, 1:], atol=1e-6)
    before, after = (np.asarray(w[:, 1, 0] - w[:, 0, 0]) for w in (v, new))
    assert np.corrcoef(before, after)[0, 1] == pytest.approx(np.exp(-2 * 30 * 0.02), abs=0.03)
    assert after.var() == pytest.approx(KT * float(1 / MASSES[0] + 1 / MASSES[1]), rel=0.04)


LENGTH, OMEGA, CUBIC = 0.15, 200.0, 6.0  # nm, 1/ps, 1/nm: bonds of heavy atoms
STIFFNESS = OMEGA**2 * float(1 / (1 / MASSES[0] + 1 / MASSES[1]))


def stretched(d):
    """Energy in kJ/mol of a bond of length d, as anharmonic as a Morse one."""
    s = d - LENGTH
    return STIFFNESS * (s**2 / 2 - CUBIC * s**3 / 2 + 7 / 24 * CUBIC**2 * s**4)


def variances(bonds: BondThermostat | None) -> np.ndarray:
    """Of the two bonds of 200 molecules each, over 8 ps at a step of 1.05 radians; bent by an energy of the angle."""

    def energy(x):
        b = jnp.diff(x, axis=0)
        d = jnp.linalg.norm(b, axis=-1)
        return stretched(d).sum() + 150 * (jnp.dot(b[0], b[1]) / (d[0] * d[1]) - 0.4) ** 2

    dynamics = Langevin(jax.grad(lambda x: -energy(x)), MASSES[:2].repeat(2)[:3], KT, 1.05 / OMEGA, 1.0, bonds)

    @eqx.filter_jit
    def lengths(key):
        def step(state, key):
            state = dynamics.step(key, state)
            return state, jnp.linalg.norm(jnp.diff(state.x, axis=0), axis=-1)

        first, rest = jax.random.split(key)
        start = dynamics.init(first, LENGTH * jnp.array([[0.0, 0, 0], [1, 0, 0], [1.4, 0.9165, 0]]))
        return jax.lax.scan(step, start, jax.random.split(rest, 2100))[1][600:]

    d = np.asarray(jax.vmap(lengths)(jax.random.split(jax.random.key(0), 200)), float)
    return ((d - d.mean(axis=(0, 1))) ** 2).mean(axis=1)


def test_stiff_bonds_are_as_wide_as_they_should_be_and_known_sooner():
    """The truth by quadrature of r^2 exp(-U/kT). Friction alone takes a bond's energy in a time of 1/friction."""
    d = np.linspace(LENGTH - 0.06, LENGTH + 0.08, 20_001)
    weight = d**2 * np.exp(-np.asarray(stretched(d)) / KT)
    mean = (weight * d).sum() / weight.sum()
    truth = (weight * (d - mean) ** 2).sum() / weight.sum()
    alone, with_thermostat = (
        variances(b) / truth for b in (None, BondThermostat.of(np.array([(0, 1), (1, 2)]), np.full(2, OMEGA)))
    )
    assert with_thermostat.mean() == pytest.approx(1, abs=0.01)
    assert with_thermostat.std() < 0.4 * alone.std()
