"""What the longer commands do, between the command line's words and the library's functions."""

from pathlib import Path
from typing import Any, Literal

import mdtraj
import numpy as np

from .backmap import backmap, write_atoms
from .config import Config
from .dataset import Dataset, load_dataset
from .errors import InputError
from .evaluate import evaluate
from .frames import Frames, load_frames
from .model import Model
from .page import Published, write_report
from .pipeline import Plan, Stage, run
from .processes import alike, leads
from .proteins import protein, proteins
from .reference import Settings, reference
from .relax import relaxed, rms_moved
from .replicas import follow
from .report import Report
from .shared import model_for
from .simulate import sample
from .starts import choose_starts
from .storage import refuse_existing
from .stream import simulate_into
from .systems import dataset_of, published, systems
from .verify import CHECKS, Check, Context, Sizes, run_checks
from .verify.page import section, write_verification

_MORE_SAMPLES = 2000  # than replicas are enough for starts that represent equilibrium


def reference_command(
    settings: Settings, out: Path, time_ps: float, resume: bool, platform: str | None, stage: Stage
) -> tuple[dict[str, Any], list[str]]:
    """All-atom dynamics into `out`; what is there then, and what its reader must know."""
    with stage("reference", time_ps) as update:
        notes = reference(
            settings,
            out,
            time_ps,
            resume=resume,
            platform=platform,
            on_progress=lambda p: update(p.time_ps, f"{p.ns_per_day:.3g} ns/day over {settings.copies} copies"),
        )
    frames = settings.frames(time_ps) * settings.copies
    forces = " --forces" if settings.forces else ""
    words = f"scorefield prepare {out}/chain_*.trr --top {out}/topology.pdb --map ca"
    prepare = f"{words} --temperature {settings.temperature:g}{forces} -o data"
    return {"folder": str(out), "frames": frames, "interval_ps": settings.save_ps, "prepare": prepare}, notes


def simulate_command(
    run: Path,
    out: Path,
    time_ps: float,
    replicas: int,
    start: str,
    level: float | Literal["auto"] | None,
    block: int | None,
    resume: bool,
    stage: Stage,
    *,
    molecule: Path | None = None,
    temperature: float | None,
    seed: int,
    mass: float | None = None,
    **settings: Any,
) -> tuple[Frames, list[str]] | None:
    """Simulate into `out`, or go on there; the frames, and what their reader must know.

    Of several processes at one work all but the first compute for it and have None in the end.
    """
    with alike():
        model = model_for(run, molecule)
        if mass is not None:
            model = model.with_mass(mass)
        if leads() and not resume:
            refuse_existing(out)
    if not leads():
        return follow(model)
    with stage("simulating", time_ps) as update:
        frames = simulate_into(
            out,
            model,
            lambda: _starts(model, start, replicas, seed),
            time_ps,
            replicas=replicas,
            block=block,
            start=start,
            notes=temperature_notes(model, temperature),
            resume=resume,
            on_progress=lambda p: update(p.time_ps, p.words()),
            level=model.levels.chosen_nm if level == "auto" else level,
            temperature=temperature,
            seed=seed,
            **settings,
        )
    return frames, frames.settings["warnings"] + frames.settings["lost_replicas"]


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
        more = max(8, min(7 * replicas, _MORE_SAMPLES), round(1.2 * replicas))
        drawn = sample(model, replicas + more, seed + 1)
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
    return np.asarray(trajectory.alike().positions)


def _pdb_frames(path: Path, model: Model) -> np.ndarray:
    try:
        loaded = mdtraj.load(str(path))
    except Exception as error:  # mdtraj raises whatever its parsers raise
        raise InputError(f"--start {path} cannot be read: {' '.join(str(error).split())}") from None
    assert isinstance(loaded, mdtraj.Trajectory)
    if loaded.n_atoms != model.molecule.n_beads:
        raise InputError(f"--start {path} has {loaded.n_atoms} beads, the model {model.molecule.n_beads}")
    return np.asarray(loaded.xyz, np.float32)


