"""Excluded volume: a hole with a soft edge whose filling by noise is known, where the data leave one."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from backbones import chain_molecule, random_chain

from scorefield.energy.excluded import HEIGHT, ExcludedVolume, far_pairs, outside

LONG = chain_molecule(("A",) * 8)


def straight(n: int, seed: int = 0) -> np.ndarray:
    """(n, 8, 3) nm: an extended chain, every bead moved by 0.01 nm at random."""
    rest = np.arange(8)[:, None] * np.array([0.3, 0.0, 0.0])
    return rest + 0.01 * np.random.default_rng(seed).normal(size=(n, 8, 3))


@pytest.fixture(scope="module")
def term() -> ExcludedVolume:
    return ExcludedVolume.fit(LONG, straight(2000))


energies = eqx.filter_jit(lambda term, x, sigma: jax.vmap(term, (0, None))(x, sigma))


@pytest.mark.parametrize("spread", [0.03, 0.06, 0.12])
def test_noise_fills_the_hole_as_the_closed_form_says(spread):
    """Points spread evenly around an empty ball, then noised: their density, with 4 standard errors."""
    radius, box, n = 0.2, 0.75, 1_000_000
    rng = np.random.default_rng(0)
    x = rng.uniform(-box, box, (n, 3))
    x = x[np.linalg.norm(x, axis=1) > radius]
    r = np.linalg.norm(x + spread * rng.normal(size=x.shape), axis=1)
    edges = np.linspace(0, 0.35, 15)
    counts = np.histogram(r, edges)[0]
    fine = np.linspace(0, 0.35, 1401)
    c = np.asarray(outside(jnp.asarray(fine, jnp.float32), jnp.float32(radius), jnp.float32(spread)))
    cumulative = np.cumsum(4 * np.pi * fine**2 * c) * fine[1] * n / (2 * box) ** 3
    expected = np.diff(np.interp(edges, fine, cumulative))
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected) + 0.01 * expected + 2).all()


def test_the_hole_is_flat_outside_and_bounded_inside(term):
    r = jnp.linspace(0, 2, 400)
    c = np.asarray(outside(r, jnp.float32(0.3), jnp.float32(0.03)))
    assert (np.diff(c) > -1e-6).all()
    assert c[0] < 1e-6
    assert c[-1] == pytest.approx(1, abs=1e-6)
    together = energies(term, jnp.zeros((200, 8, 3)), jnp.float32(0))
    assert float(together[0]) == pytest.approx(HEIGHT * far_pairs(LONG).sum(), rel=1e-3)


def test_the_data_feel_little_and_a_clash_is_driven_apart(term):
    x = jnp.asarray(straight(200, 1), jnp.float32)
    assert float(energies(term, x, jnp.float32(0)).mean()) < 0.3 * far_pairs(LONG).sum()
    clash = x.at[:, 5].set(x[:, 0] + (term.radius - 8 * term.edge) * jnp.array([[1.0, 0.0, 0.0]]))
    assert float(energies(term, clash, jnp.float32(0)).min()) > 25
    push = jax.vmap(jax.grad(term), (0, None))(clash, jnp.float32(0))[:, 5, 0]
    assert (np.asarray(push) < -3 / float(term.edge)).all()
    assert float(energies(term, clash, jnp.float32(1)).max()) < 1e-3


def test_the_hole_of_soft_balls_is_found_again():
    """Beads spread evenly, all pairs but one bonded one kept apart by the same c(r): R and s within a few percent."""
    radius, edge, box = 0.3, 0.03, 2.0
    rng = np.random.default_rng(0)
    x = rng.uniform(0, box, (150_000, 16, 3))
    x[:, 1] = x[:, 0] + [0.25, 0, 0]
    loose = replace(chain_molecule(("A",) * 16), bonds=((0, 1),))
    i, j = np.nonzero(far_pairs(loose))
    c = np.asarray(outside(np.linalg.norm(x[:, i] - x[:, j], axis=-1), jnp.float32(radius), jnp.float32(edge)))
    fitted = ExcludedVolume.fit(loose, x[rng.random(len(x)) < c.prod(axis=1)])
    assert float(fitted.radius) == pytest.approx(radius, rel=0.05)
    assert float(fitted.edge) == pytest.approx(edge, rel=0.2)


def test_few_and_many_beads_have_one_energy():
    """Distances are taken in one of two ways; a molecule in two far parts has the sum of their energies in both."""
    many = chain_molecule(("A",) * 60)
    x = np.cumsum(0.2 * np.random.default_rng(1).normal(size=(60, 3)), axis=0)
    term = ExcludedVolume(*(jnp.asarray(a, jnp.float32) for a in (far_pairs(many), 0.3, 0.03, 0.1)))
    part = ExcludedVolume(term.pairs[:30, :30], term.radius, term.edge, term.fade)
    x[30:] += 50.0
    whole = float(term(jnp.asarray(x, jnp.float32), jnp.float32(0)))
    parts = sum(float(part(jnp.asarray(half, jnp.float32), jnp.float32(0))) for half in (x[:30], x[30:] - 50.0))
    assert whole == pytest.approx(parts, rel=1e-3)


def test_a_hole_needs_many_pairs_and_data_that_leave_one():
    fitted = ExcludedVolume.fit(LONG, straight(2000))
    assert 0.8 < float(fitted.radius) / 0.9 < 1
    rng = np.random.default_rng(0)
    overlapping = np.cumsum(0.15 * rng.normal(size=(2000, 8, 3)), axis=1)
    assert ExcludedVolume.fit(LONG, overlapping).size == 0
    assert ExcludedVolume.fit(chain_molecule(("A",) * 5), random_chain(500, 4, 0)).size == 0


def test_far_pairs_are_three_or_more_bonds_apart():
    i, j = np.nonzero(far_pairs(LONG))
    assert {(int(a), int(b)) for a, b in zip(i, j, strict=True)} == {(a, b) for a in range(8) for b in range(a + 3, 8)}
