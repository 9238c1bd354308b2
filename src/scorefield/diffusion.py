"""The losses: denoising (arXiv 2302.00600, eq. 5, in coordinates that keep the data's scale), with forces where there are
some, or by forces alone; contrast of levels; and the penalty on the residual of the Fokker-Planck equation.
Positions and sigma in nm; losses have no unit.

g   a force label over kT, 1/nm, centred: a noisy draw whose mean, given the beads' positions, is the score at sigma = 0
F   root mean square of g over the degrees of freedom, 1/nm
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .energy.base import AbstractEnergy, AbstractScore
from .geometry import EXACT, centre, random_rotation
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


def force_denoising_loss(
    model: AbstractScore,
    x0: Float[Array, "n 3"],
    label: Float[Array, "n 3"],
    sigma: Float[Array, ""],
    key: PRNGKeyArray,
    rms: float,
) -> Float[Array, ""]:
    """The denoising loss with the force as a second label, at every noise level; one frame, its `label` g, and F.

    As -n/sigma does, g(x0) has the score of p_sigma as its mean, given x = x0 + sigma n: the score of a convolution is the
    mean of the score (target score identity, arXiv 2402.08667). So has w (-n/sigma) + (1 - w) g, whose mean square is
    least at w = sigma^2 F^2 / (1 + sigma^2 F^2), n and g being independent; it is then 1 / (sigma^2 + 1/F^2), the scale of
    this loss. At sigma >> 1/F it is the denoising loss, at sigma = 0 force matching. `key` as for `denoising_loss`.
    """
    noise = centre(jax.random.normal(key, x0.shape, x0.dtype))
    variance = sigma**2 + 1 / rms**2
    scaled = model.score(x0 + sigma * noise, sigma) * variance + sigma * noise - label / rms**2
    return jnp.mean(scaled**2) / variance


def force_matching_loss(
    energy: AbstractScore, x0: Float[Array, "n 3"], label: Float[Array, "n 3"], rms: float
) -> Float[Array, ""]:
    """Mean square of the mean force at noise 0 less the `label` g, over F^2; one frame: the classical way (no noise)."""
    return jnp.mean((energy.mean_force(x0, jnp.zeros((), x0.dtype)) - label) ** 2) / rms**2


def rotated(x: Float[Array, "n 3"], key: PRNGKeyArray) -> Float[Array, "n 3"]:
    """`x` turned by a uniformly random rotation about the origin: the paper's augmentation."""
    return jnp.matmul(x, random_rotation(key).T, precision=EXACT)


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
