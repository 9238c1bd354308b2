"""Networks from the features of one frame to one number: all noise levels in one, or one for each range of them."""

from abc import abstractmethod
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

_HALF_OVERLAP = float(np.log(1.5))


class AbstractNetwork(eqx.Module):
    """One frame to one number, invariant to rotation and translation. Final subclasses only."""

    @abstractmethod
    def __call__(
        self, z: Float[Array, " k"], noise: Float[Array, " l"], x: Float[Array, "n 3"], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """The output for standardised invariants `z`, functions `noise` of the noise level, positions `x` (nm, centred).

        `noise` says all that a network may know of `sigma` (nm), but for lengths that it scales.
        """

    def at(self, level: float) -> "AbstractNetwork":
        """What is left of it at one noise `level` (nm), known when compiled."""
        return self

    def cheaper(self) -> "tuple[AbstractNetwork, ...]":
        """Networks that give the same for those frames that they hold (`AbstractScore.holds`), the cheapest first."""
        return ()

    def holds(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether what it gives for positions `x` (nm) is right."""
        return jnp.ones((), bool)

    @property
    def readout(self) -> list[Array]:
        """Weights that the output is linear in, if there are any: what `refine` moves."""
        return []


class ResidualMLP(AbstractNetwork):
    """The invariants to one number: `depth` SiLU layers of `width`, residual after the first."""

    layers: list[eqx.nn.Linear]
    out: eqx.nn.Linear

    def __init__(self, n_in: int, width: int, depth: int, key: jax.Array) -> None:
        keys = jax.random.split(key, depth + 1)
        sizes = [n_in] + [width] * depth
        self.layers = [eqx.nn.Linear(i, o, key=k) for i, o, k in zip(sizes, sizes[1:], keys, strict=False)]
        self.layers = [lecun(layer, k) for layer, k in zip(self.layers, keys, strict=False)]
        self.out = lecun(eqx.nn.Linear(width, 1, use_bias=False, key=keys[-1]), keys[-1])

    def __call__(
        self, z: Float[Array, " k"], noise: Float[Array, " l"], x: Float[Array, "n 3"], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Of the invariants alone."""
        return self.out(self.hidden(z, noise))[0]

    @property
    def readout(self) -> list[Array]:
        """Of the last layer."""
        return [self.out.weight]

    def hidden(self, z: Float[Array, " k"], noise: Float[Array, " l"]) -> Float[Array, " h"]:
        """The last layer."""
        first, cut = self.layers[0], len(z)
        # The noise's part apart: at one level for all frames it is a constant.
        of_noise = affine(eqx.tree_at(lambda m: m.weight, first, first.weight[:, cut:]), noise)
        h = jax.nn.silu(z @ first.weight[:, :cut].T + of_noise)
        for layer in self.layers[1:]:
            h = jax.nn.silu(affine(layer, h)) + h
        return h


def affine(layer: eqx.nn.Linear, h: Float[Array, "... i"]) -> Float[Array, "... o"]:
    """`layer` of the last axis of `h`, as a product with the weights on the right.

    With the weights on the left, as `eqx.nn.Linear` has them, a batch of frames comes out transposed, and is copied back.
    """
    new = h @ layer.weight.T
    return new if layer.bias is None else new + jnp.broadcast_to(layer.bias, new.shape)


def lecun(layer: eqx.nn.Linear, key: jax.Array) -> eqx.nn.Linear:
    """`layer` with normal weights of variance 1 / inputs, and bias 0."""
    weight = jax.random.normal(key, layer.weight.shape) / np.sqrt(layer.weight.shape[1])
    layer = eqx.tree_at(lambda m: m.weight, layer, weight)
    return layer if layer.bias is None else eqx.tree_at(lambda m: m.bias, layer, jnp.zeros_like(layer.bias))


class RangeMixture(AbstractNetwork):
    """One network for each range of noise levels between `boundaries` (nm, increasing), handed over smoothly.

    The mixture of arXiv 2506.17139, with weights that sum to 1 and change over a factor 1.5 on either side of a boundary.
    """

    networks: list[AbstractNetwork]
    boundaries: tuple[float, ...] = eqx.field(static=True)

    def __call__(
        self, z: Float[Array, " k"], noise: Float[Array, " l"], x: Float[Array, "n 3"], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """The weighted sum of the networks' outputs at noise `sigma` (nm)."""
        # No branch that skips a network of weight 0: where levels differ over a batch, it would copy all weights a frame.
        weights = range_weights(sigma, self.boundaries)
        return sum(
            (w * n(z, noise, x, sigma) for w, n in zip(weights, self.networks, strict=True)), start=jnp.zeros(())
        )

    def at(self, level: float) -> AbstractNetwork:
        """One network, or near a boundary all."""
        with jax.ensure_compile_time_eval():
            weights = [float(w) for w in range_weights(jnp.float32(level), self.boundaries)]
        return self.networks[weights.index(1.0)] if 1.0 in weights else self


def range_weights(sigma: Float[Array, ""], boundaries: tuple[float, ...]) -> list[Float[Array, ""]]:
    """Weights of the ranges at noise `sigma` (nm): a partition of unity, once differentiable in log sigma."""
    log = jnp.log(jnp.maximum(sigma, 1e-12))
    above = [_smooth_step((log - np.log(b)) / (2 * _HALF_OVERLAP) + 0.5) for b in boundaries]
    reached = [jnp.ones(()), *above, jnp.zeros(())]
    return [low - high for low, high in pairwise(reached)]


def _smooth_step(u: Float[Array, ""]) -> Float[Array, ""]:
    u = jnp.clip(u, 0.0, 1.0)
    return u * u * (3 - 2 * u)
