"""Bounded, smooth invariants of one frame: distances and signed volumes.

Exact under rotation and translation; a signed volume changes sign under reflection, so mirror images differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..geometry import EXACT, all_pairs, safe_sqrt

ALL_QUADS_UP_TO = 7
SEGMENTS = 28
STRETCHES = 8
REACH = 4
BOUND = 5.0
_ONE_PRODUCT = 64  # beads; of more, distances along the chain are differences of slices
N_LEVELS = 24
_LEAST_FRAMES, _MOST_FRAMES = 4096, 8192  # that moments are taken of

_Vector = Sequence[Float[Array, " v"]]


def volume_quads(n_beads: int) -> Int[np.ndarray, "v 4"]:
    """Bead quadruples whose signed volume is a feature: all of them for small molecules, else consecutive beads."""
    return consecutive_quads(n_beads) if n_beads > ALL_QUADS_UP_TO else all_quads(n_beads)


def consecutive_quads(n: int) -> Int[np.ndarray, "v 4"]:
    """0 1 2 3, 1 2 3 4, ..."""
    return np.arange(max(n - 3, 0))[:, None] + np.arange(4)


def all_quads(n: int) -> Int[np.ndarray, "v 4"]:
    """Of `n` points."""
    return np.array(list(combinations(range(n), 4)), int).reshape(-1, 4)


def pieces(n: int, at_most: int) -> Float[np.ndarray, "s n"]:
    """Weights of `n` beads in the centres of `at_most` even pieces of a chain; each bead is one, if they are no more."""
    weights = np.zeros((min(n, at_most), n), np.float32)
    for row, part in zip(weights, np.array_split(np.arange(n), len(weights)), strict=True):
        row[part] = 1 / len(part)
    return weights


@dataclass(frozen=True)
class Invariants:
    """Which invariants of `n_beads` beads are features.

    Not `coarse`: distances of all pairs, then signed volumes (`volume_quads`). Their number grows with the square of that
    of the beads. `coarse`, for chains of any length: distances of all pairs of segments (at most `SEGMENTS`), volumes of
    all quadruples of stretches (at most `STRETCHES`), then distances of beads up to `REACH` apart in the chain, then
    volumes of consecutive beads. Under noise that hides the turns of a chain the volumes of stretches still tell a fold
    from its mirror image. "local": of these the last two only, which mean the same in a chain of any length.
    """

    n_beads: int
    coarse: bool | Literal["local"] = False

    @property
    def quads(self) -> Int[np.ndarray, "v 4"]:
        """Bead quadruples whose signed volume is a feature."""
        return consecutive_quads(self.n_beads) if self.coarse else volume_quads(self.n_beads)

    @property
    def n_global(self) -> int:
        """How many distances between segments and volumes of stretches there are."""
        if self.coarse == "local":
            return 0
        if not self.coarse:
            return comb(self.n_beads, 2)
        return comb(min(SEGMENTS, self.n_beads), 2) + comb(min(STRETCHES, self.n_beads), 4)

    @property
    def n_along(self) -> tuple[int, ...]:
        """How many distances of beads 1, 2, ... apart in the chain there are."""
        return tuple(max(self.n_beads - k, 0) for k in range(1, REACH + 1)) if self.coarse else ()

    @property
    def number(self) -> int:
        """Of all invariants."""
        return self.n_global + sum(self.n_along) + len(self.quads)

    def __call__(self, x: Float[Array, "n 3"]) -> Float[Array, " k"]:
        """Distances (nm) and signed volumes (nm^3), in the order of the class's text."""
        n, unit = self.n_beads, np.eye(self.n_beads, dtype=np.float32)
        if not self.coarse:
            return jnp.concatenate(_measured(x.T, [(unit, all_pairs(n))], [(unit, self.quads)]))
        if self.coarse == "local":
            return jnp.concatenate(_along(x.T))
        segments, stretches = pieces(n, SEGMENTS), pieces(n, STRETCHES)
        pairs, quads = all_pairs(len(segments)), all_quads(len(stretches))
        if n <= _ONE_PRODUCT:
            lines = [(unit, np.arange(n - k)[:, None] + np.array([0, k])) for k, _ in enumerate(self.n_along, 1)]
            lengths, volumes = _measured(x.T, [(segments, pairs), *lines], [(stretches, quads), (unit, self.quads)])
            whole, along = (
                (lengths[: len(pairs)], volumes[: len(quads)]),
                (lengths[len(pairs) :], volumes[len(quads) :]),
            )
        else:
            points = jnp.matmul(x.T, jnp.asarray(np.concatenate([segments, stretches]).T, x.dtype), precision=EXACT)
            unit = np.eye(points.shape[1], dtype=np.float32)
            whole = _measured(points, [(unit[: len(segments)], pairs)], [(unit[len(segments) :], quads)])
            along = _along(x.T)
        return jnp.concatenate([*whole, *along])


_Points = Sequence[tuple[Float[np.ndarray, "p n"], Int[np.ndarray, "k c"]]]
"""_Points as weights of beads, and which of them belong together."""


