"""Noise levels: the cosine schedule against its definition, index <-> sigma, and what training draws."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorefield.noise import CosineLevels, CosineSchedule, LogUniformMixture, karras_levels

SCHEDULE = CosineSchedule(std=0.0945)


def test_cosine_schedule_is_its_definition():
    f = lambda t: np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    abar = f(np.arange(1, 1001)) / f(0)
    abar[-1] = abar[-2] * (1 - 0.999)  # the last beta is the only one that is clipped
    np.testing.assert_allclose(SCHEDULE.sigmas, 0.0945 * np.sqrt((1 - abar) / abar), rtol=1e-9)
    assert np.all(np.diff(SCHEDULE.sigmas) > 0)
    np.testing.assert_array_equal(SCHEDULE.sampling_levels(), SCHEDULE.sigmas[::-1])


def test_index_and_sigma_are_inverse_to_each_other():
    t = jnp.arange(1000.0)
    sigma = jax.vmap(SCHEDULE.sigma)(t)
    np.testing.assert_allclose(sigma, SCHEDULE.sigmas, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(SCHEDULE.index)(sigma), t, atol=2e-3)
    between = jnp.array([0.25, 13.7, 998.5])
    np.testing.assert_allclose(jax.vmap(SCHEDULE.index)(jax.vmap(SCHEDULE.sigma)(between)), between, atol=2e-3)
    middle = np.sqrt(SCHEDULE.sigmas[10] * SCHEDULE.sigmas[11])
    assert float(SCHEDULE.index(jnp.float32(middle))) == pytest.approx(10.5, abs=1e-4)


@pytest.mark.parametrize(("sigma", "t"), [(1e-30, 0), (1e-40, 0), (0.0, 0), (1e30, 999)])
def test_index_is_clamped_outside_the_schedule(sigma, t):
    assert float(SCHEDULE.index(jnp.float32(sigma))) == t


def test_karras_levels_follow_their_power_law():
    levels = karras_levels(1.2, 0.0015, 10, rho=7)
    assert levels[0] == pytest.approx(1.2)
    assert levels[-1] == pytest.approx(0.0015)
    np.testing.assert_allclose(np.diff(levels ** (1 / 7)), np.diff(levels ** (1 / 7))[0], rtol=1e-9)


def test_cosine_levels_draw_half_below_the_threshold_and_uniformly_on_each_side():
    draws = np.asarray(jax.vmap(CosineLevels(SCHEDULE).sample)(jax.random.split(jax.random.key(0), 40_000)))
    t = np.rint(jax.vmap(SCHEDULE.index)(jnp.asarray(draws)))
    assert np.mean(t < 100) == pytest.approx(0.5, abs=0.01)
    assert np.mean(t[t < 100]) == pytest.approx(49.5, abs=1)
    assert np.mean(t[t >= 100]) == pytest.approx(549.5, abs=10)
    assert (t.min(), t.max()) == (0, 999)


@pytest.mark.parametrize(
    ("edges", "shares"), [((0.0015, 0.03, 1.2), (0.6, 0.4)), ((0.004, 0.08, 0.6, 7.0), (0.45, 0.35, 0.2))]
)
def test_log_uniform_mixture_has_its_shares_and_is_log_uniform_between_edges(edges, shares):
    levels = LogUniformMixture(edges, shares)
    draws = np.asarray(jax.vmap(levels.sample)(jax.random.split(jax.random.key(1), 60_000)))
    assert levels.small == edges[:2]
    for (low, high), share in zip(pairwise(edges), shares, strict=True):
        inside = (draws >= low) & (draws < high)
        assert np.mean(inside) == pytest.approx(share, abs=0.01)
        u = np.log(draws[inside] / low) / np.log(high / low)
        np.testing.assert_allclose([u.mean(), u.std()], [0.5, 1 / np.sqrt(12)], atol=0.01)
        density = levels.log_density(jnp.float32(np.sqrt(low * high)))
        assert float(density) == pytest.approx(np.log(share / np.log(high / low)), abs=1e-5)
    assert np.isneginf([levels.log_density(jnp.float32(s)) for s in (0.99 * edges[0], 1.01 * edges[-1])]).all()
