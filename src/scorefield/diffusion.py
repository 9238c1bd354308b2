"""The denoising loss (arXiv 2302.00600, eq. 5, in coordinates that keep the data's scale)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .energy.base import AbstractScore
from .geometry import centre, random_rotation


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
