"""Distances, angles, dihedrals and frames of reference of bead positions.

Functions take ONE frame `x` of shape (n_beads, 3) in nm (`jax.vmap` for more), are differentiable, and return finite
values and gradients for every finite `x`, coinciding or collinear beads included.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Indices = np.ndarray | Array

EXACT = jax.lax.Precision.HIGHEST
"""Of products of coordinates: a GPU's faster ones keep three digits, too few for the difference of two beads."""

_TINY = 1e-12  # nm^2 (or nm^4): below it a length counts as zero, and the guarded branch has gradient zero


def centre(x: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    """Move the geometric centre to the origin."""
    return x - jnp.mean(x, axis=0, keepdims=True)


def centred(x: Float[np.ndarray, "f n 3"]) -> Float[np.ndarray, "f n 3"]:
    """Frames with their geometric centres at the origin, in single precision."""
    x = np.asarray(x, np.float32)
    return x - x.mean(axis=1, keepdims=True)


def safe_norm(v: Float[Array, "... 3"]) -> Float[Array, "..."]:
    """|v| along the last axis, with gradient 0 at v = 0."""
    return safe_sqrt(jnp.sum(v * v, axis=-1))


def safe_sqrt(square: Float[Array, "..."]) -> Float[Array, "..."]:
    """The root of `square`, 0 or more; 0, with gradient 0, where that is next to nothing.

    A double `where`: without the inner one the gradient of the branch not taken is NaN, and 0 * NaN is NaN.
    """
    ok = square > _TINY
    return jnp.where(ok, jnp.sqrt(jnp.where(ok, square, 1.0)), 0.0)


def distances(x: Float[Array, "n 3"], pairs: Int[Indices, "k 2"]) -> Float[Array, " k"]:
    """Distances in nm of bead `pairs`."""
    return safe_norm(x[pairs[:, 0]] - x[pairs[:, 1]])


def all_distances(x: Float[Array, "n 3"]) -> Float[Array, " k"]:
    """Distances in nm of all pairs of beads, in the order of `all_pairs`."""
    pairs, unit = all_pairs(len(x)), np.eye(len(x), dtype=np.float32)
    # Differences as a product with a constant matrix: its gradient is a product too, where an index's is a scatter. And
    # components first: what has three numbers side by side is slow to work on.
    difference = jnp.asarray((unit[pairs[:, 0]] - unit[pairs[:, 1]]).T, x.dtype)
    return safe_sqrt(jnp.sum(jnp.matmul(x.T, difference, precision=EXACT) ** 2, axis=0))


def squared_distances(x: Float[Array, "n 3"]) -> Float[Array, "n n"]:
    """Squares in nm^2 of the distances of all beads to all, from the products x_i . x_j.

    Faster than differences where there are many beads; a short distance has the absolute error of the longest.
    """
    squares = jnp.sum(x * x, axis=-1)
    return jnp.maximum(squares[:, None] + squares[None, :] - 2 * jnp.matmul(x, x.T, precision=EXACT), 0.0)


def angles(x: Float[Array, "n 3"], triples: Int[Indices, "k 3"]) -> Float[Array, " k"]:
    """Angles in rad at the middle bead of each of `triples`."""
    a, b = x[triples[:, 0]] - x[triples[:, 1]], x[triples[:, 2]] - x[triples[:, 1]]
    return _atan2(safe_norm(jnp.cross(a, b)), jnp.sum(a * b, axis=-1))


def dihedrals(x: Float[Array, "n 3"], quads: Int[Indices, "k 4"]) -> Float[Array, " k"]:
    """Dihedral angles in rad, in [-pi, pi], IUPAC sign; 0 where the beads are collinear."""
    p = x[quads]
    b1, b2, b3 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 1], p[:, 3] - p[:, 2]
    n1, n2 = jnp.cross(b1, b2), jnp.cross(b2, b3)
    return _atan2(safe_norm(b2) * jnp.sum(b1 * n2, axis=-1), jnp.sum(n1 * n2, axis=-1))


def _atan2(y: Array, x: Array) -> Array:
    ok = (y * y + x * x) > _TINY * _TINY
    return jnp.where(ok, jnp.arctan2(jnp.where(ok, y, 0.0), jnp.where(ok, x, 1.0)), 0.0)


def all_pairs(n_beads: int, minimum_separation: int = 1) -> Int[np.ndarray, "k 2"]:
    """Pairs i < j with j - i >= `minimum_separation`, in `np.triu_indices` order."""
    return np.stack(np.triu_indices(n_beads, minimum_separation), axis=1)


def bonded_paths(n_beads: int, bonds: Sequence[tuple[int, int]], length: int) -> Int[np.ndarray, "k length"]:
    """All simple paths of `length` beads along `bonds`, each once (first bead < last bead).

    `length` 2 gives bonds, 3 angles, 4 proper dihedrals.
    """
    neighbours: list[list[int]] = [[] for _ in range(n_beads)]
    for i, j in bonds:
        neighbours[i].append(j)
        neighbours[j].append(i)
    paths = [[i] for i in range(n_beads)]
    for _ in range(length - 1):
        paths = [[*p, k] for p in paths for k in sorted(neighbours[p[-1]]) if k not in p]
    return np.array(sorted(p for p in paths if p[0] < p[-1]), dtype=np.int64).reshape(-1, length)


def random_rotation(key: jax.Array) -> Float[Array, "3 3"]:
    """A rotation matrix from the uniform (Haar) distribution."""
    w, a, b, c = jax.random.normal(key, (4,)) * (1 / jnp.sqrt(4.0))
    s = 2.0 / (w * w + a * a + b * b + c * c)
    return jnp.array(
        [
            [1 - s * (b * b + c * c), s * (a * b - c * w), s * (a * c + b * w)],
            [s * (a * b + c * w), 1 - s * (a * a + c * c), s * (b * c - a * w)],
            [s * (a * c - b * w), s * (b * c + a * w), 1 - s * (a * a + b * b)],
        ]
    )


def superpose(x: Float[np.ndarray, "f n 3"], onto: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "f n 3"]:
    """Frames `x` centred and rotated onto `onto` by least squares (Kabsch; proper rotations only)."""
    x = x - x.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(np.einsum("fni,nj->fij", x, onto - onto.mean(axis=0)))
    sign = np.sign(np.linalg.det(u @ vt))
    u[:, :, -1] *= sign[:, None]
    return np.einsum("fni,fij->fnj", x, u @ vt)
