"""`sample` and `simulate`: frames from a Model, as `Frames`."""

from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .blocks import Blocks
from .dynamics import Langevin, State, kinetic_temperature
from .energy.base import AbstractEnergy
from .errors import InputError
from .forcefield import ForceField
from .frames import Frames
from .model import Model
from .protocol import Protocol, RunProgress
from .samplers import SAMPLERS, draw
from .trajectory import Trajectory
from .units import BOLTZMANN, thermal_energy

ALL_LOST = "every replica was lost before its first frame: smaller --dt-fs, larger --level, or train longer"
_FRAMES_A_CALL = 10


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


class Replicas:
    """`n` replicas of a model under a protocol, in blocks of at most `block` (see `blocks`).

    What a replica does depends on the seed, its number and its start alone, up to rounding on the size of the blocks.
    """

    def __init__(self, model: Model, protocol: Protocol, n: int, block: int | None = None) -> None:
        self.protocol, self.n, self.blocks = protocol, n, Blocks.of(n, block)
        self._field = ForceField(model.score, protocol.level, model.temperature)
        masses = jnp.asarray(model.masses, jnp.float32)
        kT = thermal_energy(protocol.temperature)
        self._dynamics = Langevin(self._field.force, masses, kT, protocol.dt, protocol.friction)
        key, self._init_key = jax.random.split(jax.random.key(protocol.seed))
        self._keys = self.blocks.cut(jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(n)))
        self._everywhere = self.blocks.shared(self._dynamics)

    def start(self, starts: Float[np.ndarray, "r n 3"]) -> State:
        """The replicas at `starts` (nm), centred, with velocities of the thermostat's temperature."""
        centred = np.asarray(starts, np.float32) - np.mean(starts, axis=1, keepdims=True, dtype=np.float32)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(self._init_key, jnp.arange(self.n))
        return _init(self._dynamics, keys, jnp.asarray(centred))

    def frames(
        self, state: State, done: int, count: int = 1
    ) -> Iterator[tuple[int, State, Float[np.ndarray, "r f n 3"]]]:
        """From `state` after `done` frames to the last one, `count` at a time: frames done, the state, the new frames."""
        total, stride = self.protocol.n_frames, self.protocol.stride
        run = lambda blocks, done: self._run(blocks, done * stride, stride, min(count, total - done))
        ahead = run(self.blocks.cut(state), done) if done < total else None
        while ahead is not None:
            (blocks, x), done = ahead, min(done + count, total)
            # the next frames are under way on the devices while the caller looks at these
            ahead = run(blocks, done) if done < total else None
            yield done, self.blocks.join(blocks), np.asarray(self.blocks.join(x))

    def steps(self, state: State, done: int, count: int) -> Iterator[Float[np.ndarray, "r f n 3"]]:
        """The steps that make the frame after `state`, `count` at a time."""
        first, stride, blocks = done * self.protocol.stride, self.protocol.stride, self.blocks.cut(state)
        count = min(count, stride)
        for k in range(0, stride, count):
            blocks, x = self._run(blocks, first + k, 1, count)
            yield np.asarray(self.blocks.join(x))[:, : stride - k]

    def _run(self, blocks: list[State], first: int, stride: int, count: int) -> tuple[list[State], list[Array]]:
        """Every block from step number `first` on."""
        words = jnp.asarray(first), stride, count
        each = zip(self._everywhere, blocks, self._keys, strict=True)
        made = [_advance(dynamics, state, keys, *words) for dynamics, state, keys in each]
        return [state for state, _ in made], [x for _, x in made]

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
