"""The losses: denoising (arXiv 2302.00600, eq. 5, in coordinates that keep the data's scale), contrast of levels, and the
penalty on the residual of the Fokker-Planck equation. Positions and sigma in nm; losses have no unit."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .energy.base import AbstractEnergy, AbstractScore
from .geometry import centre, random_rotation
from .noise import LogUniformMixture

CONTRAST_STEP = (0.1, 0.8)


def denoising_loss(
    model: AbstractScore, x0: Float[Array, "n 3"], sigma: Float[Array, ""], key: PRNGKeyArray
) -> Float[Array, ""]:
    """Mean square of sigma * score(x0 + sigma n, sigma) + n over the coordinates, n ~ N(0, I) centred; one frame.

    In expectation it is least, over all functions, at the score of p_sigma, where it tends to 1 - 1/n_beads as sigma -> 0.
    """
    noise = centre(jax.random.normal(key, x0.shape, x0.dtype))
    return jnp.mean((sigma * model.score(x0 + sigma * noise, sigma) + noise) ** 2)


def rotated(x: Float[Array, "n 3"], key: PRNGKeyArray) -> Float[Array, "n 3"]:
    """`x` turned by a uniformly random rotation about the origin: the paper's augmentation."""
    return x @ random_rotation(key).T


def level_contrast(
    energy: AbstractEnergy,
    levels: LogUniformMixture,
    x0: Float[Array, "n 3"],
    sigma: Float[Array, ""],
    key: PRNGKeyArray,
    level_key: PRNGKeyArray,
) -> Float[Array, ""]:
    """-log of the probability, by a normalised energy, that x0 + sigma n was noised at sigma and not at sigma'; one frame.

    sigma' lies above or below by a random factor of e^0.1 to e^0.8. The denoising loss knows gradients only, so at small
    noise it hardly sees how populated two basins are that no data connect. Which level a frame comes from depends on
    U(x, sigma') - U(x, sigma) itself; that ties every level to the larger ones, where the basins overlap (the idea of
    DiffCLF, arXiv 2601.21025). Zero where sigma' is outside the levels. `key` as for `denoising_loss`: the same noise.
    """
    x = x0 + sigma * centre(jax.random.normal(key, x0.shape, x0.dtype))
    step_key, side_key = jax.random.split(level_key)
    step = jax.random.uniform(step_key, (), minval=CONTRAST_STEP[0], maxval=CONTRAST_STEP[1])
    other = sigma * jnp.exp(jnp.where(jax.random.bernoulli(side_key), step, -step))
    prior_odds = levels.log_density(sigma) - levels.log_density(other)
    inside = jnp.isfinite(prior_odds)
    odds = energy(x, other) - energy(x, sigma) + jnp.where(inside, prior_odds, 0.0)
    return jnp.where(inside, jax.nn.softplus(-odds), 0.0)


def fokker_planck_penalty(
    energy: AbstractEnergy,
    x0: Float[Array, "n 3"],
    sigma: Float[Array, ""],
    key: PRNGKeyArray,
    probe_key: PRNGKeyArray,
) -> Float[Array, ""]:
    """Square of the residual of the Fokker-Planck equation at x0 + sigma n, per degree of freedom; one frame.

    -log p_sigma obeys (1/sigma) dU/dsigma = Laplacian U - |grad U|^2 where it is normalised (the penalty of
    arXiv 2506.17139); times sigma^2, so that every level counts alike. The Laplacian is estimated with two independent
    random probes and the square taken as the product of the two residuals: without bias, so it can be negative.
    `key` as for `denoising_loss`: the same noise.
    """
    x = x0 + sigma * centre(jax.random.normal(key, x0.shape, x0.dtype))
    gradient = jax.grad(energy.__call__)
    probes = jax.vmap(centre)(jax.random.rademacher(probe_key, (2, *x.shape), x.dtype))
    along = lambda v: jax.jvp(lambda y: gradient(y, sigma), (x,), (v,))
    force, curvature = jax.vmap(along)(probes)
    laplacian = jnp.sum(probes * curvature, axis=(1, 2))
    rate = jax.grad(lambda s: energy(x, s))(sigma) / sigma
    residual = sigma**2 * (rate - laplacian + jnp.sum(force[0] ** 2))
    return residual[0] * residual[1] / (3 * (x.shape[0] - 1))
