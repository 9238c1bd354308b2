"""Alanine dipeptide end to end, on the comparison that is quoted: trained on replicas 0-31, judged by replicas 32-63.

    python benchmarks/ala2.py PATH/ala2_equilibrium.npz --work FOLDER [--parts main conformer demo paper]

Each part leaves FOLDER/PART.json, so that parts can be run one at a time; benchmarks/results/ala2.json holds the bars of
all parts that are there.

main       default configuration: train, 50,000 samples, 200 replicas x 200 ps, evaluation
conformer  200 replicas x 2 ns that all start in C7eq: crossings, and the population of phi > 0
demo       `make demo` in a fresh clone, virtual environment and all
paper      configuration paper/alanine, trained for --paper-steps steps (in published form it has a million)
"""

import argparse
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ala2_data import dataset_from_npz
from record import bar, record

from scorefield.config import Config, Sampling, load_config
from scorefield.dataset import Dataset
from scorefield.errors import InputError
from scorefield.evaluate import evaluate
from scorefield.frames import Frames, load_frames, write_frames
from scorefield.model import load_model
from scorefield.observables import phi_psi
from scorefield.pipeline import Plan, Quiet, run
from scorefield.simulate import sample, simulate
from scorefield.train import train
from scorefield.trajectory import Trajectory

COMMAND = "python benchmarks/ala2.py ala2_equilibrium.npz --work FOLDER --parts {}"
SEED = 0
C7EQ = np.deg2rad([-85.0, 75.0])
KEPT = (
    *(
        "dihedral_js",
        "dihedral_js_dff",
        "pmf_error",
        "positive_phi",
        "bond_w1",
        "angle_w1",
        "bond_width",
        "angle_width",
    ),
    *("distance_js", "rg_js", "lost"),
)


def main_part(dataset: Dataset, work: Path) -> dict[str, Any]:
    """The default configuration."""
    report = run(dataset, Config(seed=SEED), work / "main", Plan(seed=SEED), stage=Quiet(), name="ala2", resume=True)
    settings = load_frames(work / "main/samples").settings
    return {
        "training_seconds": load_model(work / "main/run").training["seconds"],
        "evaluations": settings["evaluations"],
        "not_finite": settings["not_finite"],
        "metrics": kept(report.metrics),
    }


