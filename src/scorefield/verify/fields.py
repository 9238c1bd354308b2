"""The force as a function of one frame, and means with errors over chains."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ..energy.base import AbstractScore


class MeanForce(eqx.Module):
    """A model's force at one noise level (nm), in kT/nm, of one frame; a pytree, so that compiled code serves any level."""

    model: AbstractScore
    level: Float[Array, ""]

    def __call__(self, x: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
        """The force on every bead."""
        return self.model.mean_force(x, self.level)


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
