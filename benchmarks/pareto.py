"""Accuracy against cost of energies, after the same training time on the same core, a cell at a time.

    python benchmarks/pareto.py --alanine PATH/ala2_equilibrium.npz --datasets penta=DATASET bba=DATASET \
        --work FOLDER --cells "bba/beads/*" [--seconds 300]

A cell is SYSTEM/ENERGY/SEED, its result FOLDER/SYSTEM/ENERGY/SEED.json; what is there is not computed again. Times are
processor seconds of one core (run it pinned to one, with one thread), so that what else runs matters little. Recorded are
the denoising loss on validation chains at three levels, the cost of a force on 100 replicas, and after sampling and
simulation the metrics against the test split. All cells make benchmarks/results/pareto.json.
"""

import argparse
import fnmatch
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ala2_data import dataset_from_npz
from pareto_energies import ENERGIES
from record import RESULTS, record

from scorefield.config import Config
from scorefield.data_parallel import DataParallel
from scorefield.dataset import Dataset, load_dataset
from scorefield.diffusion import denoising_loss
from scorefield.energy.base import AbstractScore
from scorefield.energy.build import training_levels
from scorefield.energy.graph_transformer import GraphTransformerEnergy
from scorefield.errors import InputError
from scorefield.evaluate import evaluate
from scorefield.geometry import centred
from scorefield.model import Model, Physical
from scorefield.optimise import start, training_block
from scorefield.simulate import sample, simulate
from scorefield.starts import choose_starts
from scorefield.train import batch_of, read_off
from scorefield.trajectory import Trajectory

BLOCK, SLOW_BLOCK = 50, 4  # steps of training a call; of the paper's network, whose steps take up to 4 s
LEVELS_NM = (0.004, 0.03, 0.2)
KEPT = ("folded", "bond_width", "angle_width", "lost")
"""Beside all divergences."""
SAMPLES, REPLICAS, TIME_PS = 5000, 100, {"alanine": 100.0}
SLOW_SAMPLES, SLOW_REPLICAS, SLOW_PS = {"alanine": 2000}, 20, {"alanine": 100.0}
"""What a simulation and samples of the paper's network may be, beyond alanine 100 samples and 20 ps."""


@dataclass(frozen=True)
class Trained:
    """A score after training, how many steps it took, and the processor seconds of those."""

    score: AbstractScore
    steps: int
    seconds: float


