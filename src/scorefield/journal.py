"""What a training writes as it goes: the log, and checkpoints to go on from.

    log.jsonl                one line a block: step, loss, validation loss (every tenth block), seconds of training;
                             the first one also what speaks against the data (`warnings`), if anything does
    checkpoint.json          blocks done, and what the checkpoint belongs to
    checkpoint-N.safetensors weights, average and optimiser after block N; the JSON names the one in force

The JSON is replaced by rename after the arrays are whole, so a kill at any moment leaves a checkpoint to go on from.
"""

import contextlib
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .config import Config, difference
from .dataset import Dataset
from .errors import InputError
from .lock import locked
from .pool import Pool
from .storage import (
    describe,
    explain_os_errors,
    new_folder,
    read_json,
    reading,
    refuse_existing,
    sha256,
    write_json,
    write_text,
)
from .tensors import load_tree, save_tree

CHECKPOINT_SECONDS = 20.0
"""The training that a kill may cost."""

MAX_LOSS = 1e6
"""Per coordinate; an untrained model has about 1, so more than this is no training any more."""

Tree = TypeVar("Tree")


class Progress(NamedTuple):
    """What a training reports after each block; losses per coordinate, `validation` None before the first one.

    `stage` says what is at work once the steps are done.
    """

    step: int
    steps: int
    loss: float
    validation: float | None
    seconds: float
    stage: str = ""

    def words(self) -> str:
        """The losses, or the stage, for a progress bar."""
        if self.stage:
            return self.stage
        held = "" if self.validation is None else f", validation {self.validation:.4f}"
        return f"loss {self.loss:.4f}{held}"


class _State(NamedTuple):
    """What is done: blocks and steps at the last checkpoint, its arrays' file and hash, training so far in seconds."""

    blocks: int = 0
    steps: int = 0
    seconds: float = 0.0
    validation: float | None = None
    arrays: str | None = None
    sha256: str | None = None


