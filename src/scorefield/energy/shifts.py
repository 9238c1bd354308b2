"""What simulations have found to be added to the last layer of a network, level by level (`refine`)."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .networks import AbstractNetwork


class Shifts(eqx.Module):
    """Numbers added to a network's readout: linear in ln sigma between levels (nm), beyond them as at the nearest."""

    log_levels: Float[Array, " g"]
    values: Float[Array, "g k"]

    def added(self, network: AbstractNetwork, sigma: Float[Array, ""]) -> AbstractNetwork:
        """`network` as it is at noise `sigma` (nm)."""
        grid = jnp.arange(len(self.log_levels), dtype=jnp.float32)
        position = jnp.interp(jnp.log(jnp.maximum(sigma, 1e-12)), self.log_levels, grid)
        return shifted(network, jnp.maximum(0.0, 1 - jnp.abs(position - grid)) @ self.values)

    @staticmethod
    def zeros(levels: int, network: AbstractNetwork) -> "Shifts":
        """Of the shapes for so many levels, all zero."""
        return Shifts(jnp.zeros(levels), jnp.zeros((levels, sum(w.size for w in network.readout))))


def shifted(network: AbstractNetwork, by: Float[Array, " k"]) -> AbstractNetwork:
    """`network` with `by` added to its readout."""
    weights = network.readout
    parts = jnp.split(by, np.cumsum([w.size for w in weights])[:-1])
    new = [w + part.reshape(w.shape) for w, part in zip(weights, parts, strict=True)]
    return eqx.tree_at(lambda n: n.readout, network, new)
