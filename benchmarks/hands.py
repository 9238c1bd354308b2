"""Figures of results/hands.json about the report and all-atom structures; rows that others measured are kept.

    python benchmarks/hands.py report --report FOLDER_OF_ALANINE_REPORT
    python benchmarks/hands.py atoms --data FOLDER_OF_PENTAPEPTIDE
    python benchmarks/hands.py engine

`report`: the size of a report's page, and how long headless Chromium takes to open it and until its structures can be
played (from a window that is open already to the page's load event): wall time, and the processor time of all the browser's
processes, which other work changes less. `atoms`: heavy atoms put back to the C-alpha beads of the pentapeptide, beside its
true ones. `engine`: steps of 100 replicas of the built-in alanine model in one OpenMM System, and by our own loop, in turns.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import openmm.app
from chromium import Page
from record import bar, machine, merged, record

from scorefield.backmap import backmap
from scorefield.engines.openmm import create_system, create_topology
from scorefield.mapping import bead_map
from scorefield.model import load_model
from scorefield.relax import relaxed, rms_moved
from scorefield.simulate import sample, simulate
from scorefield.stereo import find_faults
from scorefield.systems import run_folder
from scorefield.trajectory import Trajectory

REPORT = "python benchmarks/hands.py report --report FOLDER"
ATOMS = "python benchmarks/hands.py atoms --data FOLDER"
ENGINE = "python benchmarks/hands.py engine"
MEGABYTES, SECONDS = 3.0, 2.0
_TRIES = 5
_FRAMES, _RELAXED = 40, 5
REPLICAS, STEPS, ROUNDS, DT = 100, 10_000, 5, 0.002  # ps


def report(folder: Path) -> list[dict[str, Any]]:
    """Size of the page, time to open it, time until it plays."""
    page = folder / "index.html"
    size = page.stat().st_size / 1e6
    loads, works, plays = (min(column) for column in zip(*(_opened(page) for _ in range(_TRIES)), strict=True))
    where = f"best of {_TRIES}, load average {os.getloadavg()[0]:.0f} on {machine()['cores']} core(s)"
    return [
        bar("report, alanine: size, MB", round(size, 2), f"<= {MEGABYTES:g}", size <= MEGABYTES, REPORT),
        bar(
            f"report, alanine: opens in headless Chromium, s ({where})",
            round(loads, 2),
            f"< {SECONDS:g}",
            loads < SECONDS,
            REPORT,
        ),
        bar("report, alanine: opens, s of processor of the browser", round(works, 2), None, None, REPORT),
        bar(f"report, alanine: structures can be played after, s ({where})", round(plays, 2), None, None, REPORT),
    ]


def _opened(page: Path) -> tuple[float, float, float]:
    """Seconds until the page has loaded, of the browser's processors for that, and until it plays."""
    with Page() as tab:
        before = tab.processor()
        load = tab.open(page)
        work = tab.processor() - before
        play = load + tab.until("document.getElementById('player').dataset.state === 'ready'")
        if tab.errors or any(not url.startswith(("data:", "file:")) for url in tab.requests):
            raise SystemExit(f"the page complains or asks for something: {tab.errors} {tab.requests}")
        return load, work, play


