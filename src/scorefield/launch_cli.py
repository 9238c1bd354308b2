"""The command `scorefield launch`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from . import options
from .console import say
from .errors import InputError
from .options import COUNT, WHOLE, Json


def launching(parse: Callable[[list[str]], Any]) -> Callable[..., None]:
    """The command; `parse` raises what is wrong with the words of a command, which is better known before it is queued."""

    def launch(
        words: Annotated[
            list[str], Parameter(help="The command, after --: -- train data -o run", allow_leading_hyphen=True)
        ],
        /,
        *,
        logs: Annotated[Path, Parameter(help="Folder for what the job prints.")] = Path("jobs"),
        cluster: Annotated[Literal["slurm", "local"], Parameter(help="SLURM, or this machine.")] = "slurm",
        hours: Annotated[
            float, Parameter(help="Time limit; the job is requeued and resumed as often as needed.")
        ] = 24.0,
        nodes: Annotated[int, WHOLE, Parameter(help="Nodes.", validator=COUNT)] = 1,
        tasks: Annotated[int, WHOLE, Parameter(help="Processes a node, at one work.", validator=COUNT)] = 1,
        gpus: Annotated[int, WHOLE, Parameter(help="GPUs a node.")] = 0,
        cpus: Annotated[int, WHOLE, Parameter(help="Cores a process.", validator=COUNT)] = 1,
        partition: Annotated[str | None, Parameter(help="SLURM partition.")] = None,
        set: Annotated[
            list[str] | None, Parameter(negative="", help="SLURM's own settings, as account=me; may be repeated.")
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Submit a command as a job that is requeued and resumed when it is preempted or its time is up.

        Needs scorefield[launch] and, but for --cluster local, SLURM.

        Example: scorefield launch --hours 24 --gpus 1 -- simulate run --time-ns 1000 -o simulation
        """
        from .launch import Resources
        from .launch import launch as submit

        parse(words)
        options.positive(hours=hours)
        settings = {}
        for text in set or []:
            name, equals, value = text.partition("=")
            if not (name and equals):
                raise InputError(f"--set {text}: give NAME=VALUE, as SLURM's sbatch has them, account=me for example")
            settings[name.removeprefix("--").replace("-", "_")] = value
        job = submit(words, logs, Resources(hours, nodes, tasks, gpus, cpus, partition, settings), cluster)
        text = f"job {job.job_id}; what it prints is in {job.paths.stdout} and {job.paths.stderr}"
        say({"job": job.job_id, "stdout": str(job.paths.stdout), "stderr": str(job.paths.stderr)}, as_json, text, [])

    return launch
