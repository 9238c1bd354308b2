"""Options that several commands share, what they turn into, and what is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token, validators

from .errors import InputError

if TYPE_CHECKING:
    from .config import Config
    from .frames import Frames
    from .model import Model

_LARGEST = 2**31  # what a 32-bit integer holds: seeds, steps and indices of frames are such


def _whole(type_: Any, tokens: Sequence[Token]) -> int:
    """A whole number; without it 1.5 would silently count as 2."""
    text = tokens[0].value
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not (number.is_integer() and abs(number) < _LARGEST):
        raise ValueError(f"{text} is not a whole number below {_LARGEST}")
    return int(number)


WHOLE = Parameter(converter=_whole)
Out = Annotated[Path, Parameter(name=["-o", "--out"], help="New folder to write; an existing one is refused.")]
Run = Annotated[Path, Parameter(help="RUN folder, as `train` writes it, or a built-in model: ala2.")]
WhichMolecule = Annotated[
    Path | None,
    Parameter(help="Of a model of many molecules, the one meant: a DATASET folder, or a PDB of its atoms or beads."),
]
_SEED = validators.Number(gte=0)
Seed = Annotated[
    int, WHOLE, Parameter(help="Seed of all random numbers: the same seed gives the same numbers.", validator=_SEED)
]
ConfigSeed = Annotated[
    int | None,
    WHOLE,
    Parameter(help="Seed of all random numbers, in place of the configuration's.", validator=_SEED),
]
ConfigName = Annotated[str | None, Parameter(help="TOML file, or a built-in name such as paper/alanine.")]
COUNT = validators.Number(gte=1)
Steps = Annotated[
    int | None, WHOLE, Parameter(help="Training steps, in place of the configuration's.", validator=COUNT)
]
Level = Annotated[
    float | Literal["auto"] | None,
    Parameter(help="Noise level the force is read off at, nm; auto: the best on validation frames."),
]
Forces = Annotated[
    bool,
    Parameter(negative="", help="Learn from the forces of the DATASET too (`prepare --forces`), not structures alone."),
]
Trajectories = Annotated[
    list[Path],
    Parameter(help="XTC, DCD, TRR, NetCDF, HDF5 or PDB, each file one chain; or a folder of pieces and a PDB."),
]
Map = Annotated[
    str | None,
    Parameter(
        help="ca, backbone5 (capped residue), backbone_caps (capped chain), backbone, an mdtraj selection, or a JSON "
        "of groups."
    ),
]
KnownProtein = Annotated[
    str | None, Parameter(help="A known protein (see `systems`): its map, temperature and native structure.")
]
Native = Annotated[Path | None, Parameter(help="PDB of the native structure, for RMSD and folding.")]
Block = Annotated[
    int | None,
    WHOLE,
    Parameter(
        help="Replicas a batch, at most (default: 64 on a processor, fewer of more than 14 beads; 1024 on GPUs); batches are "
        "shared out over devices.",
        validator=COUNT,
    ),
]
Exchange = Annotated[
    str | None,
    Parameter(
        help="Replica exchange with larger noise levels, nm, comma-separated (0.03 or 0.015,0.03), or auto: crosses "
        "barriers many times faster, exactly; each level costs as much as the simulation itself."
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False, help="Print the result as JSON.")]
Resume = Annotated[bool, Parameter(negative="", show_default=False, help="Go on with what -o holds already.")]


def configured(
    name: str | None, seed: int | None, steps: int | None, forces: bool = False, initial: "Model | None" = None
) -> "Config":
    """The configuration asked for; unless named, for fine-tuning `initial` that of its training, shorter.

    Raises InputError if there is none of that name, or it is wrong. `forces`: one that learns from structures alone learns
    from forces too.
    """
    from .config import config_from, load_config
    from .finetune import finetuning

    chosen = finetuning(initial.config) if initial is not None and name is None else load_config(name)
    settings = chosen.model_dump(exclude_none=True)
    if seed is not None:
        settings["seed"] = seed
    if steps is not None:
        settings["training"]["steps"] = steps
    if forces and settings["training"]["objective"] == "denoising":
        settings["training"]["objective"] = "both"
    return config_from(settings, "--seed, --steps or --forces")


def levels(text: str | None) -> tuple[float, ...] | Literal["auto"]:
    """Of --exchange. Raises InputError if they are no numbers."""
    if text is None or text == "auto":
        return text or ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--exchange {text}: give noise levels in nm, 0.015,0.03 for example, or auto") from None


def summary(out: Path, frames: "Frames") -> dict[str, Any]:
    """Of a folder of frames, as `--json` prints it."""
    return {"folder": str(out), "frames": frames.trajectory.n_frames, "lost": frames.lost, "settings": frames.settings}


def positive(**options: float | None) -> None:
    """Raise InputError unless the numbers given with options of these names are positive; None is not given."""
    for name, value in options.items():
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"--{name.replace('_', '-')} is {value:g}; it must be a positive number")
