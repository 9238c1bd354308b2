r"""A network for chains of any length: what surrounds each bead, by weights that know beads by their features alone.

    NN(x, sigma) = sum_i w_i . h_i
    h_i <- silu(a_i (W chain around i) + b_i + D_i(h))              the first layer
    h_i <- silu(a_i (W [h_i-4, h_i, h_i+4]) + b_i + D_i(h)) + h_i   further ones

As `beads.BeadNetwork`, whose densities D_i it has, without a part for the whole molecule; and the scales a_i, the shifts b_i
and the weights w_i are functions of the noise and of what bead i is (FiLM, arXiv 1709.07871).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .beads import Layer, along, around, reach
from .densities import of_all
from .invariants import REACH, Invariants
from .networks import AbstractNetwork, affine, lecun

HIDDEN = 64


class ChainNetwork(eqx.Module):
    """One frame and the `n_features` numbers of each of its beads to one number."""

    what: eqx.nn.Linear
    modulation: eqx.nn.Linear
    layers: list[Layer]
    out: Float[Array, " h"]
    channels: int = eqx.field(static=True)
    radial: int = eqx.field(static=True)
    cutoff: float = eqx.field(static=True)

    def __init__(
        self,
        n_features: int,
        n_noise: int,
        *,
        width: int,
        interactions: int,
        channels: int,
        radial: int,
        cutoff: float,
        key: jax.Array,
    ) -> None:
        self.channels, self.radial, self.cutoff = channels, radial, cutoff
        keys = jax.random.split(key, 3 + interactions)
        self.what = lecun(eqx.nn.Linear(n_features + n_noise, HIDDEN, key=keys[0]), keys[0])
        self.modulation = lecun(eqx.nn.Linear(HIDDEN, (2 * interactions + 1) * width, key=keys[1]), keys[1])
        sizes = [2 * REACH * (REACH + 1), *[3 * width] * (interactions - 1)]
        self.layers = [Layer(n, 0, channels, radial, width, k) for n, k in zip(sizes, keys[3:], strict=True)]
        self.out = jax.random.normal(keys[2], (width,)) / np.sqrt(width)

    def __call__(
        self,
        z: Float[Array, " k"],
        noise: Float[Array, " l"],
        x: Float[Array, "n 3"],
        sigma: Float[Array, ""],
        features: Float[Array, "n k"],
    ) -> Float[Array, ""]:
        """Of standardised invariants `z` along the chain, functions `noise` of sigma (nm), and positions `x` (nm)."""
        n, width = len(x), len(self.out)
        given = jnp.concatenate([features, jnp.broadcast_to(noise, (n, len(noise)))], axis=1)
        modulations = jax.vmap(self.modulation)(jnp.tanh(jax.vmap(self.what)(given))).reshape(n, -1, width)
        sums = of_all(x, reach(self.cutoff, sigma), self.radial) if self.channels else None
        h, chain = modulations[:, -1], around(z, Invariants(n, "local"))
        for k, layer in enumerate(self.layers):
            own = affine(layer.own, chain) if k == 0 else along(layer.own, h)
            scale, shift = modulations[:, 2 * k], modulations[:, 2 * k + 1]
            new = (1 + scale) * own + shift
            if sums is not None:
                new += sums(h @ layer.value, layer.density)
            h = jax.nn.silu(new) + (h if k else 0.0)
        return jnp.sum(h @ self.out) + jnp.sum(h * modulations[:, -1]) / np.sqrt(width)


class OfMolecule(AbstractNetwork):
    """A `ChainNetwork` beside the features of one molecule's beads."""

    network: ChainNetwork
    features: Float[Array, "n k"]

    def __call__(
        self, z: Float[Array, " k"], noise: Float[Array, " l"], x: Float[Array, "n 3"], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """The network's number for this molecule."""
        return self.network(z, noise, x, sigma, self.features)
