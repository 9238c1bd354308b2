"""Independent samples by denoising: from Gaussian noise at the largest level down to none.

x       (n_beads, 3) nm, one frame;  levels: decreasing noise levels in nm, the last one positive
D       the denoiser, E[x0 | x] = x + sigma^2 score(x, sigma) (Tweedie)
d       dx/dsigma = -sigma score(x, sigma), the probability-flow ODE (Karras et al. 2022, eq. 1)

Every sampler has one signature, `sample(model, key, n_beads, levels)`: one centred frame from N(0, levels[0]^2), one
step from each level to the next, and one from the last level to 0. The paper's takes D there; the others half of the way to
D, which is the flow's Euler step in sigma^2: it keeps the variance v of a narrow mode up to sigma^4 / v, where D, the mean
of what may have been, is narrower by sigma^2.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from .energy.base import AbstractScore
from .errors import InputError
from .geometry import centre

Levels = Float[Array, " k"] | Float[np.ndarray, " k"]
Sampler = Callable[[AbstractScore, PRNGKeyArray, int, Levels], Float[Array, "n 3"]]

ETA = 2.0
"""Noise of `sde`, in that of the time reversal of the diffusion."""
SPACING = {"sde": 20.0}
"""The exponent of `noise.karras_levels` where it is not 7: what is stochastic needs more levels where noise is small."""


def ancestral_step(
    model: AbstractScore,
    x: Float[Array, "n 3"],
    sigma: Float[Array, ""],
    sigma_next: Float[Array, ""],
    key: PRNGKeyArray,
) -> Float[Array, "n 3"]:
    """A draw from q(x_next | x, x0 = D(x)) of the diffusion from `sigma` to the smaller `sigma_next`.

    The step of arXiv 2302.00600 (Ho et al. 2020, eqs. 6-7 and 15) in coordinates that keep the data's scale, where its
    posterior has mean D + rho (x - D) and variance sigma_next^2 (1 - rho) with rho = (sigma_next / sigma)^2.
    """
    rho = (sigma_next / sigma) ** 2
    x0 = _denoise(model, x, sigma)
    return x0 + rho * (x - x0) + sigma_next * jnp.sqrt(1 - rho) * _centred_normal(key, x.shape[0])


def heun_step(
    model: AbstractScore, x: Float[Array, "n 3"], sigma: Float[Array, ""], sigma_next: Float[Array, ""]
) -> Float[Array, "n 3"]:
    """One step of the probability-flow ODE by Heun's method: two evaluations (Karras et al. 2022, Algorithm 1)."""
    h = sigma_next - sigma
    d = -sigma * model.score(x, sigma)
    d_next = -sigma_next * model.score(x + h * d, sigma_next)
    return x + h * (d + d_next) / 2


def ancestral(model: AbstractScore, key: PRNGKeyArray, n_beads: int, levels: Levels) -> Float[Array, "n 3"]:
    """The stochastic sampler of the paper, with `CosineSchedule.sampling_levels`: one evaluation a level."""

    def step(x, inputs):
        return centre(ancestral_step(model, x, *inputs)), None

    x, steps = _start(key, n_beads, levels)
    x, _ = jax.lax.scan(step, x, steps)
    return centre(_denoise(model, x, jnp.asarray(levels[-1], x.dtype)))


def sde(model: AbstractScore, key: PRNGKeyArray, n_beads: int, levels: Levels) -> Float[Array, "n 3"]:
    """The stochastic sampler of second order, with `noise.karras_levels`: one evaluation a level.

    The multistep exponential integrator of Lu et al. (2022), SDE-DPM-Solver++(2M), D extrapolated in -ln sigma, for a
    reverse diffusion with `ETA` times the usual noise (0 is the probability flow). Fresh noise lets every level mend what
    the levels above it left wrong, where the probability flow carries each error down to the end.
    """

    def step(carry, inputs):
        x, before, h_before = carry
        sigma, sigma_next, key = inputs
        x0, h = _denoise(model, x, sigma), jnp.log(sigma / sigma_next)
        slope = jnp.where(h_before > 0, (x0 - before) / jnp.maximum(h_before, 1e-12), 0.0)
        kept = jnp.exp(-(1 + ETA) * h)
        x = kept * x + (1 - kept) * (x0 + h / 2 * slope)
        x += sigma_next * jnp.sqrt(-jnp.expm1(-2 * ETA * h)) * _centred_normal(key, n_beads)
        return (centre(x), x0, h), None

    x, steps = _start(key, n_beads, levels)
    (x, _, _), _ = jax.lax.scan(step, (x, jnp.zeros_like(x), jnp.zeros((), x.dtype)), steps)
    return centre(_to_zero(model, x, jnp.asarray(levels[-1], x.dtype)))


