r"""The noise level that a force is read off at, chosen on validation frames: `simulation.level = "auto"`.

A larger level blurs the force (bias), a smaller one is less well learned (variance). The paper tries levels by hand and
judges by simulations. Here the error of the force itself is measured, up to a constant, without knowing any force:

    <|P s_level - P grad ln p|^2> = <|P s_level|^2 + 2 div(P s_level)> + <|P grad ln p|^2>

over frames of p, by integration by parts (Hyvarinen 2005). P projects off the stiff distances: their force is known
analytically, and is so large that its noise would drown the rest.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .energy.base import AbstractScore
from .energy.stiff import stiff_pairs
from .fields import EXACT_UP_TO, divergence, over_frames, soft
from .geometry import centre, centred
from .noise import AbstractLevels
from .trajectory import Trajectory

_LEVELS = 9
_FRAMES, _LEAST_FRAMES = 4096, 256
_BLOCKS = 20


@dataclass(frozen=True)
class LevelCurve:
    """Error of the soft force against noise level, and the level it speaks for.

    `levels_nm`; `excess`: squared error beyond that of the best level, over the squared soft force; `error`: its standard
    error (paired, over blocks of frames); both None where the force is not finite. `chosen_nm`: the best level.
    """

    levels_nm: tuple[float, ...]
    excess: tuple[float | None, ...]
    error: tuple[float | None, ...]
    chosen_nm: float

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> "LevelCurve":
        """Inverse of `to_json`. Raises KeyError, TypeError or ValueError if it is not of this form."""
        numbers = lambda values: tuple(None if v is None else float(v) for v in values)
        chosen, levels = float(data["chosen_nm"]), tuple(float(v) for v in data["levels_nm"])
        curve = LevelCurve(levels, numbers(data["excess"]), numbers(data["error"]), chosen)
        if not (0 <= chosen < math.inf and len(levels) == len(curve.excess) == len(curve.error)):
            raise ValueError("a level must not be negative, and the curve have as many errors as levels")
        return curve


def level_curve(
    score: AbstractScore, held: Trajectory, levels: AbstractLevels, seed: int = 0, precise: bool = True
) -> LevelCurve:
    """The curve of `score` over the small levels that it was trained at, on `held`: frames not trained on.

    Not `precise`: on few of them, where the level is not chosen by it.
    """
    # the projection costs the cube of the number of beads, and a larger molecule has more terms to average in each frame
    share = min(1.0, EXACT_UP_TO / held.molecule.n_beads) ** 2
    number = max(_LEAST_FRAMES, round(share * _FRAMES)) if precise else _LEAST_FRAMES
    return pooled_level_curve([(score, held)], levels, seed, number)


def pooled_level_curve(
    given: Sequence[tuple[AbstractScore, Trajectory]], levels: AbstractLevels, seed: int = 0, number: int = _FRAMES
) -> LevelCurve:
    """The curve of several molecules' scores, on `number` of their held frames together, at least some of each."""
    grid = np.geomspace(*levels.small, _LEVELS)
    each = max(_LEAST_FRAMES // len(given), number // len(given))
    return choose(grid, np.concatenate([_objective(*one, grid, each, seed) for one in given], axis=1))


def _objective(
    score: AbstractScore, held: Trajectory, grid: Float[np.ndarray, " k"], number: int, seed: int
) -> Float[np.ndarray, "k f"]:
    frames = held.representative(number, seed)
    x = jnp.asarray(centred(frames.positions))
    pairs = stiff_pairs(held.molecule, np.asarray(frames.positions))
    keys = jax.random.split(jax.random.key(seed), len(x))  # the same probes at every level: differences count
    terms = [np.asarray(_terms(score, x, jnp.float32(level), pairs, keys), np.float64) for level in grid]
    squares, divergences = np.moveaxis(np.stack(terms), -1, 0)
    return squares + 2 * divergences


def choose(levels: Float[np.ndarray, " k"], objective: Float[np.ndarray, "k f"]) -> LevelCurve:
    """The curve from the objective of each level and frame; a level where it is not finite is not chosen.

    Where it is finite at none, training has diverged: the largest level, with a curve that says nothing.
    """
    finite = np.array([np.isfinite(row).all() for row in objective])
    nothing = (None,) * len(levels)
    if not finite.any():
        return LevelCurve(tuple(float(v) for v in levels), nothing, nothing, float(levels[-1]))
    objective = np.where(finite[:, None], objective, 0.0)
    mean = np.where(finite, objective.mean(axis=1), np.inf)
    best = int(np.argmin(mean))
    off = objective - objective[best]
    blocks = np.stack([b.mean(axis=1) for b in np.array_split(off, min(_BLOCKS, off.shape[1]), axis=1)])
    excess, error = mean - mean[best], blocks.std(axis=0) / np.sqrt(max(1, len(blocks) - 1))
    scale = abs(float(mean[best])) or 1.0  # where s is right the objective is -<|P grad ln p|^2>
    plain = lambda values: tuple(
        float(f"{v:.6g}") if ok else None for v, ok in zip(values, finite.tolist(), strict=True)
    )
    return LevelCurve(tuple(float(v) for v in levels), plain(excess / scale), plain(error / scale), float(levels[best]))


@eqx.filter_jit
def _terms(
    score: AbstractScore,
    x: Float[Array, "f n 3"],
    level: Float[Array, ""],
    pairs: Int[np.ndarray, "m 2"],
    keys: PRNGKeyArray,
) -> Float[Array, "f 2"]:
    """|P s|^2 and div P s of every frame, in 1/nm^2."""
    field = soft(lambda y: centre(score.mean_force(y, level)), pairs)

    def frame(x: Array, key: PRNGKeyArray) -> Array:
        return jnp.stack([jnp.sum(field(x) ** 2), divergence(field, x, key)])

    return over_frames(frame, x, keys)
