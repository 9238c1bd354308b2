"""Proteins, a cell at a time: BBA and the pentapeptide from real trajectories, a long chain from a known energy.

    python benchmarks/proteins.py --work FOLDER --bba FOLDER_OF_DCD --published dff_reference.npz --cells "bba/*"
    python benchmarks/proteins.py --work FOLDER --pentapeptide FOLDER_OF_XTC --cells "pentapeptide/*"
    python benchmarks/proteins.py --work FOLDER --cells "lysozyme/*"

Cells as in `campaign`; curves for figures go to results/figures (`protein_curves`).

lysozyme/STEPS/S    129 C-alpha beads, --frames frames of a structure-based model of a real fold (`structure_based`), trained
                    for so many steps: the learned force beside the true one, and 100 replicas x --lysozyme-ps
bba/default/S       C-alpha, files 000-006 to train, 007 to validate, 008 and 009 to test; 20,000 samples, and 100 replicas x
                    2 ns from frames that represent them, beads of 12 Da (carbon, as published). The files: every 50th
                    frame of 200 us by D. E. Shaw Research, from https://github.com/mrjoness/LSS_BBA, folder
                    collab_files; not to be redistributed
bba/refined/S       the same after `scorefield.refine`, the starts of its simulation too
bba/frames/S        so many of the real frames (`REAL_FRAMES`), drawn at random: what few independent frames score
bba/paper/S         the model of bba/refined/S, 100 replicas x 12 ns, the length published
bba/unfolded/S      the same, 20 replicas x --unfolded-ns from unfolded training frames
pentapeptide/MAP/S  WLALL as `ca` (5 beads), `backbone` (15) or `cb` (backbone and C-beta); 100,000 samples, and --replicas
                    replicas x --pentapeptide-ns from one conformer, of which the first fifth is left out;
                    MAP-refined: after `scorefield.refine`
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from campaign import arguments_of, compute_cells, trained
from fast_folders import compare
from oracles import figures, parts, stiff_basis
from protein_curves import write_curves
from proteins_bars import bars
from structure_based import StructureBased

from scorefield.config import Config, config_from
from scorefield.dataset import Dataset, load_dataset, write_dataset
from scorefield.evaluate import evaluate
from scorefield.fields import over_frames
from scorefield.frames import Frames, write_frames
from scorefield.metrics.folding import folded
from scorefield.model import Model, load_model
from scorefield.prepare import prepare
from scorefield.proteins import protein
from scorefield.refine import Course
from scorefield.refinement import refine_into
from scorefield.report import Report
from scorefield.simulate import sample, simulate
from scorefield.starts import choose_starts
from scorefield.trajectory import Trajectory

SEEDS = (0, 1, 2)
MAPS = {"ca": "ca", "backbone": "backbone", "cb": "name N or name CA or name C or name CB"}
KEPT = (
    *(
        "dihedral_js",
        "pmf_error",
        "bond_w1",
        "angle_w1",
        "bond_width",
        "angle_width",
        "distance_js",
        "rg_js",
        "overlap",
        "rmsd_js",
    ),
    *("contact_error", "folded_population", "folding_free_energy", "tica_js", "state_populations", "timescales"),
    *("transition_error", "timescale_rank", "lost"),
)
UNTOLD = ("title", "question", "topic", "definition", "unit", "warnings", "published", "better", "tolerance")
LYSOZYME, LYSOZYME_STEPS = Path(__file__).parent / "lysozyme.pdb", (3000, 12_000, 48_000)
LEVELS = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the force, times the model's own
FORCE_FRAMES = 500
REAL_FRAMES = (100, 200, 500, 1000, 2000, 5000)
COURSE = Course(replicas=100)
BBA_SAMPLES, PEPTIDE_SAMPLES = 20_000, 100_000


def cells() -> list[str]:
    """The names of all cells, in order of importance."""
    names = (
        "bba/default",
        "bba/refined",
        "bba/frames",
        "pentapeptide/backbone",
        "pentapeptide/backbone-refined",
        "bba/unfolded",
        "pentapeptide/ca",
        "pentapeptide/cb",
        "bba/paper",
    )
    return [f"{name}/{seed}" for seed in SEEDS for name in (*names, *(f"lysozyme/{n}" for n in LYSOZYME_STEPS))]


def prepared(
    path: Path, files: Sequence[Path], top: Path | None, map: str | None, temperature: float | None, **settings: Any
) -> Dataset:
    """The DATASET folder `path`, made if it is not there."""
    return load_dataset(path) if path.exists() else prepare(files, top, map, temperature, path, **settings)


def compute(cell: str, asked: argparse.Namespace) -> dict[str, Any]:
    """The result of one cell."""
    group, name, seed_text = cell.split("/")
    seed, config = int(seed_text), Config(seed=int(seed_text))
    if group == "lysozyme":
        return lysozyme(int(name), seed, asked)
    if group == "pentapeptide":
        files, top = sorted(asked.pentapeptide.glob("*.xtc")), next(asked.pentapeptide.glob("*.pdb"))
        map, _, further = name.partition("-")
        dataset = prepared(asked.work / f"pentapeptide-{map}", files, top, MAPS[map], 300.0)
        model = trained(dataset, config, asked.work / f"pentapeptide/{map}/{seed}/run")
        model = refined(model, dataset, asked.work / cell / "run") if further else model
        return peptide(dataset, model, seed, asked, cell)
    dataset = prepared(
        asked.work / "bba-data", [asked.bba], None, None, None, protein=protein("bba"), interval=10_000.0
    )
    if name == "frames":
        real, rng = dataset.trajectory, np.random.default_rng(seed)
        drawn = {n: real.positions[rng.choice(real.n_frames, n, replace=False)] for n in REAL_FRAMES}
        t = {n: replace(real, positions=x, chain_lengths=(n,)) for n, x in drawn.items()}
        return {str(n): compare(t[n], asked.published, "bba") for n in REAL_FRAMES}
    model = trained(dataset, config, asked.work / f"bba/default/{seed}/run")
    if name != "default":
        model = refined(model, dataset, asked.work / f"bba/refined/{seed}/run")
    if name == "unfolded":
        return unfolded(dataset, model, seed, asked.unfolded_ns)
    samples = sample(model, BBA_SAMPLES, seed)
    starts = choose_starts(samples.trajectory.positions, 100, seed)
    simulation = timed(model, starts, 12_000.0 if name == "paper" else 2000.0, seed, save_ps=10.0)
    write_frames(simulation, asked.work / cell / f"simulation-{time.strftime('%m%d-%H%M')}")
    frames = {"samples": samples, "simulation": simulation}
    found = judged(dataset, frames, cell.replace("/", "-"))
    for key, made in frames.items():
        found[key]["published"] = compare(made.trajectory, asked.published, "bba")
    found["simulation"]["second_half_published"] = compare(second_half(simulation), asked.published, "bba")
    return found | told(model) | {"folded_in_time": in_time(simulation, dataset)}


def refined(model: Model, dataset: Dataset, folder: Path) -> Model:
    """Refine, or go on, or load."""
    if not (folder / "model.json").exists():
        refine_into(folder, model, dataset, COURSE, resume=folder.exists())
    return load_model(folder)


def unfolded(dataset: Dataset, model: Model, seed: int, time_ns: float) -> dict[str, Any]:
    """20 replicas from unfolded training frames: does it fold?"""
    train = dataset.split("train")
    starts = choose_starts(train.positions[folded(train, train) == 0], 20, seed)
    made = timed(model, starts, 1000 * time_ns, seed, save_ps=10.0)
    return judged(dataset, {"simulation": made}) | {"folded_in_time": in_time(made, dataset)}


def peptide(dataset: Dataset, model: Model, seed: int, asked: argparse.Namespace, cell: str) -> dict[str, Any]:
    """Samples, and a simulation from one conformer without its first fifth."""
    samples = sample(model, PEPTIDE_SAMPLES, seed)
    starts = np.repeat(dataset.split("train").positions[:1], asked.replicas, axis=0)
    whole = timed(model, starts, 1000 * asked.pentapeptide_ns, seed, save_ps=2.0)
    t, longest = whole.trajectory, max(whole.trajectory.chain_lengths)
    chains = [c[longest // 5 :] for c in t.chains() if len(c) > longest // 5]
    later = replace(t, positions=np.concatenate(chains), chain_lengths=tuple(map(len, chains)))
    frames = {"samples": samples, "simulation": replace(whole, trajectory=later)}
    return judged(dataset, frames, cell.replace("/", "-")) | told(model)


def lysozyme(steps: int, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """The learned force beside the true one, and a simulation."""
    known, path = StructureBased.of(LYSOZYME, "lysozyme"), asked.work / "lysozyme-data"
    if not path.exists():
        write_dataset(known.dataset(asked.frames, seed), path)
    dataset = load_dataset(path)
    config = config_from({"seed": seed, "training": {"steps": steps}}, "lysozyme")
    model = trained(dataset, config, asked.work / f"lysozyme/{steps}/{seed}/run")
    found = told(model) | {"force_error": force_errors(model, known, dataset)}
    if asked.lysozyme_ps:
        starts = choose_starts(dataset.split("train").positions, 100, seed)
        found |= judged(dataset, {"simulation": timed(model, starts, asked.lysozyme_ps, seed, save_ps=2.0)})
    return found


def force_errors(model: Model, known: StructureBased, dataset: Dataset) -> dict[str, Any]:
    """Root mean square errors of the force over test frames, relative to the true one, at several levels.

    `stiff`: along the gradients of bonds and 1-3 distances; `soft`: the rest; `non_bonded`: the soft error relative to the
    soft part of the non-bonded force alone, for whatever else there is counts as error of it.
    """
    x = dataset.split("test").thin(FORCE_FRAMES).positions
    bonded, rest = known.forces(x)
    n = np.arange(x.shape[1])
    basis = stiff_basis(x, np.concatenate([np.stack([n[:-k], n[k:]], axis=1) for k in (1, 2)]))
    size = lambda force: float(np.sqrt(np.mean(force**2)))
    _, stiff, soft = map(size, parts(bonded + rest, basis))
    non_bonded = size(parts(rest, basis)[2])
    forces = eqx.filter_jit(lambda model, level: over_frames(lambda y: model.mean_force(y, level), jnp.asarray(x)))
    found: dict[str, Any] = {
        "level_nm": [figures(model.level * k) for k in LEVELS],
        "stiff": [],
        "soft": [],
        "non_bonded": [],
    }
    for level in found["level_nm"]:
        off = np.asarray(forces(model.score, jnp.float32(level)), np.float64) - bonded - rest
        _, along, across = map(size, parts(off, basis))
        for name, value in (("stiff", along / stiff), ("soft", across / soft), ("non_bonded", across / non_bonded)):
            found[name].append(figures(value))
    return found


def timed(model: Model, starts: np.ndarray, time_ps: float, seed: int, *, save_ps: float) -> Frames:
    """A simulation, with the seconds that it took among its settings."""
    start = time.perf_counter()
    made = simulate(model, starts, time_ps, save_ps=save_ps, seed=seed + 1)
    return replace(made, settings=made.settings | {"wall_s": round(time.perf_counter() - start)})


def judged(dataset: Dataset, frames: dict[str, Frames], name: str | None = None) -> dict[str, Any]:
    """The metrics of the frames, with floors, and of simulations the time and the staying; curves for figures as `name`."""
    report = evaluate(dataset, frames)
    if name is not None:
        write_curves(report, name)
    found: dict[str, Any] = {name: kept(report, name) for name in frames}
    for name, made in frames.items():
        wanted = ("time_ps", "dt_fs", "replicas", "wall_s", "level_nm", "evaluations")
        found[name]["settings"] = {key: made.settings[key] for key in wanted if key in made.settings}
    return found


def kept(report: Report, name: str) -> dict[str, Any]:
    """What a metric's entry says in numbers, of the metrics that matter here; and how the simulation kept its start."""
    entries = {
        key: {field: value for field, value in entry.items() if field not in UNTOLD}
        for key, entry in report.metrics[name].items()
        if key in KEPT
    }
    if name in report.staying:
        staying = report.staying[name]
        entries["staying"] = {"metric": staying.metric, "values": rounded(staying.values), "floor": staying.floor}
    return entries