def backmap_command(folder: Path, out: Path, number: int, relax: bool, stage: Stage) -> dict[str, Any]:
    """Atoms put back to `number` frames of a folder, into `out`; what there is then, with its faults in `words`."""
    refuse_existing(out)
    further: dict[str, Any] = {}
    dataset = (folder / "dataset.json").exists()
    trajectory = load_dataset(folder).split("test") if dataset else load_frames(folder).trajectory
    some = trajectory.representative(number)
    with stage("placing atoms", some.n_frames) as update:
        found = backmap(some, lambda done: update(done, ""))
    if relax:
        with stage("relaxing", some.n_frames) as update:
            placed, found = found, relaxed(found, lambda done: update(done, ""))
        further["relaxed"] = {"alpha_carbons_moved_nm": round(rms_moved(placed, found), 4)}
    content = write_atoms(found, some, folder, out, **further)
    kept = {key: content[key] for key in ("frames", "left_out", "atoms", "tool", "faults", *further)}
    return {"folder": str(out)} | kept | {"words": found.faults.words()}


def evaluate_command(candidates: list[str], reference: Path, out: Path, verified: Path | None, stage: Stage) -> Report:
    """Compare folders of frames, given as NAME=FOLDER, with a dataset's test chains; write the report to `out`.

    `verified`: the folder of a verification, to be shown as well.
    """
    refuse_existing(out)
    sections = [] if verified is None else [section(verified)]
    named: dict[str, Frames] = {}
    for text in candidates:
        name, equals, folder = text.partition("=")
        if not (equals and name and folder) or name in named:
            raise InputError(f"{text!r}: give each candidate once, as NAME=FOLDER, for example samples=demo/samples")
        named[name] = load_frames(Path(folder))
    dataset = dataset_of(reference)
    with stage("evaluating", 1) as update:
        report = evaluate(dataset, named, update)
        shown = "" if verified is None else f" --verified {verified}"
        command = f"scorefield evaluate {' '.join(candidates)} --reference {reference}{shown} -o {out}"
        write_report(report, out, [command], _published(dataset), sections)
        update(1, "")
    return report


def verify_command(
    run: Path,
    reference: Path | None,
    out: Path,
    samples: int | None,
    replicas: int | None,
    time_ps: float | None,
    seed: int,
    stage: Stage,
    molecule: Path | None = None,
) -> tuple[list[Check], list[str]]:
    """All checks of a RUN folder's model, written to `out`; and what their reader must know."""
    refuse_existing(out)
    model = model_for(run, molecule)
    sizes = Sizes.of(model.molecule.n_beads, samples=samples, replicas=replicas, time_ps=time_ps)
    context = Context(model, None if reference is None else dataset_of(reference), seed, sizes)
    with stage("verifying", len(CHECKS)) as update:
        checks = run_checks(context, update)
        told = {"reference": reference, "molecule": molecule}
        given = "".join(f" --{name} {path}" for name, path in told.items() if path is not None)
        amount = f" --samples {sizes.samples} --replicas {sizes.replicas} --time-ps {sizes.time_ps:g} --seed {seed}"
        write_verification(context, checks, out, str(run), [f"scorefield verify {run}{given} -o {out}{amount}"])
        update(len(CHECKS), "")
    return checks, context.warnings


def run_command(
    system: str,
    out: Path,
    config: Config,
    samples: int,
    replicas: int,
    time_ps: float,
    save_ps: float,
    resume: bool,
    stage: Stage,
) -> Report:
    """`pipeline.run` on a built-in system or a DATASET folder."""
    if system in systems() or (Path(system) / "dataset.json").exists():
        dataset = dataset_of(system)
    elif system in proteins():
        raise InputError(f"{system} is known, but not built in: {protein(system).how_to_get()}")
    else:
        raise InputError(f"{system!r} is neither a DATASET folder nor a built-in system ({', '.join(systems())})")
    plan = Plan(samples, replicas, time_ps, save_ps, config.seed)
    return run(dataset, config, out, plan, stage=stage, name=system, resume=resume, published=_published(dataset))


def _published(dataset: Dataset) -> tuple[Published, ...]:
    name = dataset.molecule.name
    rows = protein(name).published if name in proteins() else published(name)
    return tuple(Published(**row) for row in rows)
