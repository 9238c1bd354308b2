"""The prior as a sum of terms: what each kind of molecule gets, finite everywhere, and rebuilt from its sizes."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from backbones import chain_molecule, place, random_chain

from scorefield.energy.prior import TERMS, Prior

N = 8
PROTEIN = chain_molecule(("CA",) * N)


def protein(n: int, seed: int) -> np.ndarray:
    """(n, N, 3) nm: bonds of one length, angles of helix or strand, extended dihedrals: one of each term."""
    rng = np.random.default_rng(seed)
    bond = lambda: 0.38 + 0.005 * rng.normal(size=n)
    angle = lambda: np.radians(np.where(rng.random(n) < 0.5, 93, 120) + 2 * rng.normal(size=n))
    x = np.zeros((n, N, 3))
    first, b, a = bond(), bond(), angle()
    x[:, 1, 0] = first
    x[:, 2] = x[:, 1] + b[:, None] * np.stack([-np.cos(a), np.sin(a), 0 * a], axis=1)
    for k in range(3, N):
        x[:, k] = place(x[:, k - 3], x[:, k - 2], x[:, k - 1], bond(), angle(), 3.0 + 0.07 * rng.normal(size=n))
    return (x - x.mean(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def prior() -> Prior:
    return Prior.fit(PROTEIN, protein(4000, 0))


@eqx.filter_jit
def derivatives(prior: Prior, x: jax.Array, sigma: jax.Array):
    return jax.value_and_grad(prior, argnums=(0, 1))(x, sigma)


def test_each_term_takes_what_is_of_its_kind(prior):
    assert prior.sizes == {"stiff": N - 1, "mixtures": N - 2, "dihedrals": N - 3, "excluded_volume": N}
    assert prior.sizes.keys() == TERMS.keys()
    assert prior.n_normalised == N - 1


def test_soft_torsions_and_a_short_chain_have_stiff_distances_only():
    prior = Prior.fit(chain_molecule(("A",) * 5), random_chain(1000, 4, 0).astype(np.float32))
    assert prior.sizes == {"stiff": 7}


def test_the_empty_prior_of_its_sizes_has_the_same_tree(prior):
    empty = Prior.zeros(json.loads(json.dumps(prior.sizes)))
    assert jax.tree.structure(empty) == jax.tree.structure(prior)
    shapes = lambda tree: [(a.shape, a.dtype) for a in jax.tree.leaves(tree)]
    assert shapes(empty) == shapes(prior)


def test_every_energy_and_gradient_is_finite(prior):
    """Beads at one point, on a line, far apart; no noise, little, and much."""
    line, usual = np.arange(N)[:, None] * np.array([[0.3, 0.1, 0.0]]), protein(1, 1)[0]
    together = usual * (np.arange(N)[:, None] % 3 > 0)
    for x in (np.zeros((N, 3)), together, line, -1e3 * line, 1e3 * usual, usual):
        for sigma in (0.0, 1e-5, 0.01, 0.3, 1e2):
            values = derivatives(prior, jnp.asarray(x, jnp.float32), jnp.float32(sigma))
            assert all(np.isfinite(v).all() for v in jax.tree.leaves(values))


def test_at_large_noise_nothing_is_left(prior):
    for sigma in (1.0, 10.0):
        x = jnp.asarray(sigma * np.random.default_rng(0).normal(size=(N, 3)), jnp.float32)
        _, (slope, _) = derivatives(prior, x, jnp.float32(sigma))
        # beside the noise's own force, whose root mean square is 1, it falls with the third power of the noise
        assert sigma * np.abs(slope).max() < (float(prior.terms["stiff"].fade) / sigma) ** 3


@pytest.mark.parametrize("bonds", [(), ((0, 1), (1, 2))])
def test_a_molecule_that_asks_for_nothing_has_no_prior(bonds):
    molecule = dataclasses.replace(chain_molecule(("A",) * 3), bonds=bonds)
    prior = Prior.fit(molecule, np.random.default_rng(0).normal(size=(500, 3, 3)).astype(np.float32))
    value, gradient = jax.value_and_grad(prior, argnums=(0, 1))(jnp.eye(3), jnp.float32(0.01))
    assert prior.sizes == {}
    assert value == 0
    assert all((g == 0).all() for g in gradient)
