"""Energies with a prior: their symmetries, their gradient, and what they must be at any position and any noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import MOLECULE, N, config, frames, in_double, untrained

from scorefield.config import InvariantSettings
from scorefield.energy.build import fit_model, model_shape
from scorefield.energy.invariants import BOUND, Invariants, Standardiser, volume_quads
from scorefield.geometry import all_pairs, random_rotation

KINDS = ["invariant", "beads"]
SIGMAS = [1e-5, 1e-3, 0.02, 0.3, 1e2]


@eqx.filter_jit
def value_and_score(model, x, sigma):
    return model(x, sigma), model.score(x, sigma)


@eqx.filter_jit
def energies(model, x, sigma):
    return jax.vmap(model, (0, None))(x, sigma)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", SIGMAS)
def test_rotation_and_translation_leave_the_energy_and_turn_the_score(sigma, kind):
    model = untrained(kind)
    with jax.enable_x64(True):
        model, x = in_double(model), jnp.asarray(frames()[0], float)
        turn = random_rotation(jax.random.key(1))
        shift = jnp.array([[0.3, -0.2, 0.5]])
        u, score = value_and_score(model, x, jnp.asarray(sigma))
        moved, moved_score = value_and_score(model, x @ turn.T + shift, jnp.asarray(sigma))
    assert float(moved) == pytest.approx(float(u), rel=1e-9)
    np.testing.assert_allclose(moved_score, np.asarray(score) @ np.asarray(turn).T, atol=1e-7 * np.abs(score).max())


@pytest.mark.parametrize("kind", KINDS)
def test_rotation_leaves_the_energy_in_single_precision(kind):
    model, sigma = untrained(kind), jnp.float32(0.02)
    turns = jax.vmap(random_rotation)(jax.random.split(jax.random.key(0), 100))
    x = jnp.asarray(frames()[0])
    u = energies(model, jnp.einsum("rij,nj->rni", turns, x), sigma)
    np.testing.assert_allclose(u, u[0], rtol=1e-4, atol=1e-4)


def test_a_mirror_image_has_another_energy_and_volumes_alone_tell_it_apart():
    model, x, sigma = untrained("invariant"), jnp.asarray(frames()[0]), jnp.float32(0.005)
    both = jnp.stack([x, x * jnp.array([[1.0, 1.0, -1.0]])])
    u, mirror = energies(model, both, sigma)
    assert abs(u - mirror) > 0.01
    n_distances, first = len(all_pairs(N)), model.network.layers[0].weight
    n_volumes = len(volume_quads(N))
    blind = first.at[:, n_distances : n_distances + n_volumes].set(0.0)
    blind = eqx.tree_at(lambda m: m.network.layers[0].weight, model, blind)
    u, mirror = energies(blind, both, sigma)
    assert float(u) == pytest.approx(float(mirror), rel=1e-5)


def test_shared_weights_tell_mirror_images_apart_and_beads_by_their_place():
    model, x, sigma = untrained("beads"), jnp.asarray(frames()[0]), jnp.float32(0.005)
    u, mirror, reversed_chain = energies(model, jnp.stack([x, x * jnp.array([[1.0, 1.0, -1.0]]), x[::-1]]), sigma)
    assert abs(u - mirror) > 0.01
    assert abs(u - reversed_chain) > 0.01


def test_what_is_known_of_a_long_chain_as_a_whole_tells_mirror_images_apart():
    invariants = Invariants(30, coarse=True)
    x = jax.random.normal(jax.random.key(0), (30, 3))
    z, mirror = (np.asarray(invariants(y)) for y in (x, x * jnp.array([[1.0, 1.0, -1.0]])))
    assert len(z) == invariants.number
    distances, volumes = np.split(np.arange(invariants.n_global), [28 * 27 // 2])
    assert len(volumes) == 70
    np.testing.assert_allclose(mirror[distances], z[distances], rtol=1e-5)
    np.testing.assert_allclose(mirror[volumes], -z[volumes], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", [1e-3, 0.02, 1.0])
def test_the_score_is_the_finite_difference_of_the_energy(sigma, kind):
    model = untrained(kind)
    with jax.enable_x64(True):
        model, x, h = in_double(model), jnp.asarray(frames()[1], float), 1e-6
        _, score = value_and_score(model, x, jnp.asarray(sigma))
        for seed in range(3):
            way = jax.random.normal(jax.random.key(seed), x.shape)
            plus, minus = (value_and_score(model, x + step * way, jnp.asarray(sigma))[0] for step in (h, -h))
            assert float((minus - plus) / (2 * h)) == pytest.approx(float(jnp.sum(score * way)), rel=1e-5, abs=1e-5)


POSITIONS = {
    "at one point": np.zeros((N, 3)),
    "two at one point": np.array([[0, 0, 0], [0, 0, 0], [0.1, 0, 0], [0, 0.2, 0]]),
    "on a line": np.arange(N)[:, None] * np.array([[0.1, 0.1, 0.0]]),
    "far apart": 1e3 * np.random.default_rng(0).normal(size=(N, 3)),
    "far away": 1e3 + frames()[0],
    "the data's": frames()[0],
}


@eqx.filter_jit
def all_derivatives(model, x, sigma):
    return jax.value_and_grad(model, (0, 1))(x, sigma), model.mean_force(x, sigma)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", POSITIONS)
def test_energy_score_and_their_derivatives_in_sigma_are_finite(where, kind):
    model, x = untrained(kind), jnp.asarray(POSITIONS[where], jnp.float32)
    for sigma in SIGMAS:
        values = jax.tree.leaves(all_derivatives(model, x, jnp.float32(sigma)))
        assert all(np.isfinite(v).all() for v in values), sigma


def test_the_potential_has_the_prior_at_zero_noise_and_all_else_at_the_level():
    """Up to a constant, so differences of two frames are compared."""
    model, x = untrained("invariant"), jnp.asarray(frames()[2:4])

    def exchanged(model, x, level):
        return model(x, level) - model.prior(x, level) + model.prior(x, jnp.zeros(()))

    @eqx.filter_jit
    def both(model, x, level):
        ours = lambda y: (model.potential(y, level), model.mean_force(y, level))
        return jax.vmap(lambda y: (ours(y), jax.value_and_grad(exchanged, argnums=1)(model, y, level)))(x)

    for level in (0.003, 0.02):
        (u, force), (expected, slope) = both(model, x, jnp.float32(level))
        np.testing.assert_allclose(u[0] - u[1], expected[0] - expected[1], atol=1e-4 * np.abs(expected).max())
        np.testing.assert_allclose(force, -slope, rtol=1e-3, atol=1e-3 * np.abs(slope).max())


def test_without_the_prior_and_with_a_silent_network_the_energy_is_a_normalised_gaussian():
    """3 (N - 1) modes of variance sigma^2 + spread^2 where the prior would be, of the beads' covariance beyond."""
    plain = config("invariant")
    plain = plain.model_copy(update={"energy": InvariantSettings(prior="none", width=8, depth=2)})
    model = fit_model(plain, MOLECULE, frames(), jax.random.key(0))
    assert model_shape(model) == {"prior": {}}
    silent = eqx.tree_at(lambda m: m.network.out.weight, model, jnp.zeros_like(model.network.out.weight))
    x = jnp.asarray(frames()[:3])
    frame = np.asarray(frames(), np.float64)
    covariance = np.einsum("fic,fjc->ij", frame, frame) / (3 * len(frame))
    for sigma, modes in ((1e-3, np.full(N - 1, float(model.spread) ** 2)), (2.0, np.linalg.eigvalsh(covariance)[1:])):
        precision = np.linalg.pinv(covariance + sigma**2 * (np.eye(N) - 1 / N))
        exponent = np.einsum("fic,ij,fjc->f", frame[:3], precision, frame[:3]) / 2
        if sigma < 1:
            exponent = np.sum(frame[:3] ** 2, axis=(1, 2)) / (2 * (modes[0] + sigma**2))
        gaussian = exponent + 1.5 * np.sum(np.log(modes + sigma**2))
        np.testing.assert_allclose(energies(silent, x, jnp.float32(sigma)), gaussian, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_at_large_noise_the_score_is_that_of_a_gaussian_of_the_datas_spread(kind):
    model, spread = untrained(kind), float(np.std(frames()))
    for sigma, tolerance in ((1e2, 0.01), (1e3, 0.001)):
        x = sigma * np.random.default_rng(0).normal(size=(N, 3))
        expected = -(x - x.mean(axis=0)) / (sigma**2 + spread**2)
        _, score = value_and_score(model, jnp.asarray(x, jnp.float32), jnp.float32(sigma))
        np.testing.assert_allclose(score, expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_standardised_at_every_noise_level_and_bounded(kind):
    model = untrained(kind)
    features = jax.jit(jax.vmap(lambda x, sigma: model.standardiser(model.invariants(x), sigma), (0, None)))
    for sigma in (0.001, 0.02, 0.5):
        x = frames() + sigma * np.random.default_rng(0).normal(size=frames().shape).astype(np.float32)
        z = features(x, jnp.float32(sigma))
        assert np.abs(z.mean(axis=0)).max() < 0.3
        assert 0.7 < z.std(axis=0).min() <= z.std(axis=0).max() < 1.3
    far = features(jnp.broadcast_to(1e3 * jnp.eye(N, 3), frames().shape), jnp.float32(1e-3))
    assert np.abs(far).max() <= BOUND


def test_few_frames_are_standardised_like_many():
    model = untrained("invariant")
    few = Standardiser.fit(model.invariants, frames()[:2], 0.05, 0.5, jax.random.key(0))
    x = np.repeat(frames()[:2], 4000, axis=0)
    many = Standardiser.fit(model.invariants, x, 0.05, 0.5, jax.random.key(1))
    np.testing.assert_allclose(few.spread / many.spread, 1, atol=0.1)