def _measured(y: Float[Array, "3 n"], ends: _Points, corners: _Points) -> tuple[Float[Array, " d"], Float[Array, " v"]]:
    """Distances and volumes of points, by one product of each component with a constant matrix.

    Few operations, and long ones; and its gradient is a product too, where an index's is a scatter.
    """
    to = lambda k, groups: np.concatenate([points[index[:, k]] - points[index[:, 0]] for points, index in groups])
    vectors = [to(1, ends), *(to(k, corners) for k in (1, 2, 3))]
    cuts, matrix = np.cumsum([len(part) for part in vectors])[:-1], jnp.asarray(np.concatenate(vectors).T, y.dtype)
    lines, *sides = zip(*(jnp.split(jnp.matmul(c, matrix, precision=EXACT), cuts) for c in y), strict=True)
    return _length(lines), _triple(*sides)


def _along(y: Float[Array, "3 n"]) -> tuple[Float[Array, " d"], Float[Array, " v"]]:
    """Distances of beads up to `REACH` apart in the chain and volumes of consecutive ones."""
    n = y.shape[1]
    lengths = [_length([c[k:] - c[:-k] for c in y]) for k in range(1, min(REACH + 1, n))]
    steps = [c[1:] - c[:-1] for c in y]
    sides = ([s[k : max(n - 3, 0) + k] for s in steps] for k in range(3))
    return jnp.concatenate([jnp.zeros(0, y.dtype), *lengths]), _triple(*sides)


def _length(a: _Vector) -> Float[Array, " v"]:
    """|a|"""
    return safe_sqrt(a[0] ** 2 + a[1] ** 2 + a[2] ** 2)


def _triple(a: _Vector, b: _Vector, c: _Vector) -> Float[Array, " v"]:
    """(a x b) . c of vectors given as three arrays of components."""
    return (a[1] * b[2] - a[2] * b[1]) * c[0] + (a[2] * b[0] - a[0] * b[2]) * c[1] + (a[0] * b[1] - a[1] * b[0]) * c[2]


class Standardiser(eqx.Module):
    """Features to zero mean and unit spread at every noise level, bounded to (-BOUND, BOUND).

    Mean and spread are tabulated from noised data on a grid of log sigma and interpolated. The bound keeps a heavy tail
    (a volume is a product of three differences) from driving the network where it has seen nothing.
    """

    log_levels: Float[Array, " g"]
    mean: Float[Array, "g k"]
    spread: Float[Array, "g k"]

    def position(self, sigma: Float[Array, ""]) -> Float[Array, ""]:
        """Where noise `sigma` (nm) lies on the grid, in steps from its first level; clipped to the grid."""
        step = self.log_levels[1] - self.log_levels[0]
        position = (jnp.log(jnp.maximum(sigma, 1e-12)) - self.log_levels[0]) / step
        return jnp.clip(position, 0.0, len(self.log_levels) - 1.0)

    def __call__(self, features: Float[Array, " k"], sigma: Float[Array, ""]) -> Float[Array, " k"]:
        """Standardised features at noise `sigma` (nm)."""
        position = jnp.minimum(self.position(sigma), len(self.log_levels) - 1.001)
        k = position.astype(jnp.int32)
        w = position - k
        mean = (1 - w) * self.mean[k] + w * self.mean[k + 1]
        spread = (1 - w) * self.spread[k] + w * self.spread[k + 1]
        z = (features - mean) / spread
        return z * jax.lax.rsqrt(1 + (z / BOUND) ** 2)

    @staticmethod
    def zeros(n_features: int) -> "Standardiser":
        """Of the shapes that `fit` gives, all zero."""
        table = jnp.zeros((N_LEVELS, n_features))
        return Standardiser(jnp.zeros(N_LEVELS), table, table)

    @staticmethod
    def fit(
        invariants: Invariants, x: Float[np.ndarray, "f n 3"], sigma_min: float, sigma_max: float, key: jax.Array
    ) -> "Standardiser":
        """Tabulate `invariants` between noise `sigma_min` and `sigma_max` (nm) from frames `x`."""
        few = x[:: max(1, len(x) // _MOST_FRAMES)]
        frames = jnp.asarray(np.resize(few, (max(len(few), _LEAST_FRAMES), *x.shape[1:])))  # noise is drawn for each
        log_levels = jnp.linspace(np.log(sigma_min), np.log(sigma_max), N_LEVELS)

        keys = jax.random.split(key, N_LEVELS)
        table = [_moments(invariants, frames, s, k) for s, k in zip(log_levels, keys, strict=True)]
        mean, spread = (jnp.stack(column) for column in zip(*table, strict=True))
        return Standardiser(log_levels, mean, spread)


@eqx.filter_jit
def _moments(
    invariants: Invariants, frames: Float[Array, "f n 3"], log_sigma: Float[Array, ""], key: jax.Array
) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
    """Mean and standard deviation of the features of noised frames."""
    noised = frames + jnp.exp(log_sigma) * jax.random.normal(key, frames.shape)
    f = jax.vmap(invariants)(noised)
    return f.mean(axis=0), f.std(axis=0)
