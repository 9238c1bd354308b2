"""What `scorefield train` does, between the command line's words and the library's functions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .config import Config
from .errors import InputError
from .journal import Progress
from .model import Model
from .pool import Pool
from .processes import alike
from .shared import model_for
from .storage import refuse_existing
from .systems import dataset_of
from .train import train
from .train_shared import train_shared


def train_command(
    datasets: Sequence[Path],
    out: Path,
    initial: Path | None,
    resume: bool,
    configured: Callable[[Model | None], Config],
    on_progress: Callable[[Progress], None],
) -> tuple[dict[str, Any], list[str]]:
    """Train on one dataset, or on several together; what was done, and what the user should know.

    `configured` gives the configuration asked for, given the model to start from.
    """
    with alike():
        if not resume:
            refuse_existing(out)
        found = [dataset_of(d) for d in datasets]
        names = tuple(str(d) for d in datasets)
    if len(found) > 1:
        if initial is not None:
            raise InputError("--from goes on with one dataset at a time; train on several without it")
        model = train_shared(Pool(tuple(found), names), configured(None), out, resume=resume, on_progress=on_progress)
        return {"run": str(out)} | model.training, model.training["warnings"]
    with alike():
        start = None if initial is None else model_for(initial, found[0].molecule)
        settings = configured(start)
    one = train(found[0], settings, out, initial=start, resume=resume, dataset_name=names[0], on_progress=on_progress)
    return {"run": str(out)} | {k: v for k, v in one.training.items() if k != "provenance"}, one.training["warnings"]
