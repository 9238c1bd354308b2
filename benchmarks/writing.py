"""What writing frames costs a simulation: a frame every 100 steps into a folder beside hardly any, of trained models.

    python benchmarks/writing.py NAME=RUN,DATASET ... [--replicas 100] [--steps 2000] [--rounds 5]

RUN is a trained model's folder. The two take turns, each as two calls of different lengths, so that what a call costs once
(reading the model, compilation) cancels: the speed is the difference in steps over that in seconds, medians over rounds.
Writes benchmarks/results/writing.json.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from record import bar, record

from scorefield.dataset import load_dataset
from scorefield.model import Model, load_model
from scorefield.starts import choose_starts
from scorefield.stream import simulate_into

LONGER = 5  # times --steps, the longer of the two calls
STRIDE, LEAST, SEED = 100, 0.95, 0


def seconds(model: Model, starts: np.ndarray, steps: int, stride: int) -> float:
    """Of one simulation of so many steps, with a frame every `stride`."""
    dt_ps = model.dt_fs / 1000
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        simulate_into(
            Path(folder) / "simulation",
            model,
            lambda: starts,
            steps * dt_ps,
            save_ps=stride * dt_ps,
            replicas=len(starts),
            dt_fs=model.dt_fs,
        )
        return time.perf_counter() - begun


def share(model: Model, starts: np.ndarray, steps: int, rounds: int) -> tuple[float, float]:
    """(the speed with frames over that without, steps/s with frames)."""
    taken: dict[int, list[float]] = {STRIDE: [], steps: []}
    for _ in range(rounds + 1):
        for stride, found in taken.items():
            found.append(seconds(model, starts, LONGER * steps, stride) - seconds(model, starts, steps, stride))
    written, bare = (median(found[1:]) for found in taken.values())  # the first round compiles
    return bare / written, (LONGER - 1) * steps / written


def main() -> None:
    """Measure every system, and write all results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="+", metavar="NAME=RUN,DATASET")
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    rows, found = [], {}
    for text in asked.systems:
        name, _, paths = text.partition("=")
        run, _, data = paths.partition(",")
        model, dataset = load_model(Path(run)), load_dataset(Path(data))
        starts = choose_starts(dataset.split("train").positions, asked.replicas, SEED)
        ratio, speed = share(model, starts, asked.steps, asked.rounds)
        found[name] = {"beads": model.molecule.n_beads, "share": round(ratio, 4), "steps_per_s": round(speed, 1)}
        text = f"{name}, {asked.replicas} replicas: speed with a frame every {STRIDE} steps over that without"
        command = f"python benchmarks/writing.py {name}=RUN,DATASET --replicas {asked.replicas}"
        rows.append(bar(text, round(ratio, 4), f">= {LEAST}", ratio >= LEAST, command))
        print(rows[-1], flush=True)
    print(record("writing", rows, seed=SEED, systems=found))


if __name__ == "__main__":
    main()
