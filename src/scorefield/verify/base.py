"""What a check is, and what all checks share: the model, reference frames, samples and one simulation."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..dataset import Dataset
from ..distributions import frame_weights
from ..errors import InputError
from ..frames import Frames
from ..geometry import centred
from ..health import dataset_warnings
from ..model import Model, Physical
from ..simulate import sample, simulate
from ..starts import choose_starts
from ..trajectory import Trajectory
from .fields import MeanForce

_FULL_UP_TO = 20  # beads
_SAVE_PS = 0.2
_SAME_TEMPERATURE = 0.5  # K
_SETTLING = 0.2  # of a replica's frames: velocities and bonds that come from the samples, not from the force field


@dataclass(frozen=True)
class Check:
    """One finding about a model, with the bound that decides it.

    Attributes: `value`, None where it cannot be had, its standard `error` where it has one, and `threshold`, in `unit`
    (which way, says `bound`); `passed`, which may ask for more than the value, or allow for its error (the `reason` of the
    threshold says what); `finding`, what was found, in one sentence; `seconds` it took, with what it was the first to need
    (samples, the simulation); `details`, plain types, with what a plot needs.
    """

    name: str
    title: str
    value: float | None
    threshold: float
    passed: bool
    reason: str
    finding: str
    unit: str = ""
    error: float | None = None
    seconds: float | None = None
    bound: Literal["at most", "at least"] = "at most"
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Literal["PASS", "FAIL"]:
        """PASS or FAIL."""
        return "PASS" if self.passed else "FAIL"


@dataclass(frozen=True)
class Sizes:
    """How much is computed: enough for a first answer in minutes on one core; more is sharper. Lengths in ps.

    Raises InputError if that is too little for the checks.
    """

    frames: int = 128
    samples: int = 10_000
    replicas: int = 128
    time_ps: float = 20.0
    map_replicas: int = 8
    map_time_ps: float = 10.0
    training_frames: int = 20_000
    held_out_frames: int = 5_000

    def __post_init__(self) -> None:
        for what, least in (("samples", 100), ("replicas", 4), ("time_ps", 1.0)):
            if not least <= getattr(self, what) < float("inf"):
                flag = f"--{what.replace('_', '-')}"
                raise InputError(f"{flag} is {getattr(self, what):g}; the checks need at least {least:g}")

    @staticmethod
    def of(n_beads: int, **given: float | None) -> "Sizes":
        """For a molecule of `n_beads`, with what is `given` and not None in place of the default.

        Beyond 20 beads less is computed: a frame costs more, its terms being those of all pairs, and says more.
        """
        share, full = min(1.0, _FULL_UP_TO / n_beads), Sizes()
        counts = {name: max(4, round(share * getattr(full, name))) for name in ("samples", "replicas", "map_replicas")}
        chosen: dict[str, Any] = counts | {"map_time_ps": max(0.5, share) * full.map_time_ps}
        chosen.update({name: value for name, value in given.items() if value is not None})
        return Sizes(**chosen)


@dataclass(frozen=True, eq=False)
class Context:
    """What checks work on; samples and simulation are made when first asked for, and once.

    Without a `dataset`, frames sampled from the model stand for the reference. Raises InputError if the dataset is of
    another molecule or has no test chains, or (on use) if there is neither a dataset nor one physical sample.
    """

    model: Model
    dataset: Dataset | None = None
    seed: int = 0
    sizes: Sizes = Sizes()

    def __post_init__(self) -> None:
        if self.dataset is not None and not self.dataset.molecule.same_as(self.model.molecule):
            raise InputError(
                f"--reference is of another molecule ({self.dataset.molecule.name}) than the model "
                f"({self.model.molecule.name}); beads, residues and bonds must agree"
            )
        if self.dataset is not None:
            self.dataset.split("test")

    @cached_property
    def samples(self) -> Frames | None:
        """Independent samples of the model; None if none of them is physical."""
        try:
            return sample(self.model, self.sizes.samples, self.seed)
        except InputError:
            return None

    @cached_property
    def reference(self) -> Trajectory:
        """Held-out frames of the dataset, else samples."""
        if self.dataset is not None:
            return self.dataset.split("test")
        if self.samples is None:
            raise InputError("no sample of this model is physical: train it longer, or give --reference DATASET")
        return self.samples.trajectory

    @property
    def described(self) -> str:
        """The reference, in words."""
        if self.dataset is None:
            return "none given: samples of the model stand for it"
        t = self.reference
        chains = "1 chain" if t.n_chains == 1 else f"{t.n_chains} chains"
        return f"{t.n_frames:,} held-out frames of {chains} (map {self.dataset.map}, {t.temperature:g} K)"

    @cached_property
    def warnings(self) -> list[str]:
        """What speaks against the reference, and against the data that the model learned from."""
        learned = self.model.training.get("warnings", [])
        if self.dataset is None:
            return [f"training data: {w}" for w in learned]
        given, (T, learned_at) = dataset_warnings(self.dataset), (self.reference.temperature, self.model.temperature)
        found = [f"reference: {w}" for w in given] + [f"training data: {w}" for w in learned if w not in given]
        if abs(T - learned_at) > _SAME_TEMPERATURE:
            found.append(f"reference: at {T:g} K, the model was learned at {learned_at:g} K: they should differ")
        return found

    @cached_property
    def physical(self) -> Physical:
        """Bonds of the held-out frames, else of the training frames as the model's folder states them."""
        return self.model.physical if self.dataset is None else Physical.of(self.reference)

    @cached_property
    def simulation(self) -> Frames | None:
        """Langevin dynamics as the model is configured, started from samples; None if all replicas are lost at once."""
        starts = self.starts(self.sizes.replicas, self.reference if self.samples is None else self.samples.trajectory)
        save = min(_SAVE_PS, self.sizes.time_ps)
        try:
            return simulate(self.model, starts, self.sizes.time_ps, save_ps=save, seed=self.seed)
        except InputError:
            return None

    @cached_property
    def simulated(self) -> Trajectory | None:
        """The simulation's frames without each replica's first fifth; one chain a replica."""
        if self.simulation is None:
            return None
        whole = self.simulation.trajectory
        chains = [chain[int(_SETTLING * len(chain)) :] for chain in whole.chains()]
        lengths = tuple(len(chain) for chain in chains)
        return Trajectory(whole.molecule, np.concatenate(chains), lengths, whole.temperature, whole.interval)

    def starts(self, replicas: int, pool: Trajectory | None = None) -> Float[np.ndarray, "r n 3"]:
        """Frames (nm) that represent all of `pool`, by their weights; of the reference, if none is given."""
        pool = self.reference if pool is None else pool
        return choose_starts(np.asarray(pool.alike().positions), replicas, self.seed)

    def frames(self, n: int | None = None) -> Float[Array, "f n 3"]:
        """Centred reference frames (nm), drawn by their weights; `n` or as many as checks of single frames take."""
        t, n = self.reference, n or self.sizes.frames
        weights = None if t.weights is None else frame_weights(t)
        n = min(n, t.n_frames)
        drawn = np.random.default_rng(self.seed).choice(t.n_frames, n, replace=weights is not None, p=weights)
        return jnp.asarray(centred(t.positions[np.sort(drawn)]))

    def key(self, name: str) -> PRNGKeyArray:
        """The random key of a check: of the seed and its name, whatever other checks run."""
        return jax.random.fold_in(jax.random.key(self.seed), zlib.crc32(name.encode()))

    def rng(self, name: str) -> np.random.Generator:
        """Likewise for numpy."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    @property
    def force(self) -> MeanForce:
        """The model's force at its own level."""
        return MeanForce(self.model.score, jnp.float32(self.model.level))


Checker = Callable[[Context], Check]


def finite(values: Float[np.ndarray, "..."] | float) -> Any:
    """Numbers as nested lists to 6 figures, None where not finite: what JSON can hold."""
    if np.ndim(values) == 0:
        return float(f"{float(values):.6g}") if np.isfinite(values) else None
    return [finite(v) for v in np.asarray(values)]