def atoms(data: Path) -> list[dict[str, Any]]:
    """Faults of true frames and of those with atoms put back, and how far these are from the truth."""
    loaded: Any = mdtraj.load(str(sorted(data.glob("*.xtc"))[0]), top=str(next(data.glob("*.pdb"))))
    loaded = loaded[:: len(loaded) // _FRAMES][:_FRAMES]
    chosen = loaded.topology.select("protein and not resname ACE NME NH2 and not element H and not name OXT")
    true: Any = loaded.atom_slice(chosen)
    beads = bead_map("ca", true.topology, "pentapeptide")
    x = beads(np.asarray(true.xyz)[:, beads.atoms])
    found = backmap(Trajectory(beads.molecule, np.asarray(x, np.float32), (len(x),), 300.0))
    first = replace(found, positions=found.positions[:_RELAXED])
    rows, finished = [], relaxed(first)
    cases = {"true frames": find_faults(true.topology, true.xyz), "atoms put back": found.faults}
    for name, faults in (cases | {"atoms put back and relaxed": finished.faults}).items():
        values = faults.to_json()
        for key in ("clashes_a_frame", "bond_errors_a_frame", "mirrored_a_frame", "twisted_a_frame"):
            rows.append(bar(f"pentapeptide, {name}: {key.replace('_', ' ')}", values[key], None, None, ATOMS))
    for name, made in (("atoms put back", found), ("atoms put back and relaxed", finished)):
        distance = _backbone_distance(true, made.topology, made.positions)
        rows.append(bar(f"pentapeptide, {name}: N, C and O off by, Å", distance, None, None, ATOMS))
    moved = rms_moved(first, finished)
    rows.append(bar("pentapeptide, relaxing moves the C-alpha atoms by, Å", round(10 * moved, 2), None, None, ATOMS))
    return rows


def _backbone_distance(true: Any, topology: mdtraj.Topology, positions: np.ndarray) -> float:
    """Root mean square distance in Angstrom of N, C and O, as the frames lie."""
    names = ("N", "C", "O")
    theirs = {(a.residue.index, a.name): a.index for a in true.topology.atoms}
    ours = {(a.residue.index, a.name): a.index for a in topology.atoms}
    pairs = [(theirs[key], ours[key]) for key in ours if key[1] in names and key in theirs]
    n = len(positions)
    i, j = np.array(pairs).T
    return round(10 * float(np.sqrt(np.mean(np.sum((true.xyz[:n, i] - positions[:, j]) ** 2, axis=2)))), 2)


def engine() -> list[dict[str, Any]]:
    """Medians of `ROUNDS` rounds in turns: `STEPS` steps of `REPLICAS` replicas by OpenMM and by our own loop."""
    model = load_model(run_folder("ala2"))
    starts = sample(model, REPLICAS).trajectory.positions
    integrator = openmm.LangevinMiddleIntegrator(model.temperature, 1.0, DT)
    system = create_system(run_folder("ala2"), replicas=REPLICAS)
    theirs = openmm.app.Simulation(create_topology(run_folder("ala2"), REPLICAS), system, integrator)
    theirs.context.setPositions(np.asarray(starts, float).reshape(-1, 3))
    theirs.context.setVelocitiesToTemperature(model.temperature)

    def ours() -> None:
        simulate(model, starts, STEPS * DT, save_ps=STEPS * DT, dt_fs=1000 * DT)

    sides: dict[str, Callable[[], None]] = {"OpenMM": lambda: theirs.step(STEPS), "our own loop": ours}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS + 1):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    step = {name: float(np.median(found[1:])) / STEPS * 1000 for name, found in seconds.items()}  # the first compiles
    platform = theirs.context.getPlatform().getName()
    where = f"{REPLICAS} alanine dipeptides, {machine()['cores']} core(s), OpenMM's platform {platform}"
    ratio = step["OpenMM"] / step["our own loop"]
    rows = [bar(f"a step by OpenMM over one by our own loop ({where})", round(ratio, 2), "<= 3", ratio <= 3, ENGINE)]
    for name, value in step.items():
        rows.append(bar(f"{name}, ms a step ({where})", round(value, 3), None, None, ENGINE))
    return rows


def main() -> None:
    """Measure one part and write it among the others."""
    parser = argparse.ArgumentParser(description="Figures of results/hands.json.")
    parser.add_argument("part", choices=("report", "atoms", "engine"))
    parser.add_argument("--report", type=Path)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    parts = {"report": lambda: report(options.report), "atoms": lambda: atoms(options.data), "engine": engine}
    rows = parts[options.part]()
    print(json.dumps(rows, indent=1, ensure_ascii=False))
    record("hands", merged("hands", rows))


if __name__ == "__main__":
    main()
