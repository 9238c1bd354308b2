"""Vector fields of one frame, a score or a force: their divergence, and what of them acts on soft coordinates."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .geometry import centre, distances

EXACT_UP_TO = 20
_BATCH = 64

Field = Callable[[Float[Array, "n 3"]], Float[Array, "n 3"]]


def divergence(
    field: Field,
    x: Float[Array, "n 3"],
    key: PRNGKeyArray,
    probes: int = 8,
) -> Float[Array, ""]:
    """sum_k d field_k / d x_k of one frame, forward mode: exact up to 20 beads, else estimated from random `probes`.

    Hutchinson's estimator, <v . (J v)> over random signs v.
    """
    exact = x.shape[0] <= EXACT_UP_TO
    directions = jnp.eye(x.size, dtype=x.dtype) if exact else jax.random.rademacher(key, (probes, x.size), x.dtype)
    along = lambda v: jnp.vdot(v, jax.jvp(field, (x,), (v.reshape(x.shape),))[1].ravel())
    return jnp.sum(jax.vmap(along)(directions)) * (1.0 if exact else 1 / probes)


def over_frames(function: Callable, *arrays: Array) -> Array:
    """`function` of one frame (and whatever goes with it) over the first axis of all `arrays`, some frames at a time."""
    n = len(arrays[0])
    # fewer of a large molecule: what is held of a frame grows with its pairs
    batch = min(n, max(1, _BATCH * EXACT_UP_TO // max(EXACT_UP_TO, arrays[0].shape[1])))
    # filled up by repetition: a batch of another size would be compiled once more
    filled = jax.tree.map(lambda a: a[np.arange(-(-n // batch) * batch) % n], arrays)
    found = jax.lax.map(lambda a: function(*a), filled, batch_size=batch)
    return jax.tree.map(lambda a: a[:n], found)


def soft(field: Field, pairs: Int[np.ndarray, "m 2"]) -> Field:
    """`field` without what changes the distances of `pairs`: projected off the span of their gradients."""
    if not len(pairs):
        return field

    def projected(x: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
        gradients = jax.jacfwd(lambda y: distances(centre(y), pairs))(x).reshape(len(pairs), -1)
        value = field(x).ravel()
        metric = gradients @ gradients.T + 1e-6 * jnp.eye(len(pairs))  # three beads in line: rows not independent
        return (value - gradients.T @ jnp.linalg.solve(metric, gradients @ value)).reshape(x.shape)

    return projected
