"""`sample` and `simulate`: frames from a Model, as `Frames`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .dynamics import Langevin, State, kinetic_temperature
from .energy.base import AbstractEnergy
from .errors import InputError
from .forcefield import ForceField
from .frames import Frames
from .model import Model
from .samplers import SAMPLERS, draw
from .trajectory import Trajectory
from .units import BOLTZMANN, thermal_energy

ALL_LOST = "every replica was lost before its first frame: smaller --dt-fs, larger --level, or train longer"
_FRAMES_A_CALL = 10
_MAX_STEPS = 2e9  # a step's number is a 32-bit integer


class RunProgress(NamedTuple):
    """What a simulation reports: time of each replica in ps, of how much, replicas started and lost so far.

    `ns_per_day`: of one replica, since the process began; None before that can be said.
    """

    time_ps: float
    total_ps: float
    replicas: int
    lost: int
    ns_per_day: float | None = None

    def words(self) -> str:
        """How it goes, for a progress bar."""
        speed = "" if self.ns_per_day is None else f", {self.ns_per_day:,.3g} ns/day each"
        return f"{self.replicas} replicas, {self.lost} lost{speed}"


@dataclass(frozen=True)
class Protocol:
    """How replicas are run: time step and `interval` of frames in ps, friction in 1/ps, noise `level` in nm, K.

    `stride` steps make a frame, of which there are `n_frames`. Everything random follows from `seed`.
    """

    dt: float
    stride: int
    n_frames: int
    friction: float
    level: float
    temperature: float
    seed: int

    @staticmethod
    def of(
        model: Model,
        time_ps: float,
        *,
        save_ps: float,
        seed: int = 0,
        level: float | None = None,
        temperature: float | None = None,
        dt_fs: float | None = None,
        friction: float | None = None,
    ) -> "Protocol":
        """`time_ps` with a frame kept every `save_ps`; None means as configured.

        `temperature` in K is that of the thermostat, the potential of mean force stays the one at the model's
        temperature. Raises InputError if the times make no whole step or no frame.
        """
        configured = model.config.simulation
        dt = (dt_fs or configured.dt_fs) * 1e-3
        stride, n_frames = frame_strides(dt, save_ps, time_ps)
        friction = configured.friction if friction is None else friction
        return Protocol(dt, stride, n_frames, friction, level or model.level, temperature or model.temperature, seed)

    @property
    def interval(self) -> float:
        """Time between frames, ps."""
        return self.stride * self.dt

    def settings(self, model: Model, replicas: int) -> dict[str, Any]:
        """As a folder of frames states them."""
        return {
            "integrator": "BAOAB",
            "dt_fs": self.dt * 1e3,
            "friction_per_ps": self.friction,
            "level_nm": self.level,
            "force_level": model.levels.to_json(),
            "replicas": replicas,
            "time_ps": self.n_frames * self.interval,
            "masses_Da": np.round(model.masses, 4).tolist(),
            "seed": self.seed,
        }


def sample(
    model: Model, n: int, seed: int = 0, steps: int | None = None, on_batch: Callable[[int], None] | None = None
) -> Frames:
    """`n` independent samples by the configured sampler, with `steps` noise levels in place of the configured number.

    What is not finite is counted as lost, what has a broken bond too, and left out. Raises InputError if nothing is left.
    """
    sampling, levels = model.config.sampling, model.sampling_levels(steps)
    drawn = draw(
        SAMPLERS[sampling.sampler],
        model.score,
        jax.random.key(seed),
        n,
        model.molecule.n_beads,
        levels,
        on_batch=on_batch,
    )
    intact = model.physical.intact(drawn.positions, model.molecule)
    positions = drawn.positions[intact]
    if not len(positions):
        raise InputError(f"none of {n} samples is physical: the model is not trained well enough to sample from")
    settings = {
        "sampler": sampling.sampler,
        "noise_levels": len(levels),
        "evaluations": 2 * len(levels) - 1 if sampling.sampler == "heun" else len(levels),
        "sigma_max_nm": float(levels[0]),
        "sigma_min_nm": float(levels[-1]),
        "not_finite": drawn.lost,
        "seed": seed,
    }
    trajectory = Trajectory(model.molecule, positions, (len(positions),), model.temperature)
    return Frames(trajectory, "samples", n, n - len(positions), settings)


def simulate(
    model: Model,
    starts: Float[np.ndarray, "r n 3"],
    time_ps: float,
    *,
    save_ps: float,
    seed: int = 0,
    level: float | None = None,
    temperature: float | None = None,
    dt_fs: float | None = None,
    friction: float | None = None,
    on_progress: Callable[[RunProgress], None] | None = None,
) -> Frames:
    """Langevin dynamics of one replica from each of `starts` (nm), for `time_ps`, a frame kept every `save_ps`.

    All frames are held in memory; `stream.simulate_into` writes them as it goes. Settings as in `Protocol.of`. A replica
    whose frame is not finite or has a broken bond is lost: its later frames are left out and counted. Raises InputError
    if the times make no whole step or no frame, or every replica is lost at once.
    """
    settings = {"level": level, "temperature": temperature, "dt_fs": dt_fs, "friction": friction}
    protocol = Protocol.of(model, time_ps, save_ps=save_ps, seed=seed, **settings)
    replicas = Replicas(model, protocol, len(starts))
    total, interval = protocol.n_frames, protocol.interval
    frames, lost = [], np.zeros(len(starts), bool)
    for done, _, x in replicas.frames(replicas.start(starts), 0, _FRAMES_A_CALL):
        frames.append(x)
        lost |= ~model.physical.intact(x, model.molecule).all(axis=1)
        if on_progress is not None:
            on_progress(RunProgress(done * interval, total * interval, len(starts), int(lost.sum())))
    trajectory, n_lost = _surviving(np.concatenate(frames, axis=1), model, protocol.temperature, interval)
    return Frames(trajectory, "simulation", len(starts), n_lost, protocol.settings(model, len(starts)))


def _surviving(
    frames: Float[np.ndarray, "r f n 3"], model: Model, temperature: float, interval: float
) -> tuple[Trajectory, int]:
    """Each replica's frames up to the first that is not intact, and how many replicas were lost."""
    kept = np.cumprod(model.physical.intact(frames, model.molecule), axis=1).astype(bool)
    lengths, lost = kept.sum(axis=1), int((~kept[:, -1]).sum())
    if not lengths.any():
        raise InputError(ALL_LOST)
    alive = lengths > 0
    positions = np.concatenate([f[:n] for f, n in zip(frames[alive], lengths[alive], strict=True)])
    chain_lengths = tuple(int(n) for n in lengths[alive])
    return Trajectory(model.molecule, positions, chain_lengths, temperature, interval), lost


