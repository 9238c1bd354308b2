"""`sample` and `simulate`: frames from a Model, as `Frames`."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .dynamics import Langevin, State
from .errors import InputError
from .forcefield import ForceField
from .frames import Frames
from .model import Model
from .restraints import Bias, Restraint, biased
from .samplers import SAMPLERS, draw
from .trajectory import Trajectory
from .units import thermal_energy

_FRAMES_A_CALL = 10
_MAX_STEPS = 2e9  # a step's number is a 32-bit integer


class RunProgress(NamedTuple):
    """What a simulation reports: time of each replica in ps, of how much, replicas lost so far."""

    time_ps: float
    total_ps: float
    lost: int


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
    bias: Bias | None = None,
    on_progress: Callable[[RunProgress], None] | None = None,
) -> Frames:
    """Langevin dynamics of one replica from each of `starts` (nm), for `time_ps`, a frame kept every `save_ps`.

    None means as configured; `temperature` in K is that of the thermostat, the potential of mean force stays the one at
    the model's temperature; `bias` adds restraints, whose numbers are one for all or one a replica. A replica whose frame
    is not finite or has a broken bond is lost: its later frames are left out and counted. Raises InputError if the times
    make no whole step or no frame, or every replica is lost at once.
    """
    configured = model.config.simulation
    dt = (dt_fs or configured.dt_fs) * 1e-3
    friction = configured.friction if friction is None else friction
    level = level or model.level
    temperature = temperature or model.temperature
    stride, n_frames = frame_strides(dt, save_ps, time_ps)
    field = ForceField(model.score, level, model.temperature)
    masses = jnp.asarray(model.masses, jnp.float32)
    dynamics = Langevin(field.force, masses, thermal_energy(temperature), dt, friction)
    each = _of_each_replica(bias, len(starts))
    frames = np.concatenate(list(_frames(dynamics, each, starts, stride, n_frames, seed, model, on_progress)), axis=1)
    trajectory, lost = _surviving(frames, model, temperature, stride * dt)
    settings: dict[str, Any] = {
        "integrator": "BAOAB",
        "dt_fs": dt * 1e3,
        "friction_per_ps": friction,
        "level_nm": level,
        "force_level": model.levels.to_json(),
        "replicas": len(starts),
        "time_ps": n_frames * stride * dt,
        "masses_Da": np.round(model.masses, 4).tolist(),
        "seed": seed,
    }
    if bias is not None:
        settings["bias"] = [str(leaf) for leaf in jax.tree.leaves(bias, is_leaf=lambda x: isinstance(x, Restraint))]
    return Frames(trajectory, "simulation", len(starts), lost, settings)


def _of_each_replica(bias: Bias | None, replicas: int) -> Bias | None:
    """Every number of `bias` once a replica. Raises InputError if there are neither one nor as many as replicas."""

    def repeated(number: Array) -> Array:
        if number.ndim and number.shape[0] != replicas:
            raise InputError(f"a restraint has {number.shape[0]} numbers for {replicas} replicas")
        return jnp.broadcast_to(number, (replicas,))

    return jax.tree.map(repeated, bias)


def _surviving(
    frames: Float[np.ndarray, "r f n 3"], model: Model, temperature: float, interval: float
) -> tuple[Trajectory, int]:
    """Each replica's frames up to the first that is not intact, and how many replicas were lost."""
    kept = np.cumprod(model.physical.intact(frames, model.molecule), axis=1).astype(bool)
    lengths, lost = kept.sum(axis=1), int((~kept[:, -1]).sum())
    if not lengths.any():
        raise InputError(
            "every replica was lost before its first frame: smaller --dt-fs, larger --level, or train longer"
        )
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


def _frames(
    dynamics: Langevin,
    bias: Bias | None,
    starts: np.ndarray,
    stride: int,
    n_frames: int,
    seed: int,
    model: Model,
    on_progress: Callable[[RunProgress], None] | None,
) -> Iterator[np.ndarray]:
    """Frames of all replicas, some (r, f, n, 3) at a time."""
    centred = np.asarray(starts, np.float32) - np.mean(starts, axis=1, keepdims=True, dtype=np.float32)
    key, init_key = jax.random.split(jax.random.key(seed))
    replica_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(centred)))
    init_keys = jax.vmap(jax.random.fold_in, (None, 0))(init_key, jnp.arange(len(centred)))
    state = _init(dynamics, bias, init_keys, jnp.asarray(centred))
    done = 0
    lost = np.zeros(len(centred), bool)
    while done < n_frames:
        count = min(_FRAMES_A_CALL, n_frames - done)
        state, x = _advance(dynamics, bias, state, replica_keys, jnp.asarray(done * stride), stride, count)
        x = np.asarray(x)
        done += count
        lost |= ~model.physical.intact(x, model.molecule).all(axis=1)
        if on_progress is not None:
            on_progress(RunProgress(done * stride * dynamics.dt, n_frames * stride * dynamics.dt, int(lost.sum())))
        yield x


@eqx.filter_jit
def _init(dynamics: Langevin, bias: Bias | None, keys: PRNGKeyArray, x: Float[Array, "r n 3"]) -> State:
    return jax.vmap(lambda bias, key, x: biased(dynamics, bias).init(key, x))(bias, keys, x)


@eqx.filter_jit
def _advance(
    dynamics: Langevin, bias: Bias | None, state: State, keys: PRNGKeyArray, first: Array, stride: int, count: int
) -> tuple[State, Float[Array, "r f n 3"]]:
    """`count` frames of `stride` steps each, all replicas in one loop; a step's noise depends on replica and step alone."""

    def step(i: Array, state: State) -> State:
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
        return jax.vmap(lambda bias, key, state: biased(dynamics, bias).step(key, state))(bias, step_keys, state)

    def frame(state: State, k: Array) -> tuple[State, Array]:
        start = first + k * stride
        state = jax.lax.fori_loop(start, start + stride, step, state)
        return state, state.x

    state, x = jax.lax.scan(frame, state, jnp.arange(count))
    return state, jnp.swapaxes(x, 0, 1)
