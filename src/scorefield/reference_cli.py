"""The command `scorefield reference`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from .console import progress, say, working
from .ending import resumable
from .options import WHOLE, Json, Out, Resume, Seed


def reference(
    system: Annotated[str, Parameter(help="One-letter codes of a peptide, or a PDB or mmCIF file of one chain.")],
    /,
    *,
    out: Out = Path("md"),
    ns: Annotated[float, Parameter(help="Length of each copy, ns.")],
    temperature: Annotated[float, Parameter(help="Thermostat, K.")],
    copies: Annotated[int, WHOLE, Parameter(help="Independent copies, each a chain of the data.")] = 16,
    save_ps: Annotated[float, Parameter(help="Time between kept frames, ps.")] = 1.0,
    equilibrate_ps: Annotated[float, Parameter(help="Time at the temperature before the first frame, ps.")] = 100.0,
    scatter_ps: Annotated[float, Parameter(help="Time at 600 K before that, so that copies start apart, ps.")] = 0.0,
    caps: Annotated[bool, Parameter(help="ACE and NME at the ends of a sequence, or charged ends.")] = True,
    dt_fs: Annotated[float, Parameter(help="Time step, fs; hydrogens have 3 Da and rigid bonds.")] = 4.0,
    friction: Annotated[float, Parameter(help="Friction, 1/ps.")] = 1.0,
    solvent: Annotated[
        Literal["obc2", "obc1", "hct", "gbn", "gbn2"], Parameter(help="Implicit solvent (generalised Born).")
    ] = "obc2",
    forces: Annotated[bool, Parameter(negative="", help="Keep forces too, for `prepare --forces`.")] = False,
    platform: Annotated[str | None, Parameter(help="CPU, CUDA, OpenCL or HIP (default: the fastest here).")] = None,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """All-atom dynamics by OpenMM (ff14SB, implicit solvent): chain_0000.trr ... and topology.pdb in a new folder.

    Stop it at any time: --resume goes on exactly; with a larger --ns it goes on further. Needs scorefield[openmm].

    Example: scorefield reference AAA --temperature 300 --ns 10 -o md
    """
    with working("loading"):
        from .commands import reference_command
        from .reference.settings import Settings

    settings = Settings(
        system=system,
        temperature=temperature,
        copies=copies,
        save_ps=save_ps,
        dt_fs=dt_fs,
        friction=friction,
        equilibrate_ps=equilibrate_ps,
        scatter_ps=scatter_ps,
        capped=caps,
        solvent=solvent,
        forces=forces,
        seed=seed,
    )
    with resumable(out):
        summary, notes = reference_command(settings, out, ns * 1000, resume, platform, progress)
    text = f"{out}: {summary['frames']} frames of {copies} copies\ngo on with: {summary['prepare']}"
    say(summary, as_json, text, notes)
