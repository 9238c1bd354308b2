"""What a model's potential is linear in, and how far its mean in some frames is from that in the data."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .energy.invariant import InvariantEnergy
from .energy.shifts import shifted
from .errors import InputError
from .fields import over_frames

RIDGE, REACHED, ASTRAY = 1e-3, 0.999, 3.0


@eqx.filter_jit
def features(
    energy: InvariantEnergy, x: Float[Array, "f n 3"], sigma: Float[Array, " f"], read_off: bool
) -> Float[Array, "f k"]:
    """f = dU/dw of every frame (nm) at noise `sigma` (nm), in kT a unit of w, the numbers added to the last layer.

    U is the potential that forces are read off from if `read_off`, else that of the noised density.
    """
    nothing = jnp.zeros(sum(w.size for w in energy.network.readout))

    def one(x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, " k"]:
        def potential(by: Float[Array, " k"]) -> Float[Array, ""]:
            moved = eqx.tree_at(lambda e: e.network, energy, shifted(energy.network, by))
            return moved.potential(x, sigma) if read_off else moved(x, sigma)

        return jax.grad(potential)(nothing)

    return over_frames(one, x, sigma)


class Target(NamedTuple):
    """The data's features: `mean`, `inverse` (C + ridge)^-1, how far one frame may count (`reach`), and their mean then.

    C is the covariance of the features. A walker that has strayed where no data are has features without bounds. It is to be
    driven back, but must not turn the potential of all others for that: features count up to the `reach` of 999 in 1000
    frames of the data.
    """

    mean: Float[np.ndarray, " k"]
    inverse: Float[np.ndarray, "k k"]
    reach: float
    bounded_mean: Float[np.ndarray, " k"]

    @staticmethod
    def of(found: Float[np.ndarray, "f k"]) -> "Target":
        """Directions in which the features hardly vary are left alone: ridge, `RIDGE` of the largest variance.

        Raises InputError if nothing varies.
        """
        covariance = np.atleast_2d(np.cov(found.T)) if len(found) > 1 else np.zeros((1, 1))
        values, vectors = np.linalg.eigh(covariance)
        if not values[-1] > 0:
            raise InputError("the training frames are all alike; there is nothing to refine towards")
        inverse = vectors / (values + RIDGE * values[-1]) @ vectors.T
        free = Target(found.mean(axis=0), inverse, np.inf, np.zeros(found.shape[1]))
        bound = free._replace(reach=float(np.quantile(free.lengths(found - free.mean), REACHED)))
        return bound._replace(bounded_mean=bound.excess(found))

    def excess(self, found: Float[np.ndarray, "f k"]) -> Float[np.ndarray, " k"]:
        """Mean of bounded features beyond that of the data; what is not finite is left out."""
        off = (found - self.mean)[np.isfinite(found).all(axis=1)]
        if not len(off):
            return np.zeros(len(self.mean))
        shares = np.minimum(1.0, self.reach / np.maximum(self.lengths(off), 1e-12))
        return (off * shares[:, None]).mean(axis=0) - self.bounded_mean

    def astray(self, found: Float[np.ndarray, "f k"]) -> Bool[np.ndarray, " f"]:
        """Which frames are `ASTRAY` times as far from the data as a frame may count."""
        return ~(self.lengths(found - self.mean) <= ASTRAY * self.reach)  # what is no number is astray

    def lengths(self, off: Float[np.ndarray, "f k"]) -> Float[np.ndarray, " f"]:
        """Of differences of features, in units of C."""
        return np.sqrt(np.einsum("fk,fk->f", off @ self.inverse, off))
