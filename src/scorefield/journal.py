"""What a training writes as it goes: the log, and checkpoints to go on from.

    log.jsonl                one line a block: step, loss, validation loss (every tenth block), seconds of training
    checkpoint.json          blocks done, and what the checkpoint belongs to
    checkpoint-N.safetensors weights, average and optimiser after block N; the JSON names the one in force

The JSON is replaced by rename after the arrays are whole, so a kill at any moment leaves a checkpoint to go on from.
"""

import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .config import Config
from .errors import InputError
from .storage import describe, explain_os_errors, read_json, refuse_existing, sha256, write_json
from .tensors import load_tree, save_tree
from .trajectory import Trajectory

Tree = TypeVar("Tree")


class Progress(NamedTuple):
    """What a training reports after each block; losses per coordinate, `validation` None before the first one."""

    step: int
    steps: int
    loss: float
    validation: float | None
    seconds: float


class Journal:
    """The log and the checkpoints of one training in the folder `path`.

    Raises InputError if `path` exists and `resume` is False, or if it holds no checkpoint of this training and `resume`
    is True.
    """

    def __init__(self, path: Path, config: Config, frames: Trajectory, resume: bool) -> None:
        self._path, self._steps = path, config.training.steps
        self._identity = {
            "config": config.to_toml(),
            "molecule": frames.molecule.to_json(),
            "train_frames": frames.n_frames,
            "temperature_K": frames.temperature,
        }
        self._validation: float | None = None
        self._before = 0.0
        self._started = time.monotonic()
        if resume:
            self._state = self._resumable()
        else:
            self._state = {"blocks": 0, "steps": 0, "seconds": 0.0, "validation": None}
            with explain_os_errors(refuse_existing(path)):
                path.mkdir(parents=True)
                (path / "config.toml").write_text(config.to_toml())
            self._describe({})

    def _resumable(self) -> dict[str, Any]:
        if not (self._path / "checkpoint.json").exists():
            raise InputError(f"{self._path} has no checkpoint to go on from; leave --resume away to start a training")
        state = read_json(self._path / "checkpoint.json", "checkpoint")
        for key, value in self._identity.items():
            if state.get(key) != value:
                raise InputError(f"{self._path} was trained with another {key}; train into another folder")
        return {
            key: state[key] for key in ("blocks", "steps", "seconds", "validation", "arrays", "sha256") if key in state
        }

    def restore(self, fresh: Tree) -> tuple[Tree, int]:
        """The state to start from, of the structure of `fresh`, and the blocks that are done."""
        blocks = self._state["blocks"]
        self._before, self._validation = self._state["seconds"], self._state["validation"]
        self._trim(self._state["steps"])
        self._started = time.monotonic()
        if not blocks:
            return fresh, 0
        arrays = self._path / self._state["arrays"]
        state = load_tree(arrays, fresh)
        if sha256(arrays) != self._state["sha256"]:
            raise InputError(f"{arrays} has changed since it was written (sha256 differs); train anew")
        return state, blocks

    def _trim(self, steps: int) -> None:
        """Drop lines of blocks that will be done again, and a torn last line."""
        log = self._path / "log.jsonl"
        if not log.exists():
            return
        kept = []
        for line in log.read_text().splitlines():
            try:
                if json.loads(line)["step"] > steps:
                    break
            except (ValueError, KeyError, TypeError):
                break
            kept.append(line + "\n")
        with explain_os_errors(log):
            log.write_text("".join(kept))

    def write(self, step: int, loss: float, validation: float | None) -> Progress:
        """Log one block. Raises InputError if the loss is not finite: the training has diverged."""
        if not math.isfinite(loss):
            raise InputError(
                f"training diverged at step {step} (the loss is not finite); {self._path} keeps the last checkpoint: "
                "train anew with a smaller learning_rate"
            )
        self._validation = self._validation if validation is None else validation
        self._state["steps"] = step
        progress = Progress(step, self._steps, loss, self._validation, self._seconds())
        line = {"step": step, "loss": loss, "validation_loss": validation, "seconds": round(progress.seconds, 2)}
        with explain_os_errors(self._path), open(self._path / "log.jsonl", "a") as log:
            log.write(json.dumps(line) + "\n")
        return progress

    def checkpoint(self, state: Any, blocks: int) -> None:
        """Save the state after `blocks` blocks, then forget the one before."""
        arrays = self._path / f"checkpoint-{blocks}.safetensors"
        save_tree(arrays, state)
        self._state |= {"blocks": blocks, "seconds": self._seconds(), "validation": self._validation}
        self._describe({"arrays": arrays.name, "sha256": sha256(arrays)})
        for old in self._path.glob("checkpoint-*.safetensors"):
            if old != arrays:
                old.unlink()

    def _describe(self, arrays: dict[str, str]) -> None:
        self._state |= arrays
        write_json(self._path / "checkpoint.json", describe("checkpoint", **self._identity, **self._state))

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def summary(self) -> dict[str, Any]:
        """Steps, last validation loss and seconds of training (interruptions not counted)."""
        return {
            "steps": self._state["steps"],
            "validation_loss": self._validation,
            "seconds": round(self._state["seconds"], 1),
        }