class Journal:
    """The log and the checkpoints of one training in the folder `path`; nothing is written before it is `held`.

    `origin`: where it started, if from a trained model (`finetune.origin`).
    Raises InputError if `path` exists and `resume` is False, or if it holds no checkpoint of this training and `resume`
    is True.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        dataset: Dataset | Pool,
        resume: bool,
        warnings: Sequence[str] = (),
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        self._path, self._config, self._warnings = path, config, list(warnings)
        self._identity = {
            "data": dataset.fingerprint(),
            "config": config.to_toml(),
            "molecule": dataset.molecule.to_json(),
            "temperature_K": dataset.temperature,
            **(origin or {}),
        }
        self._new = not resume
        self._state = self._resumable() if resume else _State()
        self._validation = self._state.validation
        self._started = self._saved = time.monotonic()
        self._before = self._state.seconds
        if not resume:
            refuse_existing(path)

    def _resumable(self) -> _State:
        file = self._path / "checkpoint.json"
        if not file.exists():
            raise InputError(f"{self._path} has no checkpoint to go on from; leave --resume away to start a training")
        found = read_json(file, "checkpoint")
        with reading(file):
            if found["data"] != self._identity["data"]:
                raise InputError(f"{self._path} was trained on other data; train into another folder")
            if found.get("initial") != self._identity.get("initial"):
                words = "was begun from another model, or from none; give the same --from or train into another folder"
                raise InputError(f"{self._path} {words}")
            if found["config"] != self._identity["config"]:
                what = difference(str(found["config"]), self._config)
                raise InputError(f"{self._path} was trained with {what}; give the same or train into another folder")
            state = _State(**{key: found[key] for key in _State._fields})
            blocks, arrays = int(state.blocks), str(state.arrays)
            if blocks < 0 or (blocks and not re.fullmatch(r"checkpoint-\d+\.safetensors", arrays)):
                raise ValueError(f"{blocks} blocks in {arrays!r}")
            validation = None if state.validation is None else float(state.validation)
            return _State(blocks, int(state.steps), float(state.seconds), validation, arrays, str(state.sha256))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, if it is a new one, and hold it: nothing else here is to be called outside of this.

        Raises InputError if another process is at work in it.
        """
        if self._new:
            with new_folder(self._path) as draft:
                write_text(draft / "config.toml", self._config.to_toml())
                self._describe(draft)
        with locked(self._path):
            yield

    def restore(self, fresh: Tree) -> tuple[Tree, int]:
        """The state to start from, of the structure of `fresh`, and the blocks that are done."""
        self._trim()
        self._started = self._saved = time.monotonic()
        if not self._state.blocks:
            return fresh, 0
        arrays = self._path / str(self._state.arrays)
        state = load_tree(arrays, fresh)
        if sha256(arrays) != self._state.sha256:
            raise InputError(f"{arrays} has changed since it was written (sha256 differs); train anew")
        return state, self._state.blocks

    def _trim(self) -> None:
        """Drop lines of blocks that will be done again, and a torn last line."""
        log = self._path / "log.jsonl"
        if not log.exists():
            return
        kept = []
        with explain_os_errors(log):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            try:
                if json.loads(line)["step"] > self._state.steps:
                    break
            except (ValueError, KeyError, TypeError, RecursionError):
                break
            kept.append(line + "\n")
        write_text(log, "".join(kept))

    def write(self, step: int, loss: float, validation: float | None) -> Progress:
        """Log one block. Raises InputError if a loss is not finite or beyond `MAX_LOSS`: the training has diverged."""
        if not (math.isfinite(loss) and loss < MAX_LOSS and math.isfinite(validation or 0.0)):
            raise InputError(
                f"training diverged at step {step} (loss {loss:.3g}); {self._path} keeps the last checkpoint and the "
                "log: train anew with a smaller training.learning_rate, into another folder"
            )
        self._validation = self._validation if validation is None else validation
        progress = Progress(step, self._config.training.steps, loss, self._validation, self._seconds())
        self._log({"step": step, "loss": loss, "validation_loss": validation, "seconds": round(progress.seconds, 2)})
        return progress

    def _log(self, line: dict[str, Any]) -> None:
        with explain_os_errors(self._path), open(self._path / "log.jsonl", "a", encoding="utf-8") as log:
            if self._warnings and log.tell() == 0:
                line["warnings"] = self._warnings
            log.write(json.dumps(line) + "\n")

    def stage(self, name: str) -> Progress:
        """All steps done, and `name` at work."""
        steps = self._config.training.steps
        return Progress(steps, steps, math.nan, self._validation, self._seconds(), name)

    def due(self) -> bool:
        """Whether a checkpoint is worth its time."""
        return time.monotonic() - self._saved >= CHECKPOINT_SECONDS

    def checkpoint(self, state: Any, blocks: int, steps: int) -> None:
        """Save the state after `blocks` blocks and `steps` steps, then forget the one before."""
        arrays = self._path / f"checkpoint-{blocks}.safetensors"
        save_tree(arrays, state)
        self._state = _State(blocks, steps, self._seconds(), self._validation, arrays.name, sha256(arrays))
        self._describe(self._path)
        for old in self._path.glob("checkpoint-*.safetensors"):
            if old != arrays:
                old.unlink()
        self._saved = time.monotonic()

    def _describe(self, folder: Path) -> None:
        content = describe("checkpoint", **self._identity, **self._state._asdict())
        write_json(folder / "checkpoint.json", content)

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def summary(self) -> dict[str, Any]:
        """Steps, last validation loss and seconds of training so far (interruptions not counted)."""
        return {
            "steps": self._state.steps,
            "validation_loss": self._validation,
            "seconds": round(self._seconds(), 1),
        }


class Silent(Journal):
    """Of a process that computes with others, of which the first one keeps the journal: knows what is done, no more."""

    def __init__(self, config: Config) -> None:
        self._path, self._config = Path("this training"), config
        self._state, self._validation, self._before = _State(), None, 0.0
        self._started = self._saved = time.monotonic()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is held."""
        yield

    def restore(self, fresh: Tree) -> tuple[Tree, int]:
        """The first process says what is in their place."""
        return fresh, 0

    def _log(self, line: dict[str, Any]) -> None:
        pass

    def due(self) -> bool:
        """Never."""
        return False

    def checkpoint(self, state: Any, blocks: int, steps: int) -> None:
        """Take note."""
        self._state = self._state._replace(blocks=blocks, steps=steps)
