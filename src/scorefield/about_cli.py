"""The commands that say what there is: `scorefield systems` and `scorefield info`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .console import say, working
from .options import Json


def systems(*, as_json: Json = False) -> None:
    """List what is built in, with the commands that use it, and known proteins whose trajectories are to be had elsewhere.

    Example: scorefield systems
    """
    from .proteins import protein, proteins
    from .systems import models, published
    from .systems import systems as built_in

    found = {}
    for name, text in built_in().items():
        commands = [f"scorefield run {name} -o out"]
        commands += [f"scorefield {word} {name}" for word in ("sample", "simulate") if name in models()]
        found[name] = {"description": text, "commands": commands, "published": published(name)}
    for name in proteins():
        known = protein(name)
        found[name] = {"description": f"{known.description}; {known.how_to_get()}", "commands": []}
    lines = [line for name, what in found.items() for line in (f"{name}: {what['description']}", *_indented(what))]
    say(found, as_json, "\n".join(lines), [])


def _indented(what: dict) -> list[str]:
    return [f"    {command}" for command in what["commands"]]


def info(
    folder: Annotated[
        Path, Parameter(help="DATASET, RUN, samples, simulation, verification or report folder, or a built-in model.")
    ],
    /,
    *,
    as_json: Json = False,
) -> None:
    """Say what a folder is, from what it was made, with which settings.

    Example: scorefield info simulation
    """
    with working("loading"):
        from .folders import describe_folder

        found = describe_folder(folder)
    say(found, as_json, "\n".join(f"{key}: {value}" for key, value in found.items()), [])
