"""`sample` and `simulate`: frames from a Model, as `Frames`."""

from collections.abc import Callable, Sequence
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float

from .errors import InputError
from .frames import Frames
from .model import Model
from .protocol import Protocol, RunProgress
from .replicas import Replicas
from .restraints import Bias, Restraint
from .samplers import SAMPLERS, draw
from .trajectory import Trajectory

ALL_LOST = "every replica was lost before its first frame: smaller --dt-fs, larger --level, or train longer"
_FRAMES_A_CALL = 10


def sample(
    model: Model, n: int, seed: int = 0, steps: int | None = None, on_batch: Callable[[int], None] | None = None
) -> Frames:
    """`n` independent equilibrium samples (n, n_beads, 3) in nm by the configured sampler (arXiv 2211.01095, 2206.00364 or
    2006.11239; see `samplers`); `steps` noise levels in place of the configured number.

    What is not finite is counted as lost, what has a broken bond too, and left out. Raises InputError if nothing is left.
    """
    if model.config.training.objective == "forces":
        raise InputError("a model of forces alone knows no noise to sample with; simulate it with --start DATASET")
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
        "model": model.about(),
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
    exchange: Sequence[float] | Literal["auto"] = (),
    on_progress: Callable[[RunProgress], None] | None = None,
) -> Frames:
    """Langevin dynamics of one replica from each of `starts` (nm), for `time_ps`, a frame kept every `save_ps`.

    All frames are held in memory; `stream.simulate_into` writes them as it goes. Settings as in `Protocol.of`; `bias` adds
    restraints, whose numbers are one for all or one a replica; `exchange` gives every replica a ladder of larger levels, of
    which the force level is kept. A replica whose frame is not finite or has a broken bond is lost: its later frames are
    left out and counted. Raises InputError if a setting is out of range, `starts` are not of this molecule, the times
    make no whole step or no frame, or every replica is lost at once.
    """
    settings = {"level": level, "temperature": temperature, "dt_fs": dt_fs, "friction": friction}
    protocol = Protocol.of(model, time_ps, save_ps=save_ps, seed=seed, exchange=exchange, **settings)
    replicas = Replicas(model, protocol, len(starts), bias=bias)
    total, interval = protocol.n_frames, protocol.interval
    frames, lost, state = [], np.zeros(len(starts), bool), replicas.start(starts)
    for done, now, x in replicas.frames(state, 0, _FRAMES_A_CALL):
        frames.append(x)
        state = now
        lost |= ~model.physical.intact(x, model.molecule).all(axis=1)
        if on_progress is not None:
            on_progress(RunProgress(done * interval, total * interval, len(starts), int(lost.sum())))
    trajectory, n_lost = _surviving(np.concatenate(frames, axis=1), model, protocol.temperature, interval)
    described = protocol.settings(model, len(starts)) | {"model": model.about()}
    if protocol.rungs:
        described["exchange"] |= {"acceptance": replicas.acceptance(state, total, ~lost)}
    if bias is not None:
        leaves = jax.tree.leaves(bias, is_leaf=lambda x: isinstance(x, Restraint))
        described["bias"] = [str(leaf) for leaf in leaves]
    return Frames(trajectory, "simulation", len(starts), n_lost, described)


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
