"""Several processes at one work, on JAX's distributed runtime: the first one leads, reads and writes; all compute.

Where there is one process, it leads, and nothing here costs anything. What goes between processes goes as bytes, so that
all have the same numbers to the last bit.
"""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from .errors import InputError

Tree = TypeVar("Tree")

_WORDS = 4096  # bytes of a message
_HEARTBEAT_SECONDS, _SHUTDOWN_SECONDS = 60, 15


def join(coordinator: str, processes: int, process: int, devices: list[int] | None = None) -> None:
    """Make this process number `process` of `processes` that meet at `coordinator` (HOST:PORT), where number 0 listens.

    To be called before anything is computed. `devices`: numbers of the GPUs that are this process's, None: all it sees.
    Raises InputError if the others cannot be reached.
    """
    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM is ours
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            local_device_ids=devices,
            cluster_detection_method="deactivate",
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(f"process {process} of {processes} cannot meet the others at {coordinator}: {error}") from None


def in_slurm() -> tuple[str, int, int, list[int] | None] | None:
    """What `join` needs in a job step of several tasks that SLURM's srun started; None elsewhere."""
    found = os.environ
    tasks, nodes = int(found.get("SLURM_STEP_NUM_TASKS", 1)), found.get("SLURM_STEP_NODELIST")
    if tasks < 2 or not nodes or "SLURM_PROCID" not in found:
        return None
    port = 61440 + int(found.get("SLURM_JOB_ID", 0)) % 4096  # jobs that share a node have ports of their own
    # as many GPUs are in sight as tasks are on the node: one each; else srun has dealt them out, or a task has them all
    here = int(found.get("SLURM_STEP_TASKS_PER_NODE", "1").partition("(")[0].partition(",")[0])
    seen = [gpu for gpu in found.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    mine = [int(found.get("SLURM_LOCALID", 0))] if here > 1 and len(seen) == here else None
    return f"{_first_host(nodes)}:{port}", tasks, int(found["SLURM_PROCID"]), mine


def _first_host(nodes: str) -> str:
    """Of SLURM's list: node001,host2 or node[001-015,020],host2."""
    prefix, bracket, rest = nodes.partition(",")[0].partition("[")
    return prefix + (rest.partition("-")[0].partition("]")[0] if bracket else "")


def leads() -> bool:
    """Whether this process is the one that reads and writes."""
    return jax.process_index() == 0


def gathered(*arrays: np.ndarray) -> list[np.ndarray]:
    """Of every array (processes, ...): what each process gives, of one shape and type. InputError if one has ended."""
    if jax.process_count() == 1:
        return [np.asarray(a)[None] for a in arrays]
    mine, at, found = np.frombuffer(b"".join(a.tobytes() for a in arrays), np.uint8), 0, []
    with explained():
        data = np.asarray(multihost_utils.process_allgather(mine))
    for a in arrays:
        part, at = data[:, at : at + a.nbytes].tobytes(), at + a.nbytes
        found.append(np.frombuffer(part, a.dtype).reshape(-1, *a.shape))
    return found


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn the failure of a computation that several processes share into an InputError."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if jax.process_count() == 1:
            raise
        text = " ".join(str(error).split())[:200]
        raise InputError(f"another process of this work has ended ({text}); start all again, with --resume") from None


def of_the_first(tree: Tree) -> Tree:
    """Arrays as the first process has them; of the others only shapes and types count."""
    if jax.process_count() == 1:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    which = [k for k, a in enumerate(leaves) if isinstance(a, (jax.Array, np.ndarray))]
    for k, values in zip(which, gathered(*(np.asarray(leaves[k]) for k in which)), strict=True):
        leaves[k] = jnp.asarray(values[0])
    return jax.tree.unflatten(structure, leaves)


def most(number: int) -> int:
    """The largest number that a process gives."""
    return int(gathered(np.asarray(number, np.int32))[0].max())


def tell(*words: Any) -> None:
    """Let the other processes know what comes next (plain types); each of them has to `hear`."""
    if jax.process_count() > 1:
        gathered(_encoded(json.dumps(words)))


def hear() -> list[Any]:
    """What the first process has to tell."""
    return json.loads(_decoded(gathered(_encoded(""))[0][0]))


@contextlib.contextmanager
def leading() -> Iterator[None]:
    """Of the first process, in which the others do as it tells them: at the end of the block they hear of that."""
    end = ["", ""]
    try:
        yield
    except KeyboardInterrupt:
        end = ["interrupted", ""]
        raise
    except BaseException as error:
        end = ["failed", str(error)]
        raise
    finally:
        with contextlib.suppress(InputError):  # there is nobody left to tell
            tell("end", *end)


def ended(how: str, why: str) -> None:
    """What a process does that heard of the first one's end: the same. Raises InputError or KeyboardInterrupt."""
    if how == "interrupted":
        raise KeyboardInterrupt
    if how:
        raise InputError(f"the first process ended: {why}")


@contextlib.contextmanager
def alike() -> Iterator[None]:
    """All processes leave the block alike: raises InputError in all if one of them raises it."""
    if jax.process_count() == 1:
        yield
        return
    wrong = ""
    try:
        yield
    except InputError as error:
        wrong = str(error) or "failed"
    for line in gathered(_encoded(wrong))[0]:
        if _decoded(line):
            raise InputError(_decoded(line))


def _encoded(text: str) -> np.ndarray:
    data = np.frombuffer(text.encode()[:_WORDS], np.uint8)
    return np.pad(data, (0, _WORDS - len(data)))


def _decoded(data: np.ndarray) -> str:
    return data.tobytes().rstrip(b"\0").decode(errors="ignore")


class Patience:
    """Keeps SIGINT and SIGTERM back while in it, where there are other processes: those must not be left waiting.

    A context manager; what came meanwhile is dealt with at its end, as it would have been without it.
    """

    def __init__(self) -> None:
        several = jax.process_count() > 1 and threading.current_thread() is threading.main_thread()
        self._numbers = (signal.SIGINT, signal.SIGTERM) if several else ()
        self._before: dict[int, Any] = {}
        self._came: list[tuple[int, FrameType | None]] = []

    @property
    def tried(self) -> bool:
        """Whether a signal came."""
        return bool(self._came)

    def __enter__(self) -> "Patience":
        for number in self._numbers:
            self._before[number] = signal.signal(number, lambda *came: self._came.append(came))
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        for number, frame in self._came:
            if callable(handler := self._before[number]):
                handler(number, frame)
