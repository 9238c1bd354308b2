r"""A network that shares its weights over beads: what surrounds each of them, and of the whole molecule its coarse shape.

    NN(x, sigma) = w0 . s + sum_i w . h_i,    s = MLP(distances between segments, volumes of stretches)

    h_i <- silu(a (W chain around i) + b + D_i(h) + kind_i)                the first layer
    h_i <- silu(a (W [h_i-4, h_i, h_i+4]) + b + D_i(h) + U s) + h_i        further ones: farther along the chain, and
                                                                           what the whole molecule looks like
    D_i(h)[g, c] = sum_j (1 - u_ij^2)^3 T_g(2 u_ij - 1) (V h_j)[c],  u_ij^2 = r_ij^2 / (cutoff^2 + sigma^2) < 1

Scales a and shifts b of every layer, and of w, are bounded functions of the noise alone, the same for all beads (FiLM, arXiv
1709.07871). The sums over j are matrix products: no array of pairs by channels, as continuous-filter convolutions have
(SchNet, arXiv 1706.08566), is ever made.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..geometry import squared_distances
from .invariants import REACH, Invariants
from .networks import AbstractNetwork, ResidualMLP, lecun

NOISE_WIDTH = 32


class Layer(eqx.Module):
    """One layer of all beads, to `width` numbers each.

    In go the `n_own` numbers of a bead and of those along the chain, `channels` x `radial` densities around it, and
    `n_whole` numbers of the whole molecule.
    """

    value: Float[Array, "i c"]
    own: eqx.nn.Linear
    density: Float[Array, "g c h"]
    whole: Float[Array, "w h"]

    def __init__(self, n_own: int, n_whole: int, channels: int, radial: int, width: int, key: jax.Array) -> None:
        keys = jax.random.split(key, 4)
        self.value = jax.random.normal(keys[0], (width, channels)) / np.sqrt(width)
        self.own = lecun(eqx.nn.Linear(n_own, width, key=keys[1]), keys[1])
        self.density = jax.random.normal(keys[2], (radial, channels, width)) / np.sqrt(max(1, radial * channels))
        self.whole = jax.random.normal(keys[3], (n_whole, width)) / np.sqrt(max(1, n_whole))


class BeadNetwork(AbstractNetwork):
    """One frame to one number; `invariants` must be coarse."""

    coarse: ResidualMLP
    kinds: Float[Array, "n h"]
    noise_in: eqx.nn.Linear
    noise_out: eqx.nn.Linear
    layers: list[Layer]
    out: Float[Array, " h"]
    invariants: Invariants = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    radial: int = eqx.field(static=True)
    cutoff: float = eqx.field(static=True)

    def __init__(
        self,
        invariants: Invariants,
        n_noise: int,
        *,
        width: int,
        interactions: int,
        channels: int,
        radial: int,
        cutoff: float,
        coarse: tuple[int, int],
        key: jax.Array,
    ) -> None:
        self.invariants, self.channels, self.radial, self.cutoff = invariants, channels, radial, cutoff
        keys = jax.random.split(key, 5 + interactions)
        self.coarse = ResidualMLP(invariants.n_global + n_noise, *coarse, keys[0])
        self.kinds = jax.random.normal(keys[1], (invariants.n_beads, width))
        self.noise_in = lecun(eqx.nn.Linear(n_noise, NOISE_WIDTH, key=keys[2]), keys[2])
        self.noise_out = lecun(eqx.nn.Linear(NOISE_WIDTH, (2 * interactions + 1) * width, key=keys[4]), keys[4])
        sizes = [(2 * REACH * (REACH + 1), 0), *[(3 * width, coarse[0])] * (interactions - 1)]
        self.layers = [Layer(*s, channels, radial, width, k) for s, k in zip(sizes, keys[5:], strict=True)]
        self.out = jax.random.normal(keys[3], (width,)) / np.sqrt(width * invariants.n_beads)

    def __call__(
        self, z: Float[Array, " k"], noise: Float[Array, " l"], x: Float[Array, "n 3"], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Of the coarse invariants, and of the positions."""
        n_global = self.invariants.n_global
        whole = self.coarse.hidden(z[:n_global], noise)
        basis = radial_basis(x, sigma, self.radial, self.cutoff) if self.channels else None
        h, own = self.kinds, around(z[n_global:], self.invariants)
        *modulations, last = self.noise_out(jnp.tanh(self.noise_in(noise))).reshape(-1, h.shape[1])
        for k, layer in enumerate(self.layers):
            if k > 0:
                own = jnp.concatenate([moved(h, -REACH), h, moved(h, REACH)], axis=1)
            scale, shift = modulations[2 * k : 2 * k + 2]
            new = (1 + scale)[None] * jax.vmap(layer.own)(own) + shift[None]
            if basis is not None:
                new += jnp.einsum("gic,gch->ih", basis @ (h @ layer.value), layer.density)
            h = jax.nn.silu(new + h) if k == 0 else jax.nn.silu(new + (whole @ layer.whole)[None]) + h
        return self.coarse.out(whole)[0] + jnp.sum(h @ ((1 + last) * self.out))

    @property
    def readout(self) -> list[Array]:
        """Of the beads, and of the coarse shape."""
        return [self.out, *self.coarse.readout]


def around(z: Float[Array, " l"], invariants: Invariants) -> Float[Array, "n w"]:
    """Of each bead the distances and volumes that begin up to `REACH` beads before it, or less than that after it.

    `z` holds those along the chain, as `invariants` orders them. They fix the chain's shape there: all distances of beads
    up to `REACH` apart, and a volume for each of its turns.
    """
    n, columns, start = invariants.n_beads, [], 0
    for number in (*invariants.n_along, len(invariants.quads)):
        columns.append(jnp.pad(z[start : start + number], (0, n - number)))
        start += number
    begun = jnp.stack(columns, axis=1)
    return jnp.concatenate([moved(begun, k) for k in range(REACH, -REACH, -1)], axis=1)


def radial_basis(x: Float[Array, "n 3"], sigma: Float[Array, ""], radial: int, cutoff: float) -> Float[Array, "g n n"]:
    """The radial functions of all pairs of different beads: Chebyshev polynomials under an envelope."""
    square = squared_distances(x) / (cutoff**2 + sigma**2)
    near = (square < 1) & ~np.eye(len(x), dtype=bool)
    t = 2 * jnp.sqrt(jnp.where(near, square, 1.0) + 1e-12) - 1
    envelope = jnp.where(near, (1 - square) ** 3, 0.0)
    found = [envelope, envelope * t]
    while len(found) < radial:
        found.append(2 * t * found[-1] - found[-2])
    return jnp.stack(found[:radial])


def moved(h: Float[Array, "n h"], steps: int) -> Float[Array, "n h"]:
    """What every bead's neighbour `steps` before it (after it, if negative) holds; 0 where there is none."""
    n = min(abs(steps), len(h))
    return jnp.pad(h[: len(h) - n], ((n, 0), (0, 0))) if steps > 0 else jnp.pad(h[n:], ((0, n), (0, 0)))