def frame_strides(dt: float, save_ps: float, time_ps: float) -> tuple[int, int]:
    """Steps between kept frames, and their number, for times in ps.

    Raises InputError if that makes no whole step, no frame, or more steps than the noise has numbers for.
    """
    if not time_ps < _MAX_STEPS * dt:
        raise InputError(
            f"{time_ps:g} ps are more than {_MAX_STEPS:.0e} steps of {dt * 1e3:g} fs; simulate shorter, from several --seed"
        )
    stride = round(min(save_ps / dt, _MAX_STEPS))
    n_frames = int(time_ps / (stride * dt) + 1e-6) if stride else 0
    if not n_frames or save_ps > time_ps * (1 + 1e-9):
        raise InputError(
            f"cannot keep a frame every {save_ps:g} ps of {time_ps:g} ps at a step of {dt * 1e3:g} fs; "
            "choose --save-ps between them"
        )
    return stride, n_frames


class Replicas:
    """`n` replicas of a model under a protocol. What a replica does depends on the seed, its number and its start alone."""

    def __init__(self, model: Model, protocol: Protocol, n: int) -> None:
        self.protocol, self.n = protocol, n
        self._field = ForceField(model.score, protocol.level, model.temperature)
        masses = jnp.asarray(model.masses, jnp.float32)
        kT = thermal_energy(protocol.temperature)
        self._dynamics = Langevin(self._field.force, masses, kT, protocol.dt, protocol.friction)
        key, self._init_key = jax.random.split(jax.random.key(protocol.seed))
        self._keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(n))

    def start(self, starts: Float[np.ndarray, "r n 3"]) -> State:
        """The replicas at `starts` (nm), centred, with velocities of the thermostat's temperature."""
        centred = np.asarray(starts, np.float32) - np.mean(starts, axis=1, keepdims=True, dtype=np.float32)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(self._init_key, jnp.arange(self.n))
        return _init(self._dynamics, keys, jnp.asarray(centred))

    def frames(
        self, state: State, done: int, count: int = 1
    ) -> Iterator[tuple[int, State, Float[np.ndarray, "r f n 3"]]]:
        """From `state` after `done` frames to the last one, `count` at a time: frames done, the state, the new frames."""
        total = self.protocol.n_frames
        ahead = self._advance(state, done, min(count, total - done)) if done < total else None
        while ahead is not None:
            (state, x), done = ahead, min(done + count, total)
            # the next frames are under way on the device while the caller looks at these
            ahead = self._advance(state, done, min(count, total - done)) if done < total else None
            yield done, state, np.asarray(x)

    def steps(self, state: State, done: int, count: int) -> Iterator[Float[np.ndarray, "r f n 3"]]:
        """The steps that make the frame after `state`, `count` at a time."""
        first, stride = done * self.protocol.stride, self.protocol.stride
        count = min(count, stride)
        for k in range(0, stride, count):
            state, x = _advance(self._dynamics, state, self._keys, jnp.asarray(first + k), 1, count)
            yield np.asarray(x)[:, : stride - k]

    def _advance(self, state: State, done: int, count: int) -> tuple[State, Float[Array, "r f n 3"]]:
        first = jnp.asarray(done * self.protocol.stride)
        return _advance(self._dynamics, state, self._keys, first, self.protocol.stride, count)

    def observe(self, state: State) -> dict[str, Float[np.ndarray, " r"]]:
        """`temperatures`, kinetic, in K; `energies`, potential of mean force in kJ/mol, where the model has one."""
        return {name: np.asarray(value) for name, value in _observe(self._dynamics, self._field, state).items()}

    @property
    def observed(self) -> tuple[str, ...]:
        """Names of what `observe` gives."""
        return ("energies", "temperatures") if isinstance(self._field.model, AbstractEnergy) else ("temperatures",)


