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

from ..geometry import centre
from .densities import GROUP, ROW, Sums, n_groups, of_all, of_near, rows_needed
from .invariants import REACH, Invariants
from .networks import AbstractNetwork, ResidualMLP, affine, lecun

NOISE_WIDTH = 32
ROWS = (3, 4, 6)
"""Rows of lists for each group, on average: a chain that is stretched out, a small or loose globule, a compact one."""


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
        rows: int | None = None,
    ) -> Float[Array, ""]:
        """Of the coarse invariants, and of the positions; with lists of so many `rows` in all of what is near (`of_near`)."""
        n_global = self.invariants.n_global
        whole = self.coarse.hidden(z[:n_global], noise)
        sums = self._sums(x, sigma, rows) if self.channels else None
        h, chain = self.kinds, around(z[n_global:], self.invariants)
        *modulations, last = self.noise_out(jnp.tanh(self.noise_in(noise))).reshape(-1, h.shape[1])
        for k, layer in enumerate(self.layers):
            own = affine(layer.own, chain) if k == 0 else along(layer.own, h)
            scale, shift = modulations[2 * k : 2 * k + 2]
            new = (1 + scale)[None] * own + shift[None]
            if sums is not None:
                new += sums(h @ layer.value, layer.density)
            h = jax.nn.silu(new + h) if k == 0 else jax.nn.silu(new + (whole @ layer.whole)[None]) + h
        return self.coarse.out(whole)[0] + jnp.sum(h @ ((1 + last) * self.out))

    @property
    def readout(self) -> list[Array]:
        """Of the beads, and of the coarse shape."""
        return [self.out, *self.coarse.readout]

    def cheaper(self) -> tuple[AbstractNetwork, ...]:
        """With lists of what is near, of several lengths, where those are at most half as long as the chain."""
        n = self.invariants.n_beads
        fitting = [rows for rows in ROWS if self.channels and 2 * rows * ROW * GROUP <= n]
        return tuple(NearBeads(self, rows * n_groups(n)) for rows in fitting)

    def reach(self, sigma: Float[Array, ""]) -> Float[Array, ""]:
        """How far densities reach at noise `sigma`, nm."""
        return reach(self.cutoff, sigma)

    def _sums(self, x: Float[Array, "n 3"], sigma: Float[Array, ""], rows: int | None) -> Sums:
        far = self.reach(sigma)
        return of_all(x, far, self.radial) if rows is None else of_near(x, far, self.radial, rows)


class NearBeads(AbstractNetwork):
    """`network` for frames where all that is near is listed in `rows` rows."""

    network: BeadNetwork
    rows: int = eqx.field(static=True)

    def __call__(
        self, z: Float[Array, " k"], noise: Float[Array, " l"], x: Float[Array, "n 3"], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """What `network` gives."""
        return self.network(z, noise, x, sigma, self.rows)

    def holds(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether there is room for all that is near. A lost replica, which no model helps, does not slow down the others."""
        return (rows_needed(centre(x), self.network.reach(sigma)) <= self.rows) | ~jnp.all(jnp.isfinite(x))

    @property
    def readout(self) -> list[Array]:
        """Of `network`."""
        return self.network.readout


def reach(cutoff: float, sigma: Float[Array, ""]) -> Float[Array, ""]:
    """How far densities reach at noise `sigma`, nm: farther where noise blurs what is there."""
    return jnp.sqrt(cutoff**2 + sigma**2)


def around(z: Float[Array, " l"], invariants: Invariants) -> Float[Array, "n w"]:
    """Of each bead the distances and volumes that begin up to `REACH` beads before it, or less than that after it.

    `z` holds those along the chain, as `invariants` orders them. They fix the chain's shape there: all distances of beads
    up to `REACH` apart, and a volume for each of its turns.
    """
    n, columns, start = invariants.n_beads, [], 0
    for number in (*invariants.n_along, len(invariants.quads)):
        columns.append(jnp.pad(z[start : start + number], (REACH, n - number + REACH - 1)))
        start += number
    begun = jnp.stack(columns, axis=1)  # from `REACH` places before the first bead on
    return jnp.concatenate([begun[k : k + n] for k in range(2 * REACH)], axis=1)


def along(layer: eqx.nn.Linear, h: Float[Array, "n i"]) -> Float[Array, "n h"]:
    """`layer` of what the beads `REACH` after, at and before each one hold, side by side; 0 where there is none.

    A product for each of the three: putting them side by side first takes as long as the products.
    """
    parts = jnp.split(layer.weight, 3, axis=1)
    bias = jnp.zeros(len(layer.weight)) if layer.bias is None else layer.bias
    return sum((_moved(h, by) @ w.T for w, by in zip(parts, (-REACH, 0, REACH), strict=True)), start=bias[None])


def _moved(h: Float[Array, "n h"], steps: int) -> Float[Array, "n h"]:
    n = min(abs(steps), len(h))
    return jnp.pad(h[: len(h) - n], ((n, 0), (0, 0))) if steps > 0 else jnp.pad(h[n:], ((0, n), (0, 0)))
