"""What became of a replica that was lost, step by step, for whoever asks why it blew up.

lost/replica_0003.json          when, and what was wrong with it; `step` counts from the start of the simulation
lost/replica_0003.xtc           its last frames, one a step, as far as they are finite; opens with topology.pdb
lost/replica_0003.safetensors   `steps` (k, n_beads, 3): the same frames, the last one broken; nm
                                `x`, `v`, `f` (2, n_beads, 3): the last kept frame before and the first one after; nm, nm/ps,
                                kJ/mol/nm

The kept frames up to then are the replica's own in frames.npy. A simulation repeats itself exactly, so the steps between
two of them are had by running them once more.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .dynamics import State
from .model import Model
from .simulate import Replicas
from .storage import describe, write_json
from .structure import write_xtc
from .tensors import save_tree

STEPS = 100
"""Steps that are kept of a lost replica."""

MOST = 20
"""Replicas of one simulation that are examined; if more are lost, they tell the same."""


class Loss(NamedTuple):
    """A replica that was lost: its number, the frame that was not intact (from 0), its time in ps, and why."""

    replica: int
    frame: int
    time_ps: float
    why: str

    def words(self) -> str:
        """One sentence."""
        return f"replica {self.replica} was lost at {self.time_ps:g} ps: {self.why}"


def examine(folder: Path, losses: Sequence[Loss], before: State, after: State, running: Replicas, model: Model) -> None:
    """Write down what became of replicas that were lost in one frame: `before` is the state a frame ago, `after` now."""
    if not losses:
        return
    folder.mkdir(exist_ok=True)
    traces = _retraced([loss.replica for loss in losses], before, losses[0].frame, running, model)
    for loss, (last, steps) in zip(losses, traces, strict=True):
        k, path = loss.replica, folder / f"replica_{loss.replica:04d}"
        states = {name: np.stack([getattr(s, name)[k] for s in (before, after)]) for name in State._fields}
        save_tree(path.with_suffix(".safetensors"), states | {"steps": steps})
        finite = steps[
            np.isfinite(steps).all(axis=(1, 2)) & (np.abs(steps) < 1e3).all(axis=(1, 2))
        ]  # XTC holds no more
        if len(finite):
            write_xtc(path.with_suffix(".xtc"), finite, running.protocol.dt)
        intact = bool(model.physical.intact(steps[-1], model.molecule))
        content = describe(
            "postmortem",
            **loss._asdict(),
            step=last,
            fault="none at single steps: they did not repeat exactly"
            if intact
            else model.physical.fault(steps[-1], model.molecule),
            steps=len(steps),
            dt_fs=running.protocol.dt * 1e3,
        )
        write_json(path.with_suffix(".json"), content)


def _retraced(
    which: Sequence[int], before: State, frame: int, running: Replicas, model: Model
) -> list[tuple[int, np.ndarray]]:
    """For each replica the step at which it first is not intact (else the frame's last), and its last `STEPS` up to it."""
    kept = [np.asarray(before.x)[k][None] for k in which]
    broken: list[int | None] = [None] * len(which)
    step = frame * running.protocol.stride
    for x in running.steps(before, frame, STEPS):
        for i, k in enumerate(which):
            if broken[i] is None:
                bad = np.flatnonzero(~model.physical.intact(x[k], model.molecule))
                seen = x[k] if not len(bad) else x[k, : bad[0] + 1]
                kept[i] = np.concatenate([kept[i], seen])[-STEPS:]
                broken[i] = None if not len(bad) else step + int(bad[0]) + 1
        step += x.shape[1]
        if None not in broken:
            break
    return [(step if b is None else b, x) for b, x in zip(broken, kept, strict=True)]