def kept(metrics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Value and floor of the metrics that matter here."""
    return {
        name: {
            k: {f: round(e[f], 6) for f in ("value", "floor", "ideal", "n")} for k, e in entries.items() if k in KEPT
        }
        for name, entries in metrics.items()
    }


def conformer_part(dataset: Dataset, work: Path) -> dict[str, Any]:
    """From one conformer: how often phi crosses, what population of phi > 0 results, block by block."""
    model, folder = load_model(work / "main/run"), work / "conformer"
    if not folder.exists():
        frames = dataset.split("train")
        distance = np.linalg.norm(phi_psi(frames)[:, 0] - C7EQ, axis=-1)
        starts = np.repeat(frames.positions[[int(distance.argmin())]], 200, axis=0)
        start = time.perf_counter()
        made = simulate(model, starts, 2000.0, save_ps=1.0, seed=SEED + 2)
        made.settings["seconds"] = time.perf_counter() - start
        write_frames(made, folder)
    made = load_frames(folder)
    phi = [
        chain[:, 0] for chain in np.split(phi_psi(made.trajectory)[:, 0], np.cumsum(made.trajectory.chain_lengths)[:-1])
    ]
    positive = np.array([p > 0 for p in phi if len(p) == 2000])
    later = positive[:, 500:]
    return {
        "seconds": made.settings["seconds"],
        "replica_steps_per_second": 200 * 1e6 / made.settings["seconds"],
        "lost": made.lost,
        "crossings": sum(crossings(p) for p in phi),
        "population": float(later.mean()),
        "population_error": float(later.mean(axis=1).std() / np.sqrt(len(later))),
        "population_by_250_ps": [round(float(b.mean()), 4) for b in np.array_split(positive, 8, axis=1)],
        "reference": {name: population(t) for name, t in halves(dataset).items()},
    }


def crossings(phi: np.ndarray) -> int:
    """Changes between phi in (-150, -40) and (30, 90) degrees, cores of the two sides: recrossings do not count."""
    degrees = np.rad2deg(phi)
    core = np.where((degrees > -150) & (degrees < -40), -1, np.where((degrees > 30) & (degrees < 90), 1, 0))
    visited = core[core != 0]
    return int((np.diff(visited) != 0).sum())


def halves(dataset: Dataset) -> dict[str, Trajectory]:
    """Training side, held-out side, and all."""
    trajectory = dataset.trajectory
    others = [i for i, s in enumerate(dataset.splits) if s != "test"]
    return {
        "replicas 0-31": trajectory.select_chains(others),
        "replicas 32-63": dataset.split("test"),
        "all": trajectory,
    }


def population(trajectory: Trajectory) -> dict[str, float]:
    """Share of frames with phi > 0, and its standard error from the spread between replicas."""
    n = np.array(trajectory.chain_lengths)
    positive = np.split(phi_psi(trajectory)[:, 0, 0] > 0, np.cumsum(n)[:-1])
    p, mean = np.array([x.mean() for x in positive]), float(np.concatenate(positive).mean())
    return {"population": mean, "error": float(np.sqrt(np.sum((n * (p - mean)) ** 2)) / n.sum())}


def demo_part(dataset: Dataset, work: Path) -> dict[str, Any]:
    """`make demo` from a clean clone."""
    clone = work / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    root = Path(__file__).parents[1]
    subprocess.run(["git", "clone", "-q", str(root), str(clone)], check=True)
    start = time.perf_counter()
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(work), "XDG_CACHE_HOME": str(work / "no-cache")}
    environment |= {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_", "PYENV_", "PATH"))}
    subprocess.run(["make", "demo"], cwd=clone, check=True, env=environment)
    seconds = time.perf_counter() - start
    metrics = json.loads((clone / "demo/ala2/report/metrics.json").read_text())
    training = load_model(clone / "demo/ala2/run").training["seconds"]
    return {"seconds": seconds, "training_seconds": training, "metrics": kept(metrics)}


def paper_part(dataset: Dataset, work: Path, steps: int) -> dict[str, Any]:
    """paper/alanine, its learning rate decayed over the steps that were affordable.

    Its own sampler takes 1000 evaluations a sample, so that draws 1,000; ours draws 10,000.
    """
    config = load_config("paper/alanine")
    config = config.model_copy(update={"training": config.training.model_copy(update={"steps": steps})})
    path = work / "paper"
    if not (path / "model.json").exists():
        train(dataset, config, path, resume=path.exists(), dataset_name="ala2")
    model = load_model(path)
    seconds = {"training": model.training["seconds"]}

    def timed(name: str, make: Callable[[], Frames]) -> dict[str, Frames]:
        start = time.perf_counter()
        try:
            frames = make()
        except InputError as error:  # nothing physical: that is the result
            print(f"{name}: {error}", flush=True)
            return {}
        seconds[name] = time.perf_counter() - start
        return {name: frames}

    fast = replace(model, config=config.model_copy(update={"sampling": Sampling()}))
    made = timed("samples", lambda: sample(fast, 10_000, SEED))
    made |= timed("ancestral", lambda: sample(model, 1000, SEED))
    starts = dataset.split("validation").thin(100).positions
    made |= timed("simulation", lambda: simulate(model, starts, 20.0, save_ps=0.2, seed=SEED + 1))
    metrics = kept(evaluate(dataset, made).metrics)
    return {
        "steps": steps,
        "seconds": seconds,
        "metrics": metrics,
        "nothing_physical": sorted({"samples", "ancestral", "simulation"} - set(made)),
    }


def bars(parts: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that were demanded, of the parts that were run."""
    rows = []
    if "demo" in parts:
        command, demo = COMMAND.format("demo"), parts["demo"]
        rows += [
            bar("make demo, minutes", demo["seconds"] / 60, "<= 12", demo["seconds"] <= 720, command),
            bar(
                "... of which training", demo["training_seconds"] / 60, "<= 4", demo["training_seconds"] <= 240, command
            ),
        ]
    if "main" in parts:
        command, metrics = COMMAND.format("main"), parts["main"]["metrics"]
        rows.append(bar("evaluations a sample", parts["main"]["evaluations"], "<= 50", None, command))
        for name in ("simulation", "samples"):
            e = metrics[name]["dihedral_js"]
            ratio = e["value"] / e["floor"]
            text = f"{name} dihedral_js, {e['n']} frames, over its floor {e['floor']:.5f}"
            rows.append(bar(text, ratio, "<= 1.5", ratio <= 1.5, command))
        simulation = metrics["simulation"]
        w1 = simulation["bond_w1"]["value"]
        rows.append(bar("simulation bond_w1, Angstrom", w1, "<= 0.003", w1 <= 0.003, command))
        for key in ("bond_width", "angle_width"):
            width = simulation[key]["value"]
            rows.append(bar(f"simulation {key}", width, "0.95-1.05", 0.95 <= width <= 1.05, command))
        nan, lost = parts["main"]["not_finite"], simulation["lost"]["value"]
        text = "NaN samples of 50,000; lost of 200 replicas x 200 ps at 2 fs"
        rows.append(bar(text, (nan, lost), "0; 0", (nan, lost) == (0, 0), command))
        broken = metrics["samples"]["lost"]["value"] - nan
        rows.append(bar("samples of 50,000 with a bond more than 20 sd off", broken, None, None, command))
    if "conformer" in parts:
        found = parts["conformer"]
        for name, reference in found["reference"].items():
            off = found["population"] / reference["population"] - 1
            text = f"population of phi > 0 from one conformer, relative to {name}"
            rows.append(bar(text, off, "within 0.5", abs(off) <= 0.5, COMMAND.format("conformer")))
        rows.append(bar("crossings", found["crossings"], None, None, COMMAND.format("conformer")))
    if "paper" in parts:
        paper = parts["paper"]
        command = COMMAND.format(f"paper --paper-steps {paper['steps']}")
        minutes = paper["seconds"]["training"] / 60
        for name, entries in paper["metrics"].items():
            e = entries["dihedral_js"]
            text = f"paper/alanine, {paper['steps']} steps in {minutes:.0f} min: {name} dihedral_js, {e['n']} frames"
            rows.append(bar(f"{text}, over its floor", e["value"] / e["floor"], None, None, command))
        for name in paper["nothing_physical"]:
            rows.append(bar(f"paper/alanine, {paper['steps']} steps: {name}", "none physical", None, None, command))
    return rows


def main() -> None:
    """Run the parts asked for and write the results of all that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("npz", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--parts", nargs="*", default=["main", "conformer", "demo", "paper"])
    parser.add_argument("--paper-steps", type=int, default=4000)
    arguments = parser.parse_args()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    dataset = dataset_from_npz(arguments.npz)
    makers = {
        "main": lambda: main_part(dataset, work),
        "conformer": lambda: conformer_part(dataset, work),
        "demo": lambda: demo_part(dataset, work),
        "paper": lambda: paper_part(dataset, work, arguments.paper_steps),
    }
    for name in arguments.parts:
        found = makers[name]()
        (work / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(name, json.dumps(found, indent=1), flush=True)
    parts = {
        name: json.loads((work / f"{name}.json").read_text()) for name in makers if (work / f"{name}.json").exists()
    }
    print(record("ala2", bars(parts), seed=SEED, parts=parts))


if __name__ == "__main__":
    main()