def rounded(values: np.ndarray) -> list[float | None]:
    """For JSON, which knows no NaN."""
    return [None if np.isnan(value) else round(float(value), 5) for value in values]


def told(model: Model) -> dict[str, Any]:
    """How the model came about."""
    training = {key: model.training[key] for key in ("seconds", "steps", "train_frames", "validation_loss")}
    course = {"refined": model.training["refined"]} if "refined" in model.training else {}
    return {"training": training, "level_nm": model.level} | course


def second_half(made: Frames) -> Trajectory:
    """The second half of every replica."""
    t, longest = made.trajectory, max(made.trajectory.chain_lengths)
    chains = [c[longest // 2 :] for c in t.chains() if len(c) > longest // 2]
    return replace(t, positions=np.concatenate(chains), chain_lengths=tuple(map(len, chains)))


def in_time(made: Frames, dataset: Dataset) -> list[float]:
    """The folded population in eighths of the time."""
    t, longest = made.trajectory, max(made.trajectory.chain_lengths)
    states = np.split(folded(t, dataset.split("test")), np.cumsum(t.chain_lengths)[:-1])
    whole = np.stack([s for s in states if len(s) == longest])
    return [round(float(part.mean()), 4) for part in np.array_split(whole, 8, axis=1)]


def main() -> None:
    """Compute the cells asked for that are missing, and write the results of all."""
    parser = arguments_of(__doc__, ["bba/default/0"])
    parser.add_argument("--bba", type=Path)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--pentapeptide", type=Path)
    parser.add_argument("--unfolded-ns", type=float, default=10.0)
    parser.add_argument("--pentapeptide-ns", type=float, default=4.0)
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--frames", type=int, default=40_000)
    parser.add_argument("--lysozyme-ps", type=float, default=1000.0, help="0: no simulation")
    asked = parser.parse_args()
    compute_cells("proteins", cells(), asked, lambda cell: compute(cell, asked), bars)


if __name__ == "__main__":
    main()