def heun(model: AbstractScore, key: PRNGKeyArray, n_beads: int, levels: Levels) -> Float[Array, "n 3"]:
    """The deterministic sampler of second order, with `noise.karras_levels`: 2 len(levels) - 1 evaluations."""
    levels = jnp.asarray(levels, jnp.result_type(float))
    return probability_flow(model, levels[0] * _centred_normal(key, n_beads), levels)


def probability_flow(model: AbstractScore, x: Float[Array, "n 3"], levels: Levels) -> Float[Array, "n 3"]:
    """`x` at noise levels[0] carried along the probability-flow ODE to noise 0: Heun's steps, the last one Euler's."""
    levels = jnp.asarray(levels, x.dtype)

    def step(x, inputs):
        return centre(heun_step(model, x, *inputs)), None

    x, _ = jax.lax.scan(step, x, (levels[:-1], levels[1:]))
    return centre(_to_zero(model, x, levels[-1]))


SAMPLERS: dict[str, Sampler] = {"sde": sde, "ancestral": ancestral, "heun": heun}


class Samples(NamedTuple):
    """The finite frames of `started` draws, (started - lost, n_beads, 3) in nm, and how many were not finite."""

    positions: Float[np.ndarray, "f n 3"]
    started: int
    lost: int


def draw(
    sampler: Sampler,
    model: AbstractScore,
    key: PRNGKeyArray,
    n: int,
    n_beads: int,
    levels: Levels,
    batch: int = 1024,
    on_batch: Callable[[int], None] | None = None,
) -> Samples:
    """`n` independent frames, `batch` at a time; `on_batch` is told how many are done after each batch.

    Frames that are not finite are counted as lost and left out. Raises InputError if `n` is less than 1.
    """
    if n < 1:
        raise InputError(f"{n} samples; it must be 1 or more")
    batch = min(batch, n)
    levels = jnp.asarray(levels, jnp.result_type(float))
    done, frames = 0, []
    for batch_key in jax.random.split(key, -(-n // batch)):
        frames.append(np.asarray(_batch(sampler, model, jax.random.split(batch_key, batch), n_beads, levels)))
        frames[-1] = frames[-1][: n - done]
        done += len(frames[-1])
        if on_batch is not None:
            on_batch(done)
    positions = np.concatenate(frames)
    finite = np.isfinite(positions).all(axis=(1, 2))
    return Samples(positions[finite], n, int((~finite).sum()))


@eqx.filter_jit
def _batch(
    sampler: Sampler, model: AbstractScore, keys: Key[Array, " batch"], n_beads: int, levels: Levels
) -> Float[Array, "batch n 3"]:
    return jax.vmap(lambda key: sampler(model, key, n_beads, levels))(keys)


def _start(key: PRNGKeyArray, n_beads: int, levels: Levels) -> tuple[Float[Array, "n 3"], tuple[Array, Array, Array]]:
    """Noise of the first level, and for each step its level, the next and a random key."""
    start, steps = jax.random.split(key)
    levels = jnp.asarray(levels, jnp.result_type(float))
    return levels[0] * _centred_normal(start, n_beads), (
        levels[:-1],
        levels[1:],
        jax.random.split(steps, len(levels) - 1),
    )


def _denoise(model: AbstractScore, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, "n 3"]:
    return x + sigma**2 * model.score(x, sigma)


def _to_zero(model: AbstractScore, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, "n 3"]:
    return x + sigma**2 / 2 * model.score(x, sigma)


def _centred_normal(key: PRNGKeyArray, n_beads: int) -> Float[Array, "n 3"]:
    return centre(jax.random.normal(key, (n_beads, 3)))
