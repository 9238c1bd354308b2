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
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .crowds import ForceFieldCrowd, NoisyCrowd
from .dataset import Dataset
from .energy.invariant import InvariantEnergy
from .energy.shifts import Shifts
from .errors import InputError
from .features import Target, features
from .geometry import centred
from .model import Model
from .starts import choose_starts

GAIN = 0.3
FIRST_LEVEL = 0.07
"""The least noise level refined beside the force level, mean bond lengths."""
WALKERS = 2
"""At each noise level, for a replica of the force field."""
_FRAMES = 20_000


class Round(NamedTuple):
    """What a round said: its number, of how many; the mismatch |<f>_U - <f>_data| in units of C; walkers lost so far."""

    number: int
    rounds: int
    mismatch: tuple[float, ...]
    lost: int

    def words(self) -> str:
        """For a progress bar."""
        return f"mismatch {', '.join(f'{m:.2f}' for m in self.mismatch)}; {self.lost} lost"


@dataclass
class Course:
    """The way of w at one level: Newton's steps towards `target`, and their average over the second half of `rounds`."""

    target: Target
    rounds: int
    path: list[Float[np.ndarray, " k"]] = field(default_factory=list)

    @property
    def now(self) -> Float[np.ndarray, " k"]:
        """Where it is."""
        return self.path[-1] if self.path else np.zeros(len(self.target.mean))

    @property
    def found(self) -> Float[np.ndarray, " k"]:
        """Where it has come to: what chance adds to every step is less in the average."""
        return np.mean(self.path[len(self.path) // 2 :], axis=0)

    def step(self, measured: Float[np.ndarray, "f k"]) -> float:
        """Go on, given the features of the walkers; the mismatch. Steps are alike at first, from half way on shorter."""
        off = self.target.excess(measured)
        by = self.target.inverse @ off
        gain = GAIN * min(1.0, self.rounds / (2 * (len(self.path) + 1)))
        self.path.append(self.now + gain * by)
        return float(np.sqrt(off @ by))


def refine(
    model: Model,
    dataset: Dataset,
    *,
    rounds: int = 40,
    time_ps: float = 25.0,
    replicas: int = 200,
    seed: int = 0,
    on_round: Callable[[Round], None] | None = None,
) -> Model:
    """`model` with its energy corrected in `rounds` of simulation, against the training frames of `dataset`.

    `replicas` of the force field run `time_ps` a round, at the model's force level and time step; `WALKERS` times as many at
    each of some noise levels. Raises InputError if the model's kind of energy cannot be refined, it is of another molecule
    than `dataset`, a number is out of range, or every replica is lost.
    """
    score = model.score
    if not (isinstance(score, InvariantEnergy) and score.network.readout):
        raise InputError("only models with energy.kind auto, invariant or beads can be refined")
    if not dataset.molecule.same_as(model.molecule):
        raise InputError(f"the dataset is of another molecule ({dataset.molecule.name}) than the model")
    if rounds < 1 or replicas < 1:
        raise InputError(f"{rounds} rounds of {replicas} replicas: both must be at least 1")
    score = replace(score, shifts=None)
    work = _Refinement(replace(model, score=score), score, dataset, rounds, replicas, seed, on_round)
    force, said = work.force_field(time_ps)
    levels = noise_levels(model)
    noisy, also_said = work.densities(levels)
    found = replace(score, shifts=_shifts([model.level, *levels], [force, *noisy]))
    about: dict[str, Any] = {
        "rounds": rounds,
        "time_ps": time_ps,
        "replicas": replicas,
        "seed": seed,
        "lost": work.lost,
    }
    about["levels_nm"] = [model.level, *levels]
    about["mismatch"] = [[round(m, 4) for m in (*one, *others)] for one, others in zip(said, also_said, strict=True)]
    return replace(model, score=found, training=model.training | {"refined": about})


def noise_levels(model: Model) -> tuple[float, ...]:
    """In nm, each at most twice the one before: from 0.07 mean bond lengths, above the force level, to the spread."""
    bonds, last = model.physical.bond_mean, model.physical.spread
    first = max(2 * model.level, FIRST_LEVEL * float(np.mean(bonds) if len(bonds) else last))
    number = max(2, 1 + int(np.ceil(np.log2(last / first)))) if first < last else 1
    return tuple(float(f"{s:.4g}") for s in np.geomspace(min(first, last), last, number))


@dataclass
class _Refinement:
    """One refinement: what its parts share."""

    model: Model
    score: InvariantEnergy
    dataset: Dataset
    rounds: int
    replicas: int
    seed: int
    on_round: Callable[[Round], None] | None
    lost: int = 0

    def force_field(self, time_ps: float) -> tuple[Float[np.ndarray, " k"], list[list[float]]]:
        """w at the force level, and the mismatch of every round."""
        frames, level = self.dataset.split("train"), self.model.level
        measure = lambda x: np.asarray(
            features(self.score, jnp.asarray(centred(x)), jnp.full(len(x), level, jnp.float32), True), np.float64
        )
        course = Course(Target.of(measure(frames.representative(_FRAMES).positions)), self.rounds)
        crowd = ForceFieldCrowd(
            self.model, choose_starts(frames.positions, self.replicas, self.seed), time_ps, self.seed
        )
        said = []
        for k in range(self.rounds):
            now = replace(self.score, shifts=_shifts([level], [course.now]))
            said.append([course.step(measure(crowd.advanced(replace(self.model, score=now), k)))])
            self._say(k, said[-1], crowd.lost)
        self.lost += crowd.lost
        return course.found, said

    def densities(self, levels: Sequence[float]) -> tuple[list[Float[np.ndarray, " k"]], list[list[float]]]:
        """w at each of the noise `levels` (nm), and the mismatches of every round."""
        frames, rng = self.dataset.split("train"), np.random.default_rng(self.seed)
        x = centred(frames.representative(_FRAMES).positions)
        noised = lambda x, s: (x + s * centred(rng.normal(size=x.shape))).astype(np.float32)
        measure = lambda x, s: np.asarray(features(self.score, jnp.asarray(x), s, False), np.float64)
        full = lambda s: jnp.full(len(x), s, jnp.float32)
        courses = [Course(Target.of(measure(noised(x, s), full(s))), self.rounds) for s in levels]
        chosen = choose_starts(frames.positions, WALKERS * self.replicas, self.seed)
        crowd = NoisyCrowd(np.stack([noised(centred(chosen), s) for s in levels]), np.array(levels), self.seed)
        said = []
        for k in range(self.rounds):
            now = replace(self.score, shifts=_shifts(levels, [course.now for course in courses]))
            measured = crowd.advanced(now, k, measure)
            said.append([course.step(f) for course, f in zip(courses, measured, strict=True)])
            self._say(self.rounds + k, said[-1], crowd.lost)
        self.lost += crowd.lost
        return [course.found for course in courses], said

    def _say(self, k: int, mismatch: Sequence[float], lost: int) -> None:
        if self.on_round is not None:
            self.on_round(Round(k + 1, 2 * self.rounds, tuple(mismatch), self.lost + lost))


def _shifts(levels: Sequence[float], values: Sequence[Float[np.ndarray, " k"]]) -> Shifts:
    return Shifts(jnp.asarray(np.log(levels), jnp.float32), jnp.asarray(np.stack(values), jnp.float32))
