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
from jaxtyping import Array, Bool, Float

from .densities import GROUP, Sums, most_near, of_all, of_near
from .invariants import REACH, Invariants
from .networks import AbstractNetwork, ResidualMLP, affine, lecun

NOISE_WIDTH = 32
ROOMS = (12, 20, 32)
"""Lengths of lists of groups: a chain that is stretched out, a small or loose globule, a compact one (at most 30 in a bundle of
helices of 400 beads)."""


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
        self,
        z: Float[Array, " k"],
        noise: Float[Array, " l"],
        x: Float[Array, "n 3"],
        sigma: Float[Array, ""],
        room: int | None = None,
    ) -> Float[Array, ""]:
        """Of the coarse invariants, and of the positions; with `room` for so many groups of beads near each (`of_near`)."""
        n_global = self.invariants.n_global
        whole = self.coarse.hidden(z[:n_global], noise)
        around = self._sums(x, sigma, room) if self.channels else None
        h, own = self.kinds, self._around(z[n_global:])
        *modulations, last = self.noise_out(jnp.tanh(self.noise_in(noise))).reshape(-1, h.shape[1])
        for k, layer in enumerate(self.layers):
            seen = affine(layer.own, own) if k == 0 else _along(layer.own, h)
            scale, shift = modulations[2 * k : 2 * k + 2]
            new = (1 + scale)[None] * seen + shift[None]
            if around is not None:
                new += jnp.einsum("gic,gch->ih", around(h @ layer.value), layer.density)
            h = jax.nn.silu(new + h) if k == 0 else jax.nn.silu(new + (whole @ layer.whole)[None]) + h
        return self.coarse.out(whole)[0] + jnp.sum(h @ ((1 + last) * self.out))

    def cheaper(self) -> tuple[AbstractNetwork, ...]:
        """With lists of what is near, of several lengths, where those are at most half as long as the chain."""
        rooms = [room for room in ROOMS if self.channels and 2 * room * GROUP <= self.invariants.n_beads]
        return tuple(NearBeads(self, room) for room in rooms)

    def reach(self, sigma: Float[Array, ""]) -> Float[Array, ""]:
        """How far densities reach at noise `sigma`, nm."""
        return jnp.sqrt(self.cutoff**2 + sigma**2)

    def _sums(self, x: Float[Array, "n 3"], sigma: Float[Array, ""], room: int | None) -> Sums:
        reach = self.reach(sigma)
        return of_all(x, reach, self.radial) if room is None else of_near(x, reach, self.radial, room)

    def _around(self, z: Float[Array, " l"]) -> Float[Array, "n w"]:
        """Of each bead the distances and volumes that begin up to `REACH` beads before it, or less than that after it.

        They fix the chain's shape there: all distances of beads up to `REACH` apart, and a volume for each of its turns.
        """
        n, columns, start = self.invariants.n_beads, [], 0
        for number in (*self.invariants.n_along, len(self.invariants.quads)):
            columns.append(jnp.pad(z[start : start + number], (REACH, n - number + REACH - 1)))
            start += number
        begun = jnp.stack(columns, axis=1)  # from `REACH` places before the first bead on
        return jnp.concatenate([begun[k : k + n] for k in range(2 * REACH)], axis=1)


class NearBeads(AbstractNetwork):
    """`network` for frames where no group of beads has more than `room` others near it."""

    network: BeadNetwork
    room: int = eqx.field(static=True)

    def __call__(
        self, z: Float[Array, " k"], noise: Float[Array, " l"], x: Float[Array, "n 3"], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """What `network` gives."""
        return self.network(z, noise, x, sigma, self.room)

    def holds(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether there is room for all that is near."""
        return most_near(x, self.network.reach(sigma)) <= self.room


def _along(layer: eqx.nn.Linear, h: Float[Array, "n i"]) -> Float[Array, "n h"]:
    """`layer` of what the beads `REACH` after, at and before each one hold, side by side.

    A product for each of the three, moved afterwards: putting them side by side first takes as long as the products.
    """
    parts = jnp.split(layer.weight, 3, axis=1)
    seen = sum((_moved(h, by) @ w.T for w, by in zip(parts, (-REACH, 0, REACH), strict=True)), start=layer.bias[None])
    return seen


def _moved(h: Float[Array, "n h"], steps: int) -> Float[Array, "n h"]:
    """What every bead's neighbour `steps` before it (after it, if negative) holds; 0 where there is none."""
    n = min(abs(steps), len(h))
    return jnp.pad(h[: len(h) - n], ((n, 0), (0, 0))) if steps > 0 else jnp.pad(h[n:], ((0, n), (0, 0)))
