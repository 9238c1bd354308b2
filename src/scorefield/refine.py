r"""Refinement: a model corrected by its own simulations, until they keep what the data have.

Denoising fits gradients at the data. What a simulation makes of them is another matter: a small error of a basin's depth, or
of the free energy just outside the data, carries it away within nanoseconds, and samples have such errors of every level.
So here the energy learns from where it goes, level by level, by minimising the relative entropy (Shell, J. Chem. Phys. 129,
144108 (2008); as maximum likelihood: persistent contrastive divergence, Tieleman 2008):

    U(x) = U_0(x) + w . f(x)        f = dU/dw, of the network's last layer: S_rel is convex in w
    dS_rel/dw = <f>_data - <f>_U    with <f>_U from walkers that are simulated on from round to round
    w <- w - gain (C + ridge)^-1 (<f>_data - <f>_U)     C the covariance of f over the data: Newton's step

Walkers start from training frames, so nothing has to be waited for: at first they are where the data are, and as far as they
drift away the potential is turned against it. The force field is corrected by Langevin dynamics as it is simulated, at its
level; the density that samples are drawn from at levels from there up to the data's spread.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .crowds import ROUND_FRAMES, ForceFieldCrowd, NoisyCrowd
from .dataset import Dataset
from .dynamics import State
from .energy.invariant import InvariantEnergy
from .energy.shifts import Shifts
from .errors import InputError
from .features import Target, features
from .finetune import check_same
from .geometry import centred
from .model import Model
from .starts import choose_starts

GAIN = 0.3
FIRST_LEVEL = 0.07
"""The least noise level refined beside the force level, mean bond lengths."""
WALKERS = 2
"""At each noise level, for a replica of the force field."""
_FRAMES = 20_000


@dataclass(frozen=True)
class Course:
    """How a model is refined: `rounds` of `time_ps` (ps) each of so many `replicas` of the force field, and the `seed`.

    Raises InputError if a number is out of range.
    """

    rounds: int = 40
    time_ps: float = 25.0
    replicas: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.replicas < 1 or not 0 < self.time_ps < np.inf:
            words = f"{self.rounds} rounds of {self.time_ps:g} ps of {self.replicas} replicas"
            raise InputError(f"{words}: each number must be positive")


class Round(NamedTuple):
    """Its number, of how many; the mismatch |<f>_U - <f>_data| in units of C, level by level; walkers lost so far."""

    number: int
    rounds: int
    mismatch: tuple[float, ...]
    lost: int

    def words(self) -> str:
        """For a progress bar."""
        return f"mismatch {', '.join(f'{m:.2f}' for m in self.mismatch)}; {self.lost} lost"


class Way(NamedTuple):
    """How far a refinement has come: w and mismatch of each round and level (0 in rounds to come), walkers, lost ones.

    In single precision, as it is kept on disk: one that is resumed is bit for bit the uninterrupted one.
    """

    path: Float[np.ndarray, "rounds l k"]
    mismatch: Float[np.ndarray, "rounds l"]
    replicas: Any
    walkers: State
    lost: Int[np.ndarray, ""]

    def found(self) -> Float[np.ndarray, "l k"]:
        """w in the end: the average of the second half, where what chance adds to every step is less."""
        return np.asarray(self.path[len(self.path) // 2 :], np.float64).mean(axis=0)


class Keeper(Protocol):
    """Where a refinement goes on from, and what it leaves for that."""

    def restore(self, fresh: Way) -> tuple[Way, int]:
        """The way to go on from, of the structure of `fresh`, and the rounds that are done."""
        ...

    def save(self, way: Way, done: int) -> None:
        """Called after every round."""
        ...


def refine(
    model: Model,
    dataset: Dataset,
    course: Course | None = None,
    *,
    keeper: Keeper | None = None,
    on_round: Callable[[Round], None] | None = None,
) -> Model:
    """`model` with its energy corrected by simulations of it, against the training frames of `dataset`.

    Replicas of the force field run at the model's force level and time step, `WALKERS` times as many walkers at each of the
    `noise_levels`. What an earlier refinement found is dropped. Raises InputError as `check` does, or if all replicas are
    lost.
    """
    course = course or Course()
    check(model, dataset, course)
    work = _Refinement.of(model, dataset, course)
    way, done = work.fresh(), 0
    if keeper is not None:
        way, done = keeper.restore(way)
    for k in range(done, course.rounds):
        way = work.advanced(way, k)
        if keeper is not None:
            keeper.save(way, k + 1)
        if on_round is not None:
            on_round(Round(k + 1, course.rounds, tuple(float(m) for m in way.mismatch[k]), int(way.lost)))
    about = asdict(course) | {
        "levels_nm": work.levels,
        "lost": int(way.lost),
        "mismatch": way.mismatch.round(4).tolist(),
    }
    score = replace(work.score, shifts=_shifts(work.levels, way.found()))
    return replace(model, score=score, training=model.training | {"refined": about})


def check(model: Model, dataset: Dataset, course: Course) -> None:
    """Raise InputError unless `model` can be refined on `dataset` by `course`.

    It must be an energy of one network that has noise levels above the force level, of the dataset's molecule and temperature
    (K), and a round must be longer than its frames are steps.
    """
    score = model.score
    if not (isinstance(score, InvariantEnergy) and score.network.readout):
        words = "only models with energy.kind auto, invariant or beads, without energy.boundaries, can be refined"
        raise InputError(words)
    if model.config.training.objective == "forces":
        raise InputError(
            "a model of forces alone knows no noise levels and cannot be refined; train with noise as well"
        )
    if not 0 < 2 * model.level < model.physical.spread:
        raise InputError(
            f"the force level, {model.level:g} nm, is not below half of the data's spread, {model.physical.spread:.3g} nm"
        )
    check_same(dataset, model)
    if course.time_ps < ROUND_FRAMES * model.dt_fs / 1000:
        raise InputError(f"rounds of {course.time_ps:g} ps are shorter than {ROUND_FRAMES} steps of {model.dt_fs:g} fs")


def noise_levels(model: Model) -> tuple[float, ...]:
    """In nm, each at most twice the one before: from 0.07 mean bond lengths, above the force level, to the spread."""
    bonds, last = model.physical.bond_mean, model.physical.spread
    first = max(2 * model.level, FIRST_LEVEL * float(np.mean(bonds) if len(bonds) else last))
    number = max(2, 1 + int(np.ceil(np.log2(last / first)))) if first < last else 1
    return tuple(float(f"{s:.4g}") for s in np.geomspace(min(first, last), last, number))


@dataclass
class _Refinement:
    """One refinement: its targets and crowds; `levels` are the force level and those of the noise."""

    model: Model
    score: InvariantEnergy
    course: Course
    levels: list[float]
    targets: list[Target]
    replicas: ForceFieldCrowd
    walkers: NoisyCrowd

    @staticmethod
    def of(model: Model, dataset: Dataset, course: Course) -> "_Refinement":
        assert isinstance(model.score, InvariantEnergy)  # as `check` has seen
        score = replace(model.score, shifts=None)  # what was found before belongs to what it was found with
        levels, frames, rng = noise_levels(model), dataset.split("train"), np.random.default_rng(course.seed)
        x = centred(frames.representative(_FRAMES).positions)
        targets = [Target.of(_measured(score, x, model.level, read_off=True))]
        targets += [Target.of(_measured(score, _noised(x, s, rng), s)) for s in levels]
        pool = frames.alike().positions
        starts = choose_starts(pool, WALKERS * course.replicas, course.seed)
        noisy = np.stack([_noised(centred(starts), s, rng) for s in levels])
        bare = replace(model, score=score)
        replicas = ForceFieldCrowd(bare, choose_starts(pool, course.replicas, course.seed), course.time_ps, course.seed)
        walkers = NoisyCrowd(noisy, levels, course.seed)
        return _Refinement(bare, score, course, [model.level, *levels], targets, replicas, walkers)

    def fresh(self) -> Way:
        shape = (self.course.rounds, len(self.levels))
        path, mismatch = np.zeros((*shape, len(self.targets[0].mean)), np.float32), np.zeros(shape, np.float32)
        return Way(path, mismatch, self.replicas.fresh, self.walkers.fresh, np.zeros((), np.int32))

    def advanced(self, way: Way, k: int) -> Way:
        """Round `k`: all walkers go on in the energy as it is, and every level takes its step."""
        path, mismatch = np.array(way.path), np.array(way.mismatch)
        w = path[k - 1] if k else np.zeros_like(path[0])
        at = lambda which: replace(self.score, shifts=_shifts(self.levels[which], w[which]))
        forces = replace(self.model, score=at(slice(0, 1)))
        frames, replicas, lost = self.replicas.advanced(forces, k + 1, way.replicas)
        noisy, walkers, also = self.walkers.advanced(at(slice(1, None)), k, way.walkers, self._of_walkers)
        measured = [_measured(self.score, centred(frames), self.levels[0], read_off=True), *noisy]
        gain = GAIN * min(1.0, self.course.rounds / (2 * (k + 1)))  # steps are alike at first, from half way on shorter
        for j, (target, found) in enumerate(zip(self.targets, measured, strict=True)):
            off = target.excess(found)
            by = target.inverse @ off
            path[k, j], mismatch[k, j] = w[j] + gain * by, np.sqrt(off @ by)
        return Way(path, mismatch, replicas, walkers, np.asarray(way.lost + lost + also, np.int32))

    def _of_walkers(self, x: Any, sigma: Any) -> tuple[Float[np.ndarray, "w k"], Bool[np.ndarray, " w"]]:
        """The features of all walkers, level after level, and which of them are astray."""
        found, targets = _measured(self.score, x, sigma), self.targets[1:]
        parts = zip(targets, np.split(found, len(targets)), strict=True)
        return found, np.concatenate([target.astray(part) for target, part in parts])


def _noised(x: Float[np.ndarray, "f n 3"], sigma: float, rng: np.random.Generator) -> Float[np.ndarray, "f n 3"]:
    return (x + sigma * centred(rng.normal(size=x.shape))).astype(np.float32)


def _measured(
    score: InvariantEnergy, x: Any, sigma: float | Float[Array, " f"], read_off: bool = False
) -> Float[np.ndarray, "f k"]:
    levels = jnp.broadcast_to(jnp.asarray(sigma, jnp.float32), len(x))
    return np.asarray(features(score, jnp.asarray(x), levels, read_off), np.float64)


def _shifts(levels: Sequence[float], values: Float[np.ndarray, "l k"]) -> Shifts:
    return Shifts(jnp.asarray(np.log(levels), jnp.float32), jnp.asarray(values, jnp.float32))
