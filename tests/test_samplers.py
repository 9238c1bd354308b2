"""Samplers on a Gaussian, where the distribution they must reach and their discretisation error are closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorefield.energy.base import AbstractScore
from scorefield.energy.gaussian import GaussianEnergy
from scorefield.errors import InputError
from scorefield.geometry import centre
from scorefield.noise import CosineSchedule, karras_levels
from scorefield.samplers import SAMPLERS, SPACING, ancestral_step, draw, probability_flow

N = 4
VARIANCES = np.array([0.0004, 0.004, 0.01])  # nm^2, of the three internal modes
STD = float(np.sqrt(VARIANCES.sum() / N))
LEVELS = {
    "ancestral": CosineSchedule(STD).sampling_levels(),
    "heun": karras_levels(2.0, 0.001, 40),
    "sde": karras_levels(2.0, 0.001, 120, SPACING["sde"]),
}


def gaussian() -> GaussianEnergy:
    modes = np.linalg.qr(np.random.default_rng(0).normal(size=(N, N)) * (np.eye(N) != 0) + np.ones((N, N)))[0]
    modes = np.linalg.qr(np.column_stack([np.ones(N), modes[:, 1:]]))[0][:, 1:]
    return GaussianEnergy.from_covariance(modes @ np.diag(VARIANCES) @ modes.T)


def mode_variances(energy: GaussianEnergy, x: np.ndarray) -> np.ndarray:
    """Variance along each mode, averaged over x, y and z."""
    return np.mean(np.einsum("kn,fnc->fkc", np.asarray(energy.modes), x) ** 2, axis=(0, 2))


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_of_a_gaussian_have_its_variances(name):
    energy, n = gaussian(), 2000
    samples = draw(SAMPLERS[name], energy, jax.random.key(0), n, N, LEVELS[name], batch=1000)
    assert (samples.started, samples.lost, samples.positions.shape) == (n, 0, (n, N, 3))
    np.testing.assert_allclose(samples.positions.mean(axis=1), 0, atol=1e-5)
    error = 1 / np.sqrt(1.5 * n)  # standard error of a variance from 3 n normal numbers, relative
    np.testing.assert_allclose(mode_variances(energy, samples.positions), energy.variances, rtol=4 * error + 0.01)


@pytest.mark.parametrize("name", ["sde", "heun"])
def test_the_last_level_may_be_half_as_wide_as_the_narrowest_mode(name):
    """(v + s^2) (1 - s^2 / (2 (v + s^2)))^2 = 1.0125 v for s^2 = v / 4, where the denoiser would leave 0.8 v."""
    energy, n = gaussian(), 20_000
    levels = karras_levels(2.0, 0.5 * np.sqrt(VARIANCES.min()), 120)
    x = draw(SAMPLERS[name], energy, jax.random.key(5), n, N, levels).positions
    k = np.argmin(energy.variances)
    error = 4 / np.sqrt(1.5 * n)
    assert mode_variances(energy, x)[k] / energy.variances[k] == pytest.approx(1.0125, abs=error + 0.01)


def test_ancestral_step_is_the_posterior_of_the_forward_diffusion():
    """For one Gaussian mode the exact mean of a step is linear: D + rho (x - D), D = v x / (v + sigma^2)."""
    energy, s, s_next = gaussian(), 0.2, 0.15
    x = centre(jax.random.normal(jax.random.key(1), (N, 3))) * 0.2
    keys = jax.random.split(jax.random.key(2), 50_000)
    steps = jax.vmap(lambda k: ancestral_step(energy, x, jnp.float32(s), jnp.float32(s_next), k))(keys)
    y, ys = energy.modes @ x, np.einsum("kn,fnc->fkc", energy.modes, steps)
    v, rho = np.asarray(energy.variances)[:, None], (s_next / s) ** 2
    d = v / (v + s**2) * y
    sd = s_next * np.sqrt(1 - rho)
    np.testing.assert_allclose(ys.mean(axis=0), d + rho * (y - d), atol=5 * sd / np.sqrt(len(keys)))
    np.testing.assert_allclose(ys.std(axis=0), sd, rtol=0.02)


def test_the_steps_are_those_of_the_variance_preserving_formulas():
    """Ho et al. 2020, eqs. 6-7, in x_vp = sqrt(abar) x / std, for every t of the cosine schedule."""
    s = CosineSchedule(STD).sigmas
    abar = 1 / (1 + (s / STD) ** 2)
    alpha, beta = abar[1:] / abar[:-1], 1 - abar[1:] / abar[:-1]
    from_x0 = np.sqrt(abar[:-1]) * beta / (1 - abar[1:])
    from_x = np.sqrt(alpha) * (1 - abar[:-1]) / (1 - abar[1:])
    variance = beta * (1 - abar[:-1]) / (1 - abar[1:])
    rho = (s[:-1] / s[1:]) ** 2
    np.testing.assert_allclose(from_x0, np.sqrt(abar[:-1]) * (1 - rho), rtol=1e-6)
    np.testing.assert_allclose(from_x, np.sqrt(abar[:-1] / abar[1:]) * rho, rtol=1e-6)
    np.testing.assert_allclose(variance, abar[:-1] * s[:-1] ** 2 * (1 - rho) / STD**2, rtol=1e-6)


def test_heun_converges_with_order_two():
    """The probability flow of a Gaussian mode is x(0) = x(sigma) sqrt(v / (v + sigma^2))."""
    with jax.enable_x64(True):
        energy, sigma = gaussian(), 1.0
        x = centre(jax.random.normal(jax.random.key(3), (N, 3))) * sigma
        v = energy.variances[:, None]
        exact = energy.modes.T @ (jnp.sqrt(v / (v + sigma**2)) * (energy.modes @ x))
        grids = [karras_levels(sigma, 1e-7, n) for n in (101, 201, 401)]
        flow = jax.jit(probability_flow)
        errors = [float(jnp.abs(flow(energy, x, grid) - exact).max()) for grid in grids]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 2.0, atol=0.15)


def test_the_stochastic_sampler_converges_with_order_two():
    """Variances of 200,000 samples."""
    n, energy = 200_000, gaussian()
    variances = lambda steps: mode_variances(
        energy, draw(SAMPLERS["sde"], energy, jax.random.key(4), n, N, karras_levels(1.0, 1e-3, steps), n).positions
    )
    errors = [np.abs(variances(steps) / energy.variances - 1).max() for steps in (25, 49, 97)]
    assert errors[0] > 10 / np.sqrt(1.5 * n)
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3 + 4 / np.sqrt(1.5 * n)


def test_the_stochastic_sampler_forgets_an_error_of_large_levels():
    """Of a score that is wrong above a level the flow keeps the error in narrower modes, the stochastic sampler does not."""

    class Wrong(AbstractScore):
        energy: GaussianEnergy

        def score(self, x, sigma):
            return self.energy.score(x, sigma) * jnp.where(sigma > 0.1, 0.5, 1.0)

        def mean_force(self, x, level):
            return self.score(x, level)

    energy = gaussian()
    error = {}
    for name in ("heun", "sde"):
        x = draw(SAMPLERS[name], Wrong(energy), jax.random.key(0), 4000, N, LEVELS[name]).positions
        error[name] = np.abs(mode_variances(energy, x) / energy.variances - 1)[np.argmin(energy.variances)]
    assert error["heun"] > 0.5
    assert error["sde"] < 0.1


@pytest.mark.parametrize("name", SAMPLERS)
def test_evaluations_a_sample(name):
    """One a level for the stochastic samplers, 2 n - 1 for Heun's."""
    calls = []

    class Counted(AbstractScore):
        energy: GaussianEnergy

        def score(self, x, sigma):
            jax.debug.callback(lambda: calls.append(1))
            return self.energy.score(x, sigma)

        def mean_force(self, x, level):
            return self.score(x, level)

    levels = karras_levels(1.0, 0.01, 6)
    jax.block_until_ready(SAMPLERS[name](Counted(gaussian()), jax.random.key(0), N, levels))
    jax.effects_barrier()
    assert len(calls) == {"sde": 6, "ancestral": 6, "heun": 11}[name]


def test_draw_counts_what_is_not_finite_and_reports_progress():
    class Broken(AbstractScore):
        limit: float = eqx.field(static=True)

        def score(self, x, sigma):
            return jnp.where(x[0, 0] > self.limit, jnp.nan, -x / (1 + sigma**2))

        def mean_force(self, x, level):
            return self.score(x, level)

    progress = []
    levels = karras_levels(1.0, 0.01, 5)
    samples = draw(SAMPLERS["heun"], Broken(0.5), jax.random.key(0), 50, N, levels, batch=20, on_batch=progress.append)
    assert progress == [20, 40, 50]
    assert samples.started == 50
    assert 0 < samples.lost < 50
    assert len(samples.positions) == 50 - samples.lost
    assert np.isfinite(samples.positions).all()


def test_no_samples_cannot_be_drawn():
    with pytest.raises(InputError, match="1 or more"):
        draw(SAMPLERS["heun"], gaussian(), jax.random.key(0), 0, N, karras_levels(1.0, 0.01, 5))


def test_the_same_key_gives_the_same_samples():
    first, second, other = (
        draw(SAMPLERS["ancestral"], gaussian(), jax.random.key(k), 8, N, karras_levels(1.0, 0.01, 6)).positions
        for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0
