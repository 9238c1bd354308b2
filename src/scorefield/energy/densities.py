r"""Sums over the beads around each bead, under radial functions that vanish at a cutoff.

    (v -> D)    D[g, i] = sum_j (1 - u_ij^2)^3 T_g(2 u_ij - 1) v_j,    u_ij^2 = r_ij^2 / reach^2 < 1,  T_g Chebyshev's

Both functions here give the same sums: `of_all` as products with a matrix of all pairs, `of_near` with what lies near alone. For
that a chain is cut into groups of `GROUP` consecutive beads, and each has a list of the groups with a bead within the cutoff of
one of its own: a list of beads would be shorter, but takes longer to make and to gather. A list has room for a fixed number
of groups, as compiled code must; whether that is enough is known beforehand (`most_near`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..geometry import squared_distances

GROUP = 4
_MARGIN = 1e-3  # of the squared cutoff: rounding of distances must not lose a pair

Sums = Callable[[Float[Array, "n c"]], Float[Array, "g n c"]]


def of_all(x: Float[Array, "n 3"], reach: Float[Array, ""], radial: int) -> Sums:
    """Sums over all other beads; `x` and `reach` in nm."""
    basis = jnp.stack(_radial(squared_distances(x) / reach**2, ~np.eye(len(x), dtype=bool), radial))
    return lambda v: basis @ v


def of_near(x: Float[Array, "n 3"], reach: Float[Array, ""], radial: int, room: int) -> Sums:
    """The same, where no group has more than `room` groups near it; else some are missed."""
    n = len(x)
    near = _near(x, reach)
    beads = _listed(near, room)[:, :, None] * GROUP + np.arange(GROUP)
    beads = beads.reshape(len(near), room * GROUP)
    own = np.arange(len(near) * GROUP).reshape(-1, GROUP)
    there = (beads[:, None, :] != own[:, :, None]) & (beads < n)[:, None, :]
    gathered = lambda a: _in_groups(a, 1)[_listed(near, room)].reshape(len(near), room * GROUP, a.shape[1])
    around, mine = gathered(x), _in_groups(x, 0)
    square = sum(
        ((mine[..., k][:, :, None] - around[..., k][:, None, :]) ** 2 for k in range(3)), start=jnp.zeros((), x.dtype)
    )
    basis = jnp.stack(_radial(square / reach**2, there, radial), axis=1)
    basis = basis.reshape(len(near), radial * GROUP, room * GROUP)

    def sums(v: Float[Array, "n c"]) -> Float[Array, "g n c"]:
        found = (basis @ gathered(v)).reshape(len(near), radial, GROUP, v.shape[1])
        return jnp.swapaxes(found, 0, 1).reshape(radial, -1, v.shape[1])[:, :n]

    return sums


def most_near(x: Float[Array, "n 3"], reach: Float[Array, ""]) -> Int[Array, ""]:
    """How many groups are near that group which has most, itself counted."""
    return jnp.max(jnp.sum(_near(x, reach), axis=1))


def _near(x: Float[Array, "n 3"], reach: Float[Array, ""]) -> Bool[Array, "b b"]:
    """Which groups have a bead within `reach` (nm) of one of another's."""
    x = jax.lax.stop_gradient(x)
    groups = -(-len(x) // GROUP)
    # the chain filled up with its last bead; first beads of all groups first, so that groups lie side by side
    filled = x[np.minimum(np.arange(groups * GROUP), len(x) - 1).reshape(groups, GROUP).T.ravel()]
    square = squared_distances(filled).reshape(GROUP, groups, GROUP, groups)
    return jnp.min(square, axis=(0, 2)) < (1 + _MARGIN) * reach**2


def _listed(near: Bool[Array, "b b"], room: int) -> Int[Array, "b u"]:
    """The groups near each one in ascending order, then the number of groups, which stands for none."""
    # how many are near up to each group: less than u + 1 before the u-th of them, and everywhere if there are fewer
    counted = jnp.matmul(near.astype(jnp.float32), np.triu(np.ones((len(near), len(near)), np.float32)))
    return jnp.sum(counted[:, None, :] <= np.arange(room, dtype=np.float32)[:, None], axis=-1)


def _in_groups(a: Float[Array, "n c"], more: int) -> Float[Array, "b s c"]:
    """Rows of beads in groups, filled up with zeros, and so many groups `more` of zeros."""
    groups = -(-len(a) // GROUP) + more
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
