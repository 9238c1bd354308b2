"""What time step a trained force field bears: the same starts and length at every step, judged against the test split.

    python benchmarks/time_step.py NAME=RUN,DATASET ... [--radians 0.5 0.8 1.05 1.35 1.6 1.8] [--time-ps 200] [--replicas 100]

Steps are given in radians of the stiffest bond's vibration (`model.time_step_fs`), so that molecules can be compared, and
rounded down to 0.1 fs. Recorded for each: metrics, bond and angle widths with their standard errors over replicas, lost
replicas. DATASET may be an npz file of alanine dipeptide (see ala2_data.py). Writes benchmarks/results/time_step.json.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ala2_data import dataset_from_npz
from record import RESULTS, record

from scorefield.dataset import Dataset, load_dataset
from scorefield.errors import InputError
from scorefield.evaluate import evaluate
from scorefield.frames import Frames
from scorefield.geometry import angles, distances
from scorefield.model import Model, bond_frequencies, load_model
from scorefield.simulate import simulate
from scorefield.starts import choose_starts


def widths(frames: Frames, dataset: Dataset) -> dict[str, list[float]]:
    """Mean ratio of the standard deviations of bonds and of angles to the test split's, and its error over replicas."""
    molecule, truth = frames.trajectory.molecule, dataset.split("test")
    found = {}
    for name, of, index in (("bond", distances, molecule.bond_pairs), ("angle", angles, molecule.angle_triples)):
        values = jax.jit(jax.vmap(lambda x, of=of, index=index: of(x, index)))
        reference = np.asarray(values(np.asarray(truth.representative(20_000).positions))).std(axis=0)
        chains = [np.asarray(values(chain)) for chain in frames.trajectory.chains() if len(chain) > 10]
        mean = np.concatenate(chains).mean(axis=0)
        squares = np.array([((c - mean) ** 2).mean(axis=0) for c in chains])
        ratio = np.sqrt(squares.mean(axis=0)) / reference
        error = squares.std(axis=0) / np.sqrt(len(chains)) / (2 * squares.mean(axis=0)) * ratio
        found[name] = [round(float(ratio.mean()), 4), round(float(error.mean() / np.sqrt(len(error))), 4)]
    return found


def at_step(model: Model, dataset: Dataset, dt_fs: float, replicas: int, time_ps: float) -> dict[str, Any]:
    """One simulation and its numbers."""
    starts = choose_starts(dataset.split("test").positions, replicas, 0)
    try:
        made = simulate(model, starts, time_ps, save_ps=time_ps / 200, seed=1, dt_fs=dt_fs)
    except InputError as error:
        return {"dt_fs": dt_fs, "lost": replicas, "error": str(error)}
    frames = replace(made, trajectory=made.trajectory.thin(20_000))
    entries = evaluate(dataset, {"simulation": frames}).metrics["simulation"]
    metrics = {
        k: [round(e["value"], 5), round(e.get("floor") or 0, 5)] for k, e in entries.items() if "js" in k or "w1" in k
    }
    found = {"dt_fs": dt_fs, "lost": made.lost, "metrics": metrics}
    return found if made.lost == replicas else found | {"widths": widths(made, dataset)}


def main() -> None:
    """Simulate every system at every step, and write what was found beside what is known of other systems."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="+", metavar="NAME=RUN,DATASET")
    parser.add_argument("--radians", type=float, nargs="+", default=[0.5, 0.8, 1.05, 1.35, 1.6, 1.8])
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--time-ps", type=float, default=200.0)
    arguments = parser.parse_args()
    known = RESULTS / "time_step.json"
    found = json.loads(known.read_text())["systems"] if known.exists() else {}
    for text in arguments.systems:
        name, _, paths = text.partition("=")
        run, _, data = paths.partition(",")
        dataset = dataset_from_npz(Path(data)) if data.endswith(".npz") else load_dataset(Path(data))
        model = load_model(Path(run))
        fastest = (
            bond_frequencies(model.config, model.physical, model.molecule, model.temperature).max() * 1e-3
        )  # rad/fs
        rows = []
        for radians in arguments.radians:
            dt_fs = max(0.1, np.floor(radians / fastest * 10) / 10)
            rows.append({"radians": radians} | at_step(model, dataset, dt_fs, arguments.replicas, arguments.time_ps))
            print(name, json.dumps(rows[-1]), flush=True)
        settings = {"replicas": arguments.replicas, "time_ps": arguments.time_ps}
        found[name] = {"automatic_dt_fs": model.dt_fs, "rows": rows} | settings
    print(record("time_step", [], seed=1, systems=found))


if __name__ == "__main__":
    main()
