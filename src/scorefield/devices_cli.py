"""Where a command computes: options that computing commands have in common, dealt with before JAX is imported."""

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from cyclopts import Parameter, validators

from .errors import InputError
from .options import COUNT, WHOLE
from .runtime import use

Threads = Annotated[int | None, WHOLE, Parameter(help="Cores to use, at most (default: all).", validator=COUNT)]
Device = Annotated[
    str | None,
    Parameter(help="cpu, gpu, or some GPUs by number, as gpu:0 or gpu:0,2 (default: all GPUs if there are any)."),
]
Processes = Annotated[
    int | None,
    WHOLE,
    Parameter(
        help="How many processes are at this work, all started with the same words but --process (default: as srun says; "
        "1: this one alone).",
        validator=COUNT,
    ),
]
Process = Annotated[
    int | None, WHOLE, Parameter(help="Which of them this is; 0 leads, and writes.", validator=validators.Number(gte=0))
]
Coordinator = Annotated[str | None, Parameter(help="Where they meet: HOST:PORT, of process 0.")]


def computing(command: Callable[..., None]) -> Callable[..., None]:
    """The command with --threads and --device."""

    @functools.wraps(command)
    def run(*words: Any, threads: int | None = None, device: str | None = None, **options: Any) -> None:
        use(threads, device)
        _require(device)
        command(*words, **options)

    return _with(run, threads=Threads, device=Device)


def cooperating(command: Callable[..., None]) -> Callable[..., None]:
    """Likewise, and with several processes at one work; all but the first are silent unless something is wrong."""

    @functools.wraps(command)
    def run(
        *words: Any,
        threads: int | None = None,
        device: str | None = None,
        processes: int | None = None,
        process: int | None = None,
        coordinator: str | None = None,
        **options: Any,
    ) -> None:
        use(threads, device)
        joined = _join(processes, process, coordinator)
        _require(device)
        with contextlib.ExitStack() as stack:
            if joined is not None:
                stack.enter_context(_to_ourselves())
            if joined:
                nothing = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(contextlib.redirect_stdout(nothing))
                stack.enter_context(contextlib.redirect_stderr(nothing))
            command(*words, **options)

    added = {"threads": Threads, "device": Device, "processes": Processes, "process": Process}
    return _with(run, **added, coordinator=Coordinator)


def _with(command: Callable[..., None], **options: Any) -> Callable[..., None]:
    """`command` with a signature that has these options too, each None unless given."""
    signature = inspect.signature(command)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in options.items()
    ]
    command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])
    command.__annotations__ = {**command.__annotations__, **options}
    return command


def _require(device: str | None) -> None:
    """Raise InputError if GPUs are asked for and JAX finds none."""
    if device is None or device == "cpu":
        return
    import jax

    try:
        found = jax.default_backend()
    except RuntimeError as error:
        raise InputError(f"--device {device}: {' '.join(str(error).split())}") from None
    if found != "gpu":
        raise InputError(
            f"--device {device}: JAX finds no GPU here; install its CUDA version: pip install 'scorefield[cuda]'"
        )


@contextlib.contextmanager
def _to_ourselves() -> Iterator[None]:
    """Standard output for what we print alone: libraries that connect processes print there too."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(kept, "w", encoding="utf-8", closefd=False) as ours, contextlib.redirect_stdout(ours):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _join(processes: int | None, process: int | None, coordinator: str | None) -> int | None:
    """Join other processes, if there are any: the number of this one, None if it is alone."""
    given = [word is not None for word in (process, coordinator)]
    if processes == 1 or (processes is None and "SLURM_STEP_NUM_TASKS" not in os.environ and not any(given)):
        return None
    from .processes import in_slurm, join

    if processes is None and not any(given):
        found = in_slurm()
    elif processes is not None and all(given) and process is not None and process < processes:
        found = str(coordinator), processes, process, None
    else:
        raise InputError(
            "give --processes, --process (below --processes) and --coordinator together, the same but --process in each"
        )
    if found is None:
        return None
    join(*found)
    return found[2]
