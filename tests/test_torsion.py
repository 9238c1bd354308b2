"""Narrow dihedrals: heat on a circle, chosen where the data ask for it."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from backbones import ANGLE, chain_molecule, noised, place

from scorefield.energy.torsion import NarrowDihedrals
from scorefield.geometry import dihedrals

FOUR = chain_molecule(("A",) * 4)
QUAD = np.array([[0, 1, 2, 3]])
MEAN, SPREAD = 3.1, 0.08  # rad: the peak lies across the seam at pi


def turned(phi: np.ndarray, angle=ANGLE, bond: float = 0.15) -> np.ndarray:
    """(f, 4, 3) nm with dihedral `phi`, all bonds and angles alike."""
    bond, angle = np.full(len(phi), bond), np.broadcast_to(angle, phi.shape)
    x = np.zeros((len(phi), 4, 3))
    x[:, 1, 0] = bond
    x[:, 2] = x[:, 1] + bond[:, None] * np.stack([-np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    x[:, 3] = place(x[:, 0], x[:, 1], x[:, 2], bond, angle, phi)
    return x


def peak(n: int, mean: float = MEAN, spread: float = SPREAD) -> np.ndarray:
    return mean + spread * np.random.default_rng(0).normal(size=n)


@pytest.fixture(scope="module")
def term() -> NarrowDihedrals:
    """Without fading."""
    fitted = NarrowDihedrals.fit(FOUR, turned(peak(20_000)))
    return eqx.tree_at(lambda t: t.fade, fitted, jnp.float32(1e3))


@eqx.filter_jit
def density(term: NarrowDihedrals, x: jax.Array, sigma: jax.Array) -> jax.Array:
    return jnp.exp(-jax.vmap(term, (0, None))(x, sigma)) / jnp.sqrt(2 * jnp.pi)


@eqx.filter_jit
def measured(x: jax.Array) -> jax.Array:
    return jax.vmap(lambda y: dihedrals(y, QUAD)[0])(x)


@pytest.mark.parametrize("added", [0.0, 0.25, 1.0, 3.0])
def test_the_dihedral_of_noised_samples_has_the_terms_density(term, added):
    """`added`: the noise's share D / v. First order in D, so the tolerance grows with sigma over a bond, squared."""
    sigma = SPREAD * float(np.sqrt(added / term.speeds[0]))
    phi = np.linspace(-np.pi, np.pi, 2001)
    p = np.asarray(density(term, jnp.asarray(turned(phi), jnp.float32), jnp.float32(sigma)), np.float64)
    assert p[0] == pytest.approx(p[-1], rel=1e-3)
    assert np.trapezoid(p, phi) == pytest.approx(1, abs=1e-3)
    found = np.sort(np.asarray(measured(jnp.asarray(noised(turned(peak(50_000)), sigma, 1), jnp.float32))))
    cumulative = np.cumsum(p) * (phi[1] - phi[0])
    difference = np.abs(np.interp(found, phi, cumulative) - np.linspace(0, 1, len(found))).max()
    assert difference < 0.015 + 3 * (sigma / 0.15) ** 2


def test_speed_is_the_mean_square_of_the_gradient(term):
    x = jnp.asarray(turned(peak(50)), jnp.float32)
    squares = jax.jit(jax.vmap(lambda y: jnp.sum(jax.grad(lambda z: dihedrals(z, QUAD)[0])(y) ** 2)))(x)
    assert float(term.speeds[0]) == pytest.approx(float(squares.mean()), rel=5e-3)


def test_one_narrow_peak_is_chosen_and_soft_or_several_or_nearly_straight_ones_are_not():
    rng, n = np.random.default_rng(0), 2000
    two = np.where(rng.random(n) < 0.1, 0.0, np.pi) + 0.05 * rng.normal(size=n)
    for phi, angle, chosen in [
        (peak(n), ANGLE, True),
        (peak(n, spread=0.15), ANGLE, False),
        (rng.uniform(-np.pi, np.pi, n), ANGLE, False),
        (two, ANGLE, False),
        (peak(n), np.pi - 0.3, False),
    ]:
        assert NarrowDihedrals.fit(FOUR, turned(phi, angle)).size == chosen


def test_one_dihedral_about_each_bond_the_narrowest():
    """A fifth bead, bonded to bead 2 as bead 3 is: the same turn, and more."""
    branched = replace(chain_molecule(("A",) * 5), bonds=((0, 1), (1, 2), (2, 3), (2, 4)))
    phi = peak(2000)
    more = turned(phi + np.pi + 0.05 * np.random.default_rng(1).normal(size=2000))[:, 3:]
    term = NarrowDihedrals.fit(branched, np.concatenate([turned(phi), more], axis=1))
    np.testing.assert_array_equal(term.quads, QUAD)


def test_the_term_fades_faster_than_a_dihedrals_gradient_grows(term):
    """As an angle straightens the gradient goes to 0 with it, although the dihedral is far from its mean."""
    gradient = jax.jit(jax.vmap(jax.grad(term), (0, None)))
    x = turned(np.full(3, 1.0), np.pi - np.array([0.1, 0.03, 0.001]))
    size = np.abs(gradient(jnp.asarray(x, jnp.float32), jnp.float32(0))).max(axis=(1, 2))
    assert size[1] < 0.1 * size[0]
    assert size[2] < 0.01
