"""A network for each range of noise levels: how they hand over."""

import jax
import jax.numpy as jnp
import numpy as np

from scorefield.energy.networks import RangeMixture, ResidualMLP, range_weights

BOUNDARIES = (0.01, 0.2)
SIGMAS = jnp.geomspace(1e-4, 10.0, 200)


def weights() -> np.ndarray:
    return np.stack([jax.vmap(lambda s, k=k: range_weights(s, BOUNDARIES)[k])(SIGMAS) for k in range(3)], axis=1)


def test_weights_sum_to_one_and_each_range_is_one_networks():
    w = weights()
    np.testing.assert_allclose(w.sum(axis=1), 1.0, atol=1e-6)
    assert w.min() >= 0
    for k, sigma in enumerate((0.004, 0.05, 1.0)):
        assert w[np.abs(np.asarray(SIGMAS) - sigma).argmin(), k] == 1


def test_the_derivative_of_the_weights_has_no_jump():
    slope = jax.vmap(jax.grad(lambda log: range_weights(jnp.exp(log), BOUNDARIES)[1]))(jnp.log(SIGMAS))
    assert np.abs(np.diff(slope)).max() < 0.5 * np.abs(slope).max()
    assert slope[0] == slope[-1] == 0


def test_within_a_range_the_mixture_is_its_network_and_at_no_noise_the_first():
    networks = [ResidualMLP(4, 8, 2, key) for key in jax.random.split(jax.random.key(0), 3)]
    mixture, f = RangeMixture(networks, BOUNDARIES), (jnp.arange(3.0), jnp.arange(1.0), jnp.zeros((2, 3)))
    for network, sigma in zip([networks[0], *networks], (0.0, 0.004, 0.05, 1.0), strict=True):
        np.testing.assert_allclose(mixture(*f, jnp.float32(sigma)), network(*f, jnp.float32(sigma)), rtol=1e-6)


def test_at_one_level_only_the_networks_that_count_are_left():
    networks = [ResidualMLP(4, 8, 2, key) for key in jax.random.split(jax.random.key(0), 3)]
    mixture = RangeMixture(networks, BOUNDARIES)
    assert [mixture.at(level) for level in (1e-4, 0.05, 1.0)] == networks
    assert mixture.at(BOUNDARIES[0]) is mixture
