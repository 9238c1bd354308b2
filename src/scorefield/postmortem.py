"""What became of a replica that was lost, step by step, for whoever asks why it blew up.

lost/replica_0003.json          when, and what was wrong with it; `step` counts from the start of the simulation
lost/replica_0003.xtc           its last frames, one a step, as far as they are finite; opens with topology.pdb
lost/replica_0003.safetensors   `steps` (k, n_beads, 3): the same frames, the last one broken; nm
                                `frames` (k, n_beads, 3): the last frames that were kept; nm
                                `x`, `v`, `f` (2, n_beads, 3): the state with the last of those and a frame later; nm,
                                nm/ps, kJ/mol/nm

A simulation repeats itself exactly, so the steps between two kept frames are had by running them once more.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .model import Model
from .record import Loss
from .replicas import AnyState, Replicas
from .storage import describe, write_json
from .structure import write_xtc
from .tensors import save_arrays

LAST = 100
"""Frames, and steps, that are kept of a lost replica."""

_XTC_NM = 1e3  # XTC holds no larger coordinates, and no NaN

MOST = 20
"""Replicas of one simulation that are examined; if more are lost, they tell the same."""


def examine(
    folder: Path,
    losses: Sequence[Loss],
    frames: Callable[[int], Float[np.ndarray, "f n 3"]],
    before: AnyState,
    after: AnyState,
    running: Replicas,
    model: Model,
) -> None:
    """Write down what became of replicas that were lost in one frame.

    `frames` gives the last kept ones of a replica; `before` is the state a frame ago, `after` now.
    """
    if not losses:
        return
    folder.mkdir(exist_ok=True)
    traces = _retraced([loss.replica for loss in losses], before, losses[0].frame, running, model)
    for loss, (last, steps) in zip(losses, traces, strict=True):
        k, path = loss.replica, folder / f"replica_{loss.replica:04d}"
        states = {name: np.stack([getattr(s, name)[k] for s in (before, after)]) for name in before._fields}
        save_arrays(path.with_suffix(".safetensors"), states | {"steps": steps, "frames": frames(k)})
        drawable = (np.abs(steps) < _XTC_NM).all(axis=(1, 2))
        if drawable.any():
            write_xtc(path.with_suffix(".xtc"), steps[drawable], running.protocol.dt)
        faults = [model.physical.fault(x, model.molecule) for x in steps[-2:]]
        found = {
            "step": last,
            "at_that_step": faults[-1],
            "a_step_before": faults[0],
            "dt_fs": running.protocol.dt * 1e3,
        }
        write_json(path.with_suffix(".json"), describe("postmortem", **loss._asdict(), **found))


def _retraced(
    which: Sequence[int], before: AnyState, frame: int, running: Replicas, model: Model
) -> list[tuple[int, np.ndarray]]:
    """For each replica the step at which it first is not intact (else the frame's last), and its last `LAST` up to it."""
    kept = [np.asarray(before.recorded.x)[k][None] for k in which]
    broken: list[int | None] = [None] * len(which)
    moves = running.protocol.moves
    step = frame * running.protocol.stride
    for x in running.steps(before, frame, LAST):
        for i, k in enumerate(which):
            if broken[i] is None:
                bad = np.flatnonzero(~model.physical.intact(x[k], model.molecule))
                seen = x[k] if not len(bad) else x[k, : bad[0] + 1]
                kept[i] = np.concatenate([kept[i], seen])[-LAST:]
                broken[i] = None if not len(bad) else step + moves * (int(bad[0]) + 1)
        step += moves * x.shape[1]
        if None not in broken:
            break
    return [(step if b is None else b, x) for b, x in zip(broken, kept, strict=True)]
