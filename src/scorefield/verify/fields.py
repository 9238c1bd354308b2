"""The force as a function of one frame, derivatives of vector fields, and means with errors over chains."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..energy.base import AbstractScore

EXACT_UP_TO = 20
_BATCH = 64


class MeanForce(eqx.Module):
    """A model's force at one noise level (nm), in kT/nm, of one frame; a pytree, so that compiled code serves any level."""

    model: AbstractScore
    level: Float[Array, ""]

    def __call__(self, x: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
        """The force on every bead."""
        return self.model.mean_force(x, self.level)


def divergence(
    field: Callable[[Float[Array, "n 3"]], Float[Array, "n 3"]],
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
    batch = min(n, _BATCH)
    # filled up by repetition: a batch of another size would be compiled once more
    filled = jax.tree.map(lambda a: a[np.arange(-(-n // batch) * batch) % n], arrays)
    found = jax.lax.map(lambda a: function(*a), filled, batch_size=batch)
    return jax.tree.map(lambda a: a[:n], found)


def chain_ratio(
    numerator: Float[np.ndarray, "f *k"], denominator: Float[np.ndarray, "f *k"], lengths: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """<numerator> / <denominator> over frames and its standard error, chains being independent (NaN for one chain)."""
    starts = np.cumsum((0, *lengths[:-1]))
    top, bottom = (np.add.reduceat(np.asarray(a, np.float64), starts, axis=0) for a in (numerator, denominator))
    ratio = top.sum(axis=0) / bottom.sum(axis=0)
    off = top - ratio * bottom
    n = len(lengths)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.sum(off**2, axis=0) * np.divide(n, n - 1)
    return ratio, np.sqrt(variance) / np.abs(bottom.sum(axis=0))