def fitted(dataset: Dataset, config: Config, score: AbstractScore, seconds: float) -> Trained:
    """Train for about `seconds` of processor time: the rate of a few blocks says how many steps that is."""
    frames = dataset.split("train")
    levels = training_levels(config, Physical.of(frames).spread)
    size = SLOW_BLOCK if is_slow(score) else BLOCK
    spent = {}
    for trial, steps in (("rate", 3 * size), ("whole", None)):
        if steps is None:
            steps = max(4, round(seconds / spent["rate"])) * size
            config = config.model_copy(update={"training": config.training.model_copy(update={"steps": steps})})
        fit, fixed, optimiser = start(
            jax.tree.map(lambda a: jnp.copy(a) if eqx.is_array(a) else a, score), config.training
        )
        advance = training_block(fixed, levels, optimiser, config.training, DataParallel(config.training.batch, 1))
        marks = []
        for block in range(steps // size):
            marks.append(time.process_time())
            batch = batch_of(frames, None, config, block, size)
            fit, loss = advance(batch, fit, jax.random.fold_in(jax.random.key(config.seed), block))
            loss.block_until_ready()
        marks.append(time.process_time())
        spent[trial] = float(np.min(np.diff(marks)[1:]))
    return Trained(eqx.combine(fit.average, fixed), steps, marks[-1] - marks[1])


def is_slow(score: AbstractScore) -> bool:
    """Whether it is the paper's network, 20 to 40 times as expensive as the others."""
    return isinstance(score, GraphTransformerEnergy)


def losses(score: AbstractScore, dataset: Dataset) -> dict[str, float]:
    """The denoising loss at each of `LEVELS_NM` on validation frames."""
    x = jnp.asarray(centred(dataset.split("validation").representative(4096).positions))
    keys = jax.random.split(jax.random.key(0), len(x))

    @eqx.filter_jit
    def loss(score: AbstractScore, sigma: jax.Array) -> jax.Array:
        one = lambda a: denoising_loss(score, a[0], sigma, a[1])
        return jnp.mean(jax.lax.map(one, (x, keys), batch_size=512))

    return {f"{level:g}": round(float(loss(score, jnp.float32(level))), 6) for level in LEVELS_NM}


def milliseconds(model: Model, frames: Trajectory, replicas: int = 100) -> float:
    """Processor time of the forces on `replicas` of `frames`, the least of 20."""
    x = jnp.asarray(centred(frames.representative(replicas).positions))
    force = eqx.filter_jit(
        jax.vmap(lambda y: model.score.at_level(model.level).mean_force(y, jnp.float32(model.level)))
    )
    times = []
    for _ in range(23):
        begun = time.process_time()
        force(x).block_until_ready()
        times.append(time.process_time() - begun)
    return 1e3 * min(times[3:])


def compute(system: str, name: str, seed: int, dataset: Dataset, seconds: float) -> dict[str, Any]:
    """The result of one cell."""
    frames = dataset.split("train")
    x = centred(frames.representative(100_000).positions)
    score, config = ENERGIES[name](seed, dataset.molecule, x, jax.random.key(seed))
    done = fitted(dataset, config, score, seconds)
    levels = training_levels(config, Physical.of(frames).spread)
    model = read_off(done.score, config, dataset, x, levels)
    weights = sum(a.size for a in jax.tree.leaves(eqx.filter(done.score, eqx.is_inexact_array)))
    found = {"steps": done.steps, "seconds": round(done.seconds, 1), "numbers": weights}
    found |= {
        "losses": losses(done.score, dataset),
        "ms_per_100": round(milliseconds(model, dataset.split("validation")), 4),
        "level_nm": model.level,
    }
    slow = is_slow(done.score)
    n, replicas = (SLOW_SAMPLES.get(system, 100), SLOW_REPLICAS) if slow else (SAMPLES, REPLICAS)
    time_ps = SLOW_PS.get(system, 20.0) if slow else TIME_PS.get(system, 60.0)
    size = {"samples": n, "replicas": replicas, "time_ps": time_ps}
    return found | size | {"metrics": judged(dataset, model, n, replicas, time_ps)}


def judged(dataset: Dataset, model: Model, n: int, replicas: int, time_ps: float) -> dict[str, Any]:
    """`n` samples, and `replicas` started from some of them, against the test split."""
    candidates = {"samples": sample(model, n, 1)}
    starts = choose_starts(candidates["samples"].trajectory.positions, replicas, 1)
    try:
        candidates["simulation"] = simulate(model, starts, time_ps, save_ps=time_ps / 100, seed=2)
    except InputError as error:
        print("no simulation:", error)
    report = evaluate(dataset, {k: replace(v, trajectory=v.trajectory.thin(10_000)) for k, v in candidates.items()})
    fields = ("value", "floor")
    return {
        name: {k: {f: round(e[f], 5) for f in fields if f in e} for k, e in entries.items() if k in KEPT or "js" in k}
        for name, entries in report.metrics.items()
    }


def main() -> None:
    """Compute the cells asked for that are missing, and write the results of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alanine", type=Path)
    parser.add_argument("--datasets", nargs="*", default=[], metavar="NAME=DATASET")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cells", nargs="+", default=["*"])
    parser.add_argument("--seconds", type=float, default=300.0)
    arguments = parser.parse_args()
    systems = {"alanine": dataset_from_npz(arguments.alanine)} if arguments.alanine else {}
    for text in arguments.datasets:
        name, _, path = text.partition("=")
        systems[name] = load_dataset(Path(path))
    cells = [(system, name, seed) for seed in range(3) for system in systems for name in ENERGIES]
    for system, name, seed in cells:
        cell = f"{system}/{name}/{seed}"
        path = arguments.work / f"{cell}.json"
        if path.exists() or not any(fnmatch.fnmatch(cell, pattern) for pattern in arguments.cells):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(compute(system, name, seed, systems[system], arguments.seconds)))
        print(cell, path.read_text(), flush=True)
    known = RESULTS / "pareto.json"
    found = json.loads(known.read_text())["cells"] if known.exists() else {}
    for path in sorted(arguments.work.glob("*/*/?.json")):
        found[str(path.relative_to(arguments.work).with_suffix(""))] = json.loads(path.read_text())
    print(record("pareto", [], seed=0, seconds=arguments.seconds, cells=found))


if __name__ == "__main__":
    main()
