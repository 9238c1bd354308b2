"""Folders of generated frames: independent samples and simulations.

topology.pdb                      one frame, opens in any viewer
samples.xtc or replica_0000.xtc   the frames for viewers and analysis tools (XTC rounds to 0.001 nm)
frames.npy                        (n_frames, n_beads, 3) float32 nm, chain after chain: the digits for evaluation
simulation.json                   molecule, kind, chains, temperature, interval, lost replicas, settings

A simulation has more (`stream`); its simulation.json comes last, when it has ended.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from .errors import InputError
from .molecule import Molecule
from .storage import (
    describe,
    new_folder,
    read_array,
    read_json,
    reading,
    sha256,
    temperature_in,
    write_array,
    write_json,
)
from .structure import write_pdb, write_xtc
from .trajectory import Trajectory

Kind = Literal["samples", "simulation"]


@dataclass(frozen=True, eq=False)
class Frames:
    """What `sample` or `simulate` made.

    `lost` counts the replicas (of `started`) that became non-finite or left the physical range: their frames up to then
    are in `trajectory`, what came after is not. For samples: those that were not finite.
    """

    trajectory: Trajectory
    kind: Kind
    started: int
    lost: int
    settings: dict[str, Any]


def write_frames(frames: Frames, path: Path | str) -> None:
    """Write a folder of frames: XTC and PDB for viewers, frames.npy (float32 nm) for evaluation.

    Raises InputError if `path` exists or cannot be written."""
    trajectory = frames.trajectory
    with new_folder(path) as draft:
        write_array(draft / "frames.npy", trajectory.positions)
        write_pdb(draft / "topology.pdb", trajectory.molecule, trajectory.positions[0])
        if frames.kind == "samples":
            write_xtc(draft / "samples.xtc", trajectory.positions, None)
        else:
            for k, chain in enumerate(trajectory.chains()):
                write_xtc(draft / f"replica_{k:04d}.xtc", chain, trajectory.interval)
        describe_frames(frames, draft)


def describe_frames(frames: Frames, path: Path) -> None:
    """Write simulation.json beside the frames.npy that is in the folder `path` already."""
    trajectory = frames.trajectory
    content = describe(
        "frames",
        kind=frames.kind,
        molecule=trajectory.molecule.to_json(),
        chain_lengths=list(trajectory.chain_lengths),
        temperature_K=trajectory.temperature,
        interval_ps=trajectory.interval,
        started=frames.started,
        lost=frames.lost,
        settings=frames.settings,
        sha256={"frames.npy": sha256(path / "frames.npy")},
    )
    write_json(path / "simulation.json", content)


def load_frames(path: Path | str) -> Frames:
    """Read a folder of frames, positions (n_frames, n_beads, 3) in nm.

    Raises InputError if a file is missing, damaged or not as described, or yet to come.
    """
    path = Path(path)
    if not (path / "simulation.json").exists() and (path / "state.json").exists():
        raise InputError(
            f"{path} holds an unfinished simulation; go on with: scorefield simulate ... -o {path} --resume"
        )
    data = read_json(path / "simulation.json", "frames")
    with reading(path / "simulation.json"):
        molecule = Molecule.from_json(data["molecule"])
        lengths = tuple(int(n) for n in data["chain_lengths"])
        shape = (sum(lengths), molecule.n_beads, 3)
        positions = read_array(path / "frames.npy", shape, data["sha256"]["frames.npy"])
        interval = None if data["interval_ps"] is None else float(data["interval_ps"])
        trajectory = Trajectory(molecule, positions, lengths, temperature_in(data), interval)
        kind, started, lost = data["kind"], int(data["started"]), int(data["lost"])
        if kind not in get_args(Kind) or not 0 <= lost <= started:
            raise ValueError(f"kind {kind!r}, {lost} of {started} lost")
        return Frames(trajectory, kind, started, lost, dict(data["settings"]))
