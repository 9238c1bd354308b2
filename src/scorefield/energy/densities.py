r"""What the beads around each bead add to it, by radial functions that vanish at a cutoff and by weights.

    D_i = sum_gc W_gc sum_j (1 - u_ij^2)^3 T_g(2 u_ij - 1) v_jc,    u_ij^2 = r_ij^2 / reach^2 < 1,  T_g Chebyshev's

Both functions here give D from v and W: `of_all` by products with a matrix of all pairs, `of_near` with what lies near alone.
For that a chain is cut into groups of `GROUP` consecutive beads, and groups with a bead within the cutoff of one of its own
are listed in rows of `ROW`, as many rows as it takes: a list of beads would be shorter, but takes longer to make and to
gather. There is room for a fixed number of rows in all, as compiled code must have; whether that is enough is known
beforehand (`rows_needed`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..geometry import squared_distances

GROUP, ROW = 4, 4
_MARGIN = 1e-3  # of the squared cutoff: rounding of distances must not lose a pair

Sums = Callable[[Float[Array, "n c"], Float[Array, "g c h"]], Float[Array, "n h"]]


def of_all(x: Float[Array, "n 3"], reach: Float[Array, ""], radial: int) -> Sums:
    """Sums over all other beads; `x` and `reach` in nm."""
    basis = jnp.stack(_radial(squared_distances(x) / reach**2, ~np.eye(len(x), dtype=bool), radial))
    return lambda v, weights: jnp.einsum("gic,gch->ih", basis @ v, weights)


def of_near(x: Float[Array, "n 3"], reach: Float[Array, ""], radial: int, rows: int) -> Sums:
    """The same, where `rows_needed` is at most `rows`; else some are missed."""
    n, groups = len(x), n_groups(len(x))
    owner, listed = _listed(_near(x, reach), rows)
    within = np.arange(GROUP)
    beads = (listed[:, :, None] * GROUP + within[None, None]).reshape(rows, ROW * GROUP)
    own = owner[:, None] * GROUP + within[None]
    there = (beads[:, None, :] != own[:, :, None]) & (beads < n)[:, None, :]
    gathered = lambda a: _in_groups(a, 1)[listed].reshape(rows, ROW * GROUP, a.shape[1])
    around, mine = gathered(x), _in_groups(x, 1)[owner]
    square = sum(
        ((mine[..., k][:, :, None] - around[..., k][:, None, :]) ** 2 for k in range(3)), start=jnp.zeros((), x.dtype)
    )
    basis = jnp.stack(_radial(square / reach**2, there, radial), axis=1)
    basis = basis.reshape(rows, radial * GROUP, ROW * GROUP)

    def sums(v: Float[Array, "n c"], weights: Float[Array, "g c h"]) -> Float[Array, "n h"]:
        of_rows = (basis @ gathered(v)).reshape(rows, -1)
        found = jax.ops.segment_sum(of_rows, owner, groups + 1, indices_are_sorted=True)[:groups]
        found = jnp.einsum("bgic,gch->bih", found.reshape(groups, radial, GROUP, -1), weights)
        return found.reshape(groups * GROUP, -1)[:n]

    return sums


def n_groups(n: int) -> int:
    """Of a chain of `n` beads."""
    return -(-n // GROUP)


def rows_needed(x: Float[Array, "n 3"], reach: Float[Array, ""]) -> Int[Array, ""]:
    """How many rows list all that is near; `x` and `reach` in nm."""
    return jnp.sum(-(-jnp.sum(_near(x, reach), axis=1) // ROW))


def _near(x: Float[Array, "n 3"], reach: Float[Array, ""]) -> Bool[Array, "b b"]:
    """Which groups have a bead within `reach` (nm) of one of another's."""
    x = jax.lax.stop_gradient(x)
    groups = n_groups(len(x))
    # the chain filled up with its last bead; first beads of all groups first, so that groups lie side by side
    filled = x[np.minimum(np.arange(groups * GROUP), len(x) - 1).reshape(groups, GROUP).T.ravel()]
    square = squared_distances(filled).reshape(GROUP, groups, GROUP, groups)
    return jnp.min(square, axis=(0, 2)) < (1 + _MARGIN) * reach**2


def _listed(near: Bool[Array, "b b"], rows: int) -> tuple[Int[Array, " r"], Int[Array, "r w"]]:
    """Whose row each is, and the groups in it, in ascending order; the number of groups stands for none."""
    size = len(near)
    # How many are near up to each group: less than u + 1 before the u-th of them, and everywhere if there are fewer.
    counted = jnp.matmul(near.astype(jnp.float32), np.triu(np.ones((size, size), np.float32)))
    needed = jnp.ceil(counted[:, -1] / ROW)
    ends = jnp.cumsum(needed)
    row = np.arange(rows, dtype=np.float32)
    owner = jnp.sum(ends[None] <= row[:, None], axis=1)
    counted = jnp.concatenate([counted, jnp.zeros((1, size))])[owner]
    first = ROW * (row - jnp.concatenate([ends - needed, ends[-1:]])[owner])
    place = first[:, None] + np.arange(ROW, dtype=np.float32)[None]
    return owner, jnp.sum(counted[:, None, :] <= place[:, :, None], axis=-1)


def _in_groups(a: Float[Array, "n c"], more: int) -> Float[Array, "b s c"]:
    """Rows of beads in groups, filled up with zeros, and so many groups `more` of zeros."""
    groups = n_groups(len(a)) + more
    return jnp.pad(a, ((0, groups * GROUP - len(a)), (0, 0))).reshape(groups, GROUP, a.shape[1])


def _radial(
    square: Float[Array, "..."], there: Bool[Array | np.ndarray, "..."], number: int
) -> list[Float[Array, "..."]]:
    """The radial functions at u^2 = `square`; 0 where no pair is `there`."""
    near = (square < 1) & there
    t = 2 * jnp.sqrt(jnp.where(near, square, 1.0) + 1e-12) - 1
    envelope = jnp.where(near, (1 - square) ** 3, 0.0)
    found = [envelope, envelope * t]
    while len(found) < number:
        found.append(2 * t * found[-1] - found[-2])
    return found[:number]
