"""The command `scorefield prepare`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from . import options
from .console import progress, say, working
from .options import WHOLE, Json, Out


def prepare(
    trajectories: options.Trajectories,
    /,
    *,
    out: Out = Path("data"),
    map: options.Map = None,
    temperature: Annotated[float | None, Parameter(help="Temperature of the trajectories, K.")] = None,
    system: options.KnownProtein = None,
    native: options.Native = None,
    top: Annotated[Path | None, Parameter(help="Topology (PDB, ...), unless the trajectory holds one.")] = None,
    stride: Annotated[int, WHOLE, Parameter(help="Keep every N-th frame.")] = 1,
    interval: Annotated[float | None, Parameter(help="Time between the files' frames, ps, if they do not say.")] = None,
    weights: Annotated[Path | None, Parameter(help="One weight a frame (.npy or text), for reweighted data.")] = None,
    split: Annotated[
        tuple[float, float, float], Parameter(negative="", help="Shares of chains for training, validation, test.")
    ] = (0.7, 0.1, 0.2),
    forces: Annotated[
        bool, Parameter(negative="", help="Also map the forces in TRR files to beads (forces.npy).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a DATASET of coarse-grained frames from all-atom trajectories, and say whether it looks like equilibrium.

    Every file is one chain; training, validation and test frames are split by chain, so give several.

    Example: scorefield prepare run1.xtc run2.xtc --top protein.pdb --map ca --temperature 300 -o data
    """
    with working("loading"):
        from .health import dataset_warnings
        from .prepare import prepare as make
        from .proteins import protein

    known = None if system is None else protein(system)
    with progress("reading", len(trajectories)) as update:
        dataset = make(
            trajectories,
            top,
            map,
            temperature,
            out,
            protein=known,
            native=native,
            stride=stride,
            interval=interval,
            weights=weights,
            split=split,
            forces=forces,
            on_progress=lambda file, n, frames: update(file, f"{frames} frames"),
        )
    equilibrium, notes = dataset.equilibrium or {}, dataset_warnings(dataset)
    say(
        {"dataset": str(out), "frames": dataset.trajectory.n_frames, "equilibrium": equilibrium, "warnings": notes},
        as_json,
        f"{out}: {dataset.trajectory.n_frames} frames of {dataset.molecule.n_beads} beads, "
        f"{dataset.trajectory.n_chains} chains\n{equilibrium.get('verdict', '')}",
        notes,
    )
