"""Where replicas start: frames that stand for all of a pool, so that even a rare basin gets its share of replicas.

Of frames drawn at random 200 starts hold 6 +- 2.4 of a basin with a population of .03, and where crossings are slow the
simulation keeps that error. Here like frames are gathered in as many equal groups as there are replicas (median cuts across
the direction in which a group varies most), and every group sends one: each frame is as likely as any other to be chosen,
but the numbers hardly vary. On alanine dipeptide 6 +- 0.6.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .energy.invariants import ALL_QUADS_UP_TO, Invariants
from .geometry import centred

_MEMBERS = 50  # frames of a group, at most
_FRAMES = 20_000  # of all groups, for their features' sake; of more than half as many groups two each
_DIRECTIONS = 16


def choose_starts(positions: Float[np.ndarray, "f n 3"], replicas: int, seed: int) -> Float[np.ndarray, "r n 3"]:
    """`replicas` frames of `positions` (nm) that represent all of them; each several times if there are too few."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(positions))
    if len(positions) < 2 * replicas:
        return np.asarray(positions[np.resize(order, replicas)])
    pool = order[: min(_MEMBERS * replicas, max(_FRAMES, 2 * replicas))]
    groups = equal_groups(_shape(np.asarray(positions[pool])), replicas)
    return np.asarray(positions[pool[[rng.choice(group) for group in groups]]])


def equal_groups(features: Float[np.ndarray, "f k"], number: int) -> list[Int[np.ndarray, " m"]]:
    """The frames in `number` groups of like ones, equally many in each where that can be."""

    def split(members: Int[np.ndarray, " m"], number: int) -> list[Int[np.ndarray, " m"]]:
        if number == 1:
            return [members]
        away = features[members] - features[members].mean(axis=0)
        most = _directions(away, 1)
        members, first = members[np.argsort(away @ most[:, 0], kind="stable")], number // 2
        cut = round(len(members) * first / number)
        return split(members[:cut], first) + split(members[cut:], number - first)

    return split(np.arange(len(features)), number)


def _shape(x: Float[np.ndarray, "f n 3"]) -> Float[np.ndarray, "f k"]:
    """What tells shapes apart, mirror images too: the main components of standardised distances and signed volumes."""
    invariants = Invariants(x.shape[1], coarse=x.shape[1] > ALL_QUADS_UP_TO)
    f = np.asarray(jax.jit(jax.vmap(invariants))(jnp.asarray(centred(x))), np.float64)
    f = (f - f.mean(axis=0)) / np.maximum(f.std(axis=0), 1e-9)
    return f @ _directions(f, _DIRECTIONS)


def _directions(f: Float[np.ndarray, "f k"], number: int) -> Float[np.ndarray, "k d"]:
    """The `number` directions along which centred `f` varies most, the most last; their signs do not depend on chance."""
    found = np.linalg.eigh(f.T @ f)[1][:, -number:]
    return found * np.where(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])] < 0, -1.0, 1.0)