@eqx.filter_jit
def _observe(dynamics: Langevin, field: ForceField, state: State) -> dict[str, Float[Array, " r"]]:
    temperatures = jax.vmap(kinetic_temperature, (0, None, None))(state.v, dynamics.masses, BOLTZMANN)
    if not isinstance(field.model, AbstractEnergy):
        return {"temperatures": temperatures}
    return {"energies": jax.vmap(field.energy)(state.x), "temperatures": temperatures}


@eqx.filter_jit
def _init(dynamics: Langevin, keys: PRNGKeyArray, x: Float[Array, "r n 3"]) -> State:
    return jax.vmap(dynamics.init)(keys, x)


@eqx.filter_jit
def _advance(
    dynamics: Langevin, state: State, keys: PRNGKeyArray, first: Array, stride: int, count: int
) -> tuple[State, Float[Array, "r f n 3"]]:
    """`count` frames of `stride` steps each, all replicas in one loop; a step's noise depends on replica and step alone."""

    def step(i: Array, state: State) -> State:
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
        return jax.vmap(dynamics.step)(step_keys, state)

    def frame(state: State, k: Array) -> tuple[State, Array]:
        start = first + k * stride
        state = jax.lax.fori_loop(start, start + stride, step, state)
        return state, state.x

    state, x = jax.lax.scan(frame, state, jnp.arange(count))
    return state, jnp.swapaxes(x, 0, 1)
