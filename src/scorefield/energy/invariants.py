"""Bounded, smooth invariants of one frame: distances and signed volumes.

Exact under rotation and translation; a signed volume changes sign under reflection, so mirror images differ.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..geometry import all_pairs, safe_norm

ALL_QUADS_UP_TO = 7
BOUND = 5.0
N_LEVELS = 24


def volume_quads(n_beads: int) -> Int[np.ndarray, "v 4"]:
    """Bead quadruples whose signed volume is a feature: all of them for small molecules, else consecutive beads."""
    if n_beads > ALL_QUADS_UP_TO:
        return np.arange(n_beads - 3)[:, None] + np.arange(4)
    i = np.arange(n_beads)
    grid = np.stack(np.meshgrid(i, i, i, i, indexing="ij"), axis=-1).reshape(-1, 4)
    return grid[(np.diff(grid, axis=1) > 0).all(axis=1)]


def n_invariants(n_beads: int) -> int:
    """How many numbers `raw_invariants` returns."""
    return len(all_pairs(n_beads)) + len(volume_quads(n_beads))


def raw_invariants(x: Float[Array, "n 3"]) -> Float[Array, " k"]:
    """Distances of all pairs (nm), then signed volumes (nm^3)."""
    n = x.shape[0]
    pairs, quads = all_pairs(n), volume_quads(n)
    # Differences as products with constant matrices: their gradients are products too, where an index's is a scatter.
    eye = np.eye(n, dtype=np.float32)
    r = safe_norm(jnp.asarray(eye[pairs[:, 0]] - eye[pairs[:, 1]]) @ x)
    if not len(quads):
        return r
    a, b, c = ((eye[quads[:, k]] - eye[quads[:, 0]]) @ x for k in (1, 2, 3))
    return jnp.concatenate([r, jnp.sum(jnp.cross(a, b) * c, axis=-1)])


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
    def fit(x: Float[np.ndarray, "f n 3"], sigma_min: float, sigma_max: float, key: jax.Array) -> "Standardiser":
        """Tabulate between `sigma_min` and `sigma_max` (nm) from frames `x`."""
        frames = jnp.asarray(x[:: max(1, len(x) // 8192)])
        log_levels = jnp.linspace(np.log(sigma_min), np.log(sigma_max), N_LEVELS)

        @jax.jit
        def moments(log_sigma: Array, key: jax.Array) -> tuple[Array, Array]:
            noised = frames + jnp.exp(log_sigma) * jax.random.normal(key, frames.shape)
            f = jax.vmap(raw_invariants)(noised)
            return f.mean(axis=0), f.std(axis=0)

        table = [moments(s, k) for s, k in zip(log_levels, jax.random.split(key, N_LEVELS), strict=True)]
        mean, spread = (jnp.stack(column) for column in zip(*table, strict=True))
        return Standardiser(log_levels, mean, spread)
