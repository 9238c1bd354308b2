"""The command `scorefield backmap`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from . import options
from .console import progress, say
from .options import WHOLE, Json, Out


def backmap(
    folder: Annotated[Path, Parameter(help="Folder of samples or of a simulation, or a DATASET (its test chains).")],
    /,
    *,
    out: Out,
    number: Annotated[
        int, WHOLE, Parameter(name=["-n", "--number"], help="Frames, evenly spaced over all (about a second each).")
    ] = 100,
    relax: Annotated[
        bool, Parameter(negative="", help="Add hydrogens and take out the strain (ff14SB; needs the extra openmm).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put all heavy atoms back to C-alpha beads (by PULCHRA), and count clashes and wrong bonds: atoms.xtc, topology.pdb.

    Side chains of PULCHRA clash in compact frames; --relax makes frames that dynamics can start from.

    Needs pip install 'scorefield[atoms]'. A protein of one chain with a CA bead in every residue (maps ca and backbone).

    Example: scorefield backmap samples -n 100 -o atoms
    """
    from .commands import backmap_command

    options.positive(number=number)
    found = backmap_command(folder, out, number, relax, progress)
    faults = found.pop("words")
    left_out = found["left_out"]
    notes = [f"{left_out} frames are left out: too unlike a protein for PULCHRA to place all atoms"] if left_out else []
    say(found, as_json, f"{out}: {found['frames']} frames of {found['atoms']} atoms; {faults}", notes)
