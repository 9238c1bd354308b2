"""`scorefield verify` on alanine dipeptide and on chains of 28 and 100 beads: verdicts, values, time and memory.

    python benchmarks/verify.py --work FOLDER [--cases chain28 chain100] [--alanine RUN DATASET]

The chains are grown bead by bead (`grown`): stiff bonds and 1-3 distances, dihedrals of a handed helix or free, no
interaction between distant beads. Their models are trained briefly: what is tested is the verification, and how its cost
grows, not the model. Parts that FOLDER holds already are not made again; benchmarks/results/verify.json has all of them.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import bar, record

from scorefield.dataset import Dataset, write_dataset
from scorefield.molecule import Molecule
from scorefield.trajectory import Trajectory

SEED, CHAINS, FRAMES = 0, 8, 1000
MINUTES = 10
COMMAND = "python benchmarks/verify.py --work FOLDER --cases {}"
ALANINE = "python benchmarks/verify.py --work FOLDER --cases --alanine RUN DATASET"
CASES = {"chain28": (28, 1500, 128), "chain100": (100, 600, 64)}
"""Beads, training steps, frames of a batch."""


def grown(n_frames: int, n_beads: int, seed: int) -> np.ndarray:
    """(n_frames, n_beads, 3) nm: bonds 0.38 +- 0.004, angles 95 +- 4 degrees, dihedrals 50 +- 12 degrees or any (3 : 1)."""
    rng = np.random.default_rng(seed)
    bond = rng.normal(0.38, 0.004, (n_frames, n_beads))
    angle = np.deg2rad(rng.normal(95, 4, (n_frames, n_beads)))
    helix = rng.random((n_frames, n_beads)) < 0.75
    dihedral = np.where(helix, np.deg2rad(rng.normal(50, 12, helix.shape)), rng.uniform(-np.pi, np.pi, helix.shape))
    x = np.zeros((n_frames, n_beads, 3))
    x[:, 1, 0] = bond[:, 1]
    x[:, 2] = x[:, 1] + bond[:, 2, None] * np.stack([-np.cos(angle[:, 2]), np.sin(angle[:, 2]), 0 * bond[:, 2]], axis=1)
    for k in range(3, n_beads):
        along = x[:, k - 1] - x[:, k - 2]
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        normal = np.cross(x[:, k - 2] - x[:, k - 3], along)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        side = np.cross(normal, along)
        a, d = angle[:, k], dihedral[:, k]
        steps = zip((-np.cos(a), np.sin(a) * np.cos(d), np.sin(a) * np.sin(d)), (along, side, normal), strict=True)
        x[:, k] = x[:, k - 1] + bond[:, k, None] * sum(s[:, None] * axis for s, axis in steps)
    return (x - x.mean(axis=1, keepdims=True)).astype(np.float32)


def dataset(n_beads: int) -> Dataset:
    """`CHAINS` chains of `FRAMES` independent frames: six to train on, one to validate, one to test."""
    bonds = tuple((i, i + 1) for i in range(n_beads - 1))
    molecule = Molecule(
        f"chain{n_beads}",
        ("CA",) * n_beads,
        ("GLY",) * n_beads,
        tuple(range(1, n_beads + 1)),
        (57.0,) * n_beads,
        bonds,
    )
    trajectory = Trajectory(molecule, grown(CHAINS * FRAMES, n_beads, SEED), (FRAMES,) * CHAINS, 300.0)
    return Dataset(
        trajectory, ("train",) * (CHAINS - 2) + ("validation", "test"), ("grown",) * CHAINS, "ca", {"text": __doc__}
    )


def command(*words: object) -> list[str]:
    """A command of the package, with this interpreter."""
    return [sys.executable, "-c", "from scorefield.cli import main; main()", *map(str, words)]


def trained(name: str, work: Path) -> tuple[Path, Path]:
    """RUN and DATASET of a grown chain."""
    n_beads, steps, batch = CASES[name]
    data, run, config = (work / f"{name}-{part}" for part in ("data", "run", "config.toml"))
    if not data.exists():
        write_dataset(dataset(n_beads), data)
    if not (run / "model.json").exists():
        config.write_text(f"seed = {SEED}\n[training]\nsteps = {steps}\nbatch = {batch}\n")
        resume = ["--resume"] if run.exists() else []
        subprocess.run(command("train", data, "-o", run, "--config", config, *resume), check=True)
    return run, data


def verified(run: Path, data: Path, out: Path) -> dict[str, Any]:
    """What `scorefield verify` found, its seconds and peak memory; measured when `out` is made."""
    measured = out.with_suffix(".measured.json")
    if not out.exists():
        start = time.perf_counter()
        process = subprocess.Popen(command("verify", run, "--reference", data, "-o", out))
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"verify of {run} ended with status {status}")
        spent = {"seconds": time.perf_counter() - start, "cpu_seconds": usage.ru_utime + usage.ru_stime}
        measured.write_text(json.dumps(spent | {"memory_GiB": usage.ru_maxrss / 2**20}))
    found = json.loads((out / "verify.json").read_text())
    checks = {
        name: {key: check[key] for key in ("verdict", "value", "error", "threshold", "finding", "seconds")}
        for name, check in found["checks"].items()
    }
    spent = {key: round(value, 2) for key, value in json.loads(measured.read_text()).items()}
    training = {key: found["training"][key] for key in ("steps", "seconds", "validation_loss", "train_frames")}
    beads = len(found["molecule"]["bead_names"])
    page_MB = round((out / "index.html").stat().st_size / 1e6, 2)
    return {"beads": beads, "training": training, **spent, "page_MB": page_MB, "warnings": found["warnings"]} | {
        "settings": found["settings"],
        "checks": checks,
    }


def bars(cases: dict[str, Any]) -> list[dict[str, Any]]:
    """What was demanded: that it runs, with every check; and what it cost and found."""
    rows = []
    for name, case in cases.items():
        how = COMMAND.format(name) if name in CASES else ALANINE
        passed = [k for k, c in case["checks"].items() if c["verdict"] == "PASS"]
        minutes = case["cpu_seconds"] / 60
        rows += [
            bar(f"{name}, {case['beads']} beads: checks done", len(case["checks"]), 10, len(case["checks"]) == 10, how),
            bar(f"{name}: minutes of one core", round(minutes, 2), f"<= {MINUTES}", minutes <= MINUTES, how),
            bar(f"{name}: peak memory, GiB", case["memory_GiB"], None, None, how),
            bar(f"{name}: checks passed", f"{len(passed)}: {', '.join(passed)}", None, None, how),
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--alanine", nargs=2, type=Path, metavar=("RUN", "DATASET"))
    arguments = parser.parse_args()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    folders = {"ala2": tuple(arguments.alanine)} if arguments.alanine else {}
    folders |= {name: trained(name, work) for name in arguments.cases}
    for name, (run, data) in folders.items():
        found = verified(run, data, work / f"{name}-verified")
        (work / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(name, json.dumps({k: v for k, v in found.items() if k != "checks"}), flush=True)
    cases = {
        name: json.loads((work / f"{name}.json").read_text())
        for name in ("ala2", *CASES)
        if (work / f"{name}.json").exists()
    }
    note = (
        "cpu_seconds count; seconds, of checks too, are wall time with whatever else the machine did, pauses included"
    )
    print(record("verify", bars(cases), seed=SEED, note=note, cases=cases))


if __name__ == "__main__":
    main()
