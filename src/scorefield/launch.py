"""Commands as jobs on a cluster, by submitit: submitted to SLURM, requeued when preempted or out of time, and resumed.

A job runs the command in a process of its own. Shortly before it must stop, that process is told to (SIGTERM): it saves,
and the job that follows goes on with --resume. Several tasks are several processes at one work (see `processes`).
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .errors import InputError
from .extras import extra
from .storage import refuse_existing

RESUMABLE = ("train", "simulate", "run", "reference")
TOGETHER = ("train", "simulate")
"""Commands that several processes can be at."""

_REQUEUES = 1000
_SAVING_SECONDS = 60.0
_WARNING_SECONDS = 120  # before the time limit


class Resources(NamedTuple):
    """What a job asks for: hours, nodes, tasks a node, GPUs a node, cores a task, a partition, and SLURM's own settings."""

    hours: float = 24.0
    nodes: int = 1
    tasks: int = 1
    gpus: int = 0
    cpus: int = 1
    partition: str | None = None
    slurm: Mapping[str, str] = {}


class Work:
    """A command, as a job does it; called in a job, and asked for a `checkpoint` when it must stop."""

    def __init__(self, words: Sequence[str], out: Path) -> None:
        self.words, self.out = tuple(words), out
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: threading.Thread | None = None

    def __call__(self) -> None:
        """Run the command; it goes on with what there is. Raises RuntimeError if it does not end well."""
        resume = ["--resume"] if self.out.exists() and "--resume" not in self.words else []
        command = [sys.executable, "-c", "from scorefield.cli import main; main()"]
        self._process = subprocess.Popen([*command, *self.words, *_local_processes(), *resume])
        # a thread waits, for this one is interrupted by signals in whose handling it must be waited for
        self._watch = threading.Thread(target=self._process.wait, daemon=True)
        self._watch.start()
        while self._watch.is_alive():
            self._watch.join(0.2)
        if self._process.returncode:
            raise RuntimeError(f"scorefield {' '.join(self.words)} ended with exit code {self._process.returncode}")

    def checkpoint(self) -> Any:
        """Have it saved; what to submit again."""
        if self._process is not None and self._watch is not None:
            self._process.send_signal(signal.SIGTERM)
            self._watch.join(_SAVING_SECONDS)
        return extra("submitit.helpers", "launch").DelayedSubmission(Work(self.words, self.out))


def _local_processes() -> list[str]:
    """What joins the tasks of a job on this machine; in SLURM they find each other."""
    tasks = int(os.environ.get("SUBMITIT_LOCAL_NTASKS", 1))
    if tasks == 1:
        return []
    port = 20_000 + int(os.environ["SUBMITIT_LOCAL_JOB_ID"]) % 10_000
    here = ["--process", os.environ["SUBMITIT_LOCAL_GLOBALID"], "--coordinator", f"127.0.0.1:{port}"]
    return ["--processes", str(tasks), *here]


def launch(words: Sequence[str], logs: Path, resources: Resources, cluster: str = "slurm") -> Any:
    """Submit `scorefield WORDS...` (with -o) to a `cluster`, slurm or local (this machine); submitit's Job.

    Its output goes to the folder `logs`. Raises InputError if the command cannot be resumed or its output exists already
    (unless the words say --resume), or there is no such cluster.
    """
    if not words or words[0] not in RESUMABLE:
        raise InputError(f"launch one of {', '.join(RESUMABLE)}: commands that can be stopped and resumed")
    if resources.nodes * resources.tasks > 1 and words[0] not in TOGETHER:
        raise InputError(f"{words[0]} is for one process; several nodes or tasks can {' or '.join(TOGETHER)}")
    out = _out(words)
    if "--resume" not in words:
        refuse_existing(out)
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise InputError("there is no SLURM here (no sbatch); --cluster local runs the job on this machine")
    submitit = extra("submitit", "launch")
    executor = submitit.AutoExecutor(folder=logs, cluster=cluster, **{f"{cluster}_max_num_timeout": _REQUEUES})
    settings: dict[str, Any] = {"slurm_partition": resources.partition, "slurm_signal_delay_s": _WARNING_SECONDS}
    executor.update_parameters(
        name=f"scorefield-{words[0]}",
        timeout_min=max(1, round(60 * resources.hours)),
        nodes=resources.nodes,
        tasks_per_node=resources.tasks,
        gpus_per_node=resources.gpus,
        cpus_per_task=resources.cpus,
        slurm_additional_parameters=dict(resources.slurm),
        **{name: value for name, value in settings.items() if value is not None},
    )
    return executor.submit(Work(words, out))


def _out(words: Sequence[str]) -> Path:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("-o", "--out"):
            return Path(following)
        if word.startswith("--out="):
            return Path(word.removeprefix("--out="))
    raise InputError("give the launched command an output folder, -o FOLDER")
