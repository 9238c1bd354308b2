"""A refinement on disk: from a RUN folder to another, stopped at any time and gone on with.

    refinement.json           what is being refined, by what course, how many rounds are done
    refinement-N.safetensors  the way so far and the walkers after round N; the JSON names the one in force

Both are gone once the folder is a RUN folder. The JSON is replaced by rename after the arrays are whole.
"""

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .dataset import Dataset
from .errors import InputError
from .journal import CHECKPOINT_SECONDS
from .lock import locked
from .model import Model, save_model
from .refine import Course, Round, Way, check, refine
from .storage import describe, new_folder, read_json, reading, refuse_existing, sha256, write_json
from .tensors import fingerprint, load_tree, save_tree

_STATE = "refinement.json"


def refine_into(
    out: Path,
    model: Model,
    dataset: Dataset,
    course: Course,
    *,
    resume: bool = False,
    on_round: Callable[[Round], None] | None = None,
) -> Model:
    """`refine` into the RUN folder `out`; with `resume`, go on from what is there.

    Raises InputError if `out` exists and `resume` is False, or it holds no refinement of this model by this course on this
    dataset, and as `refine` does.
    """
    check(model, dataset, course)
    stated = {"config": model.config.to_toml(), "data": dataset.fingerprint(), "course": asdict(course)}
    identity = {"model": fingerprint(model.score), **stated}
    if not resume:
        with new_folder(refuse_existing(out)) as draft:
            write_json(
                draft / _STATE, describe("refinement", **identity, done=0, seconds=0.0, arrays=None, sha256=None)
            )
    with locked(out):
        keeper = _OnDisk(out, identity)
        refined = refine(model, dataset, course, keeper=keeper, on_round=on_round)
        refined.training["refined"]["seconds"] = round(keeper.seconds, 1)
        save_model(refined, out)
        keeper.clear()
    return refined


class _OnDisk:
    """The checkpoints in the folder `out`."""

    def __init__(self, out: Path, identity: dict[str, Any]) -> None:
        self._out, self._identity = out, identity
        self._started = self._saved = time.monotonic()
        file = out / _STATE
        if not file.exists() and (out / "model.json").exists():
            raise InputError(f"{out} is refined already: there is nothing to go on with")
        if not file.exists():
            raise InputError(f"{out} has no unfinished refinement to go on with; leave --resume away to start one")
        self._found = read_json(file, "refinement")
        with reading(file):
            begun = {"model": "another model", "config": "another configuration", "data": "other data"}
            for key, what in (begun | {"course": "other settings"}).items():
                if self._found[key] != identity[key]:
                    raise InputError(f"{out} was begun with {what}; give the same or refine into another folder")
            done, arrays, self._before = int(self._found["done"]), self._found["arrays"], float(self._found["seconds"])
            if done < 0 or (done and not re.fullmatch(r"refinement-\d+\.safetensors", str(arrays))):
                raise ValueError(f"{done} rounds in {arrays!r}")

    @property
    def seconds(self) -> float:
        """Of refinement in all, those of earlier processes too."""
        return self._before + time.monotonic() - self._started

    def restore(self, fresh: Way) -> tuple[Way, int]:
        """See `refine.Keeper`."""
        done = int(self._found["done"])
        if not done:
            return fresh, 0
        arrays = self._out / str(self._found["arrays"])
        way = load_tree(arrays, fresh)
        if sha256(arrays) != self._found["sha256"]:
            raise InputError(f"{arrays} has changed since it was written (sha256 differs); refine anew")
        return way, done

    def save(self, way: Way, done: int) -> None:
        """See `refine.Keeper`: no more often than `CHECKPOINT_SECONDS`."""
        if time.monotonic() - self._saved < CHECKPOINT_SECONDS:
            return
        arrays = self._out / f"refinement-{done}.safetensors"
        save_tree(arrays, way)
        now = {"done": done, "seconds": self.seconds, "arrays": arrays.name, "sha256": sha256(arrays)}
        write_json(self._out / _STATE, describe("refinement", **self._identity, **now))
        self._forget(but=arrays)
        self._saved = time.monotonic()

    def clear(self) -> None:
        """Leave no checkpoint."""
        (self._out / _STATE).unlink()
        self._forget()

    def _forget(self, but: Path | None = None) -> None:
        for file in self._out.glob("refinement-*.safetensors"):
            if file != but:
                with contextlib.suppress(OSError):
                    file.unlink()
