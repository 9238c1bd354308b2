"""What the longer commands do, between the command line's words and the library's functions."""

from pathlib import Path
from typing import Any

import mdtraj
import numpy as np

from .config import Config
from .dataset import Dataset, load_dataset
from .errors import InputError
from .evaluate import evaluate
from .frames import Frames, load_frames, write_frames
from .model import Model, load_model
from .page import Published, write_report
from .pipeline import Plan, Stage, choose_starts, run
from .report import Report
from .simulate import sample, simulate
from .storage import read_json, refuse_existing
from .systems import load_system, published, systems

_KINDS = {
    "dataset.json": "dataset",
    "model.json": "run",
    "checkpoint.json": "checkpoint",
    "simulation.json": "frames",
}


def simulate_command(
    run: Path,
    out: Path,
    time_ps: float,
    replicas: int,
    save_ps: float,
    dt_fs: float | None,
    friction: float | None,
    level: float | None,
    temperature: float | None,
    start: str,
    seed: int,
    stage: Stage,
) -> tuple[Frames, list[str]]:
    """Simulate into `out`; the frames, and what their reader must know."""
    model = load_model(run)
    refuse_existing(out)
    starts = _starts(model, start, replicas, seed)
    notes = temperature_notes(model, temperature)
    with stage("simulating", time_ps) as update:
        frames = simulate(
            model,
            starts,
            time_ps,
            save_ps=save_ps,
            seed=seed,
            level=level,
            temperature=temperature,
            dt_fs=dt_fs,
            friction=friction,
            on_progress=lambda p: update(p.time_ps, f"{replicas} replicas, {p.lost} lost"),
        )
        frames.settings["start"] = start
        frames.settings["warnings"] = notes
        write_frames(frames, out)
    return frames, notes


def temperature_notes(model: Model, temperature: float | None) -> list[str]:
    """The warning that a thermostat at another temperature than the data's calls for."""
    if temperature is None or abs(temperature - model.temperature) < 1e-6:
        return []
    return [
        f"thermostat at {temperature:g} K, but the potential of mean force was learned at {model.temperature:g} K: it is a "
        "free energy and changes with temperature, so populations and rates are extrapolated, not predicted"
    ]


def _starts(model: Model, start: str, replicas: int, seed: int) -> np.ndarray:
    if start == "samples":
        drawn = sample(model, replicas + max(8, replicas // 20), seed + 1)
        return choose_starts(drawn.trajectory.positions, replicas, seed)
    path = Path(start)
    if not path.exists():
        raise InputError(
            f"--start {start}: no such file or folder; give 'samples', a PDB of beads, or a folder of frames"
        )
    x = _folder_frames(path, model) if path.is_dir() else _pdb_frames(path, model)
    intact = model.physical.intact(x, model.molecule)
    if not intact.any():
        raise InputError(f"--start {start}: no frame has bonds like the training data's (a PDB is in Ångström)")
    return choose_starts(x[intact], replicas, seed)


def _folder_frames(path: Path, model: Model) -> np.ndarray:
    dataset = (path / "dataset.json").exists()
    trajectory = load_dataset(path).split("test") if dataset else load_frames(path).trajectory
    if not trajectory.molecule.same_as(model.molecule):
        raise InputError(f"--start {path} is of another molecule ({trajectory.molecule.name}) than the model")
    return np.asarray(trajectory.positions)


def _pdb_frames(path: Path, model: Model) -> np.ndarray:
    try:
        loaded = mdtraj.load(str(path))
    except Exception as error:  # mdtraj raises whatever its parsers raise
        raise InputError(f"--start {path} cannot be read: {' '.join(str(error).split())}") from None
    assert isinstance(loaded, mdtraj.Trajectory)
    if loaded.n_atoms != model.molecule.n_beads:
        raise InputError(f"--start {path} has {loaded.n_atoms} beads, the model {model.molecule.n_beads}")
    return np.asarray(loaded.xyz, np.float32)


def evaluate_command(candidates: list[str], reference: Path, out: Path, stage: Stage) -> Report:
    """Compare folders of frames, given as NAME=FOLDER, with a dataset's test chains; write the report to `out`."""
    refuse_existing(out)
    named: dict[str, Frames] = {}
    for text in candidates:
        name, equals, folder = text.partition("=")
        if not (equals and name and folder) or name in named:
            raise InputError(f"{text!r}: give each candidate once, as NAME=FOLDER, for example samples=demo/samples")
        named[name] = load_frames(Path(folder))
    dataset = load_dataset(reference)
    with stage("evaluating", 1) as update:
        report = evaluate(dataset, named)
        command = f"scorefield evaluate {' '.join(candidates)} --reference {reference} -o {out}"
        write_report(report, out, [command], _published(dataset))
        update(1, "")
    return report


def run_command(
    system: str,
    out: Path,
    config: Config,
    samples: int,
    replicas: int,
    time_ps: float,
    save_ps: float,
    seed: int,
    resume: bool,
    stage: Stage,
) -> Report:
    """`pipeline.run` on a built-in system or a DATASET folder."""
    if system in systems():
        dataset = load_system(system)
    elif (Path(system) / "dataset.json").exists():
        dataset = load_dataset(Path(system))
    else:
        raise InputError(f"{system!r} is neither a DATASET folder nor a built-in system ({', '.join(systems())})")
    plan = Plan(samples, replicas, time_ps, save_ps, seed)
    return run(dataset, config, out, plan, stage=stage, name=system, resume=resume, published=_published(dataset))


def _published(dataset: Dataset) -> tuple[Published, ...]:
    return tuple(Published(**row) for row in published(dataset.molecule.name))


def describe_folder(path: Path) -> dict[str, Any]:
    """What one of our folders is, as plain types. Raises InputError if it is none of ours."""
    if not path.is_dir():
        raise InputError(f"{path} is not a folder")
    parts = [p.name for p in sorted(path.iterdir()) if p.is_dir() and (found_in(p) or (p / "metrics.json").exists())]
    name = found_in(path)
    if name is None and (path / "metrics.json").exists():
        return {"kind": "report", "open": str(path / "index.html")}
    if name is None and parts:
        return {"kind": "output of scorefield run", "folders": ", ".join(parts)}
    if name is None:
        raise InputError(f"{path} is not a folder that scorefield wrote: no {', '.join(_KINDS)} in it")
    content = read_json(path / name, _KINDS[name])
    molecule = content.get("molecule", {})
    found = {"kind": content.get("kind", _KINDS[name]), "molecule": molecule.get("name"), "beads": _count(molecule)}
    for key in (
        "temperature_K",
        "interval_ps",
        "map",
        "steps",
        "started",
        "lost",
        "settings",
        "training",
        "provenance",
    ):
        if content.get(key) is not None:
            found[key] = content[key]
    if "chains" in content:
        found["chains"] = len(content["chains"])
        found["frames"] = sum(chain["length"] for chain in content["chains"])
        found["verdict"] = (content.get("equilibrium") or {}).get("verdict")
    return found


def found_in(path: Path) -> str | None:
    """The name of the description in a folder of ours, or None."""
    return next((name for name in _KINDS if (path / name).exists()), None)


def _count(molecule: dict[str, Any]) -> int:
    return len(molecule.get("bead_names", ()))
