"""What the published network reaches in so much wall time of one core, and what our default does, a cell at a time.

    python benchmarks/speed_loss.py --alanine PATH/ala2_equilibrium.npz --bba DATASET --work FOLDER \
        --cells "alanine/*/0" [--samples 2000] [--replicas 100] [--time-ps 100] [--again]

Cells as in `campaign`: SYSTEM/SIDE/SEED. FOLDER/CELL/run is the trained RUN folder (one that is there is not trained again,
so the default's may be put there). A SIDE is

default           our default configuration with its own number of steps
default-90s       the same with the steps that 90 s of one core allow
dff-1800s-b256    the published network and training, batches of 256, for the steps that 1800 s of one core allow its own
                  code; dff-same-..., dff-10same-...: the time that `default` takes, and 10 times that

Seconds are nominal: steps times batch over the training frames/s measured in speed.json for that side on one core. The
published network is trained as our `paper/...`, the same function (paper_network.json) several times faster, on whatever
device there is: what counts is how many steps its own code would have made. In its favour: the learning rate falls within
those steps, the average of weights forgets the start, batches may be smaller than published (the best counts).
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from ala2_data import dataset_from_npz
from campaign import arguments_of, compute_cells, trained
from record import RESULTS, bar

from scorefield.config import Config, load_config
from scorefield.dataset import Dataset, load_dataset
from scorefield.diffusion import denoising_loss
from scorefield.energy.build import resolve
from scorefield.errors import InputError
from scorefield.evaluate import evaluate
from scorefield.frames import Frames
from scorefield.geometry import centred
from scorefield.model import Model
from scorefield.simulate import sample, simulate
from scorefield.starts import choose_starts

COMMAND = "python benchmarks/speed_loss.py --alanine NPZ --bba DATASET --work FOLDER --cells '{}/*'"
SEEDS = (0, 1, 2)
THIRTY_MINUTES, A_TENTH = "1800s", 180.0
FRAMES = 20_000  # judged


@dataclass(frozen=True)
class System:
    """The published configuration, small noise levels (nm), the metric of its simulations, and which cells it has."""

    paper: str
    levels_nm: tuple[float, ...]
    metric: str
    sides: tuple[str, ...]


SYSTEMS = {
    "alanine": System(
        "paper/alanine",
        (0.004, 0.01, 0.03),
        "dihedral_js",
        (
            *("default", "dff-1800s-b64", "dff-1800s-b256", "dff-same-b64", "dff-same-b256", "dff-10same-b64"),
            *("default-180s", "default-90s", "default-45s", "default-20s"),
        ),
    ),
    "bba": System(
        "paper/bba",
        (0.01, 0.03, 0.1),
        "distance_js",
        ("default", "dff-same-b16", "dff-same-b64", "dff-10same-b16", "dff-10same-b64"),
    ),
}


def cells() -> list[str]:
    """The names of all cells, in order of importance."""
    return [f"{name}/{side}/{seed}" for seed in SEEDS for name, system in SYSTEMS.items() for side in system.sides]


def training_rate(system: str, side: str) -> float:
    """Training frames/s of "dff" or "default" on one core. Raises InputError if speed.json has none, or of more cores."""
    path = RESULTS / "speed.json"
    found = json.loads(path.read_text())["cells"].get(system) if path.exists() else None
    if found is None or found["threads"] != 1:
        raise InputError(f"{path} has no training rates of {system} on one thread; run benchmarks/speed.py first")
    return float(found["training"][side]["per_s"])


def configured(system: str, side: str, seed: int, dataset: Dataset) -> tuple[Config, dict[str, Any]]:
    """The configuration of a cell, and the steps and nominal seconds that follow from its name."""
    name, budget, batch = [*side.split("-"), "", ""][:3]
    default = resolve(Config(seed=seed), dataset.molecule, centred(dataset.split("train").thin(20_000).positions))
    config = Config(seed=seed) if name == "default" else load_config(SYSTEMS[system].paper)
    own = default.training.steps * default.training.batch / training_rate(system, "default")
    size = default.training.batch if name == "default" else int(batch.removeprefix("b"))
    rate = training_rate(system, name)
    seconds = {"": own, "same": own, "10same": 10 * own}.get(budget) or float(budget.removesuffix("s"))
    steps = default.training.steps if side == "default" else max(1, round(seconds * rate / size))
    changed: dict[str, Any] = {} if side == "default" else {"steps": steps}
    if name == "dff":
        changed |= {"batch": size, "ema": min(config.training.ema or 0.0, max(0.0, 1 - 10 / steps))}
    training = config.training.model_copy(update=changed)
    nominal = {"steps": steps, "batch": size, "frames_per_s": rate, "seconds": round(steps * size / rate, 1)}
    return config.model_copy(update={"seed": seed, "training": training}), nominal


def losses(model: Model, dataset: Dataset, levels_nm: tuple[float, ...]) -> dict[str, float]:
    """The denoising loss at each level on validation frames, the same noise for every model."""
    x = jnp.asarray(centred(dataset.split("validation").representative(4096).positions))
    keys = jax.random.split(jax.random.key(0), len(x))

    @eqx.filter_jit
    def loss(score: Any, sigma: jax.Array) -> jax.Array:
        one = lambda a: denoising_loss(score, a[0], sigma, a[1])
        return jnp.mean(jax.lax.map(one, (x, keys), batch_size=512))

    return {f"{level:g}": round(float(loss(model.score, jnp.float32(level))), 6) for level in levels_nm}


def compute(cell: str, dataset: Dataset, asked: argparse.Namespace) -> dict[str, Any]:
    """The result of one cell."""
    system, side, seed_text = cell.split("/")
    seed, known = int(seed_text), SYSTEMS[system]
    config, nominal = configured(system, side, seed, dataset)
    model = trained(dataset, config, asked.work / cell / "run")
    found = {"nominal": nominal, "training_seconds": model.training["seconds"], "device": jax.devices()[0].device_kind}
    found |= {"losses": losses(model, dataset, known.levels_nm), "level_nm": model.level, "dt_fs": model.dt_fs}
    print(cell, json.dumps(found), flush=True)
    if asked.no_frames:
        return found
    size = {"samples": asked.samples, "replicas": asked.replicas, "time_ps": asked.time_ps}
    return found | size | {"metrics": judged(model, dataset, seed, asked)}


def judged(model: Model, dataset: Dataset, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Samples, and a simulation from training frames (the same for both sides, so that neither starts with an error)."""
    made: dict[str, Frames] = {}
    starts = choose_starts(dataset.split("train").thin(FRAMES).positions, asked.replicas, seed)
    work = {
        "samples": lambda: sample(model, asked.samples, seed + 1),
        "simulation": lambda: simulate(model, starts, asked.time_ps, save_ps=asked.time_ps / 200, seed=seed + 2),
    }
    found: dict[str, Any] = {}
    for name, draw in work.items():
        try:
            made[name] = draw()
        except InputError as error:  # nothing physical is left: that is the result
            found[name] = {"error": str(error)}
    report = evaluate(dataset, {k: replace(f, trajectory=f.trajectory.thin(FRAMES)) for k, f in made.items()})
    kept = lambda name, entry: "js" in name or "w1" in name or "width" in name or name == "lost"
    for name in made:
        entries = {k: e for k, e in report.metrics[name].items() if kept(k, e)}
        found[name] = {k: {f: round(e[f], 6) for f in ("value", "floor") if f in e} for k, e in entries.items()}
    return found


def bars(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What was demanded, of the first seed that has it all."""
    rows = []
    for system, known in SYSTEMS.items():
        ours, command = found.get(f"{system}/default/0"), COMMAND.format(system)
        theirs = lambda budget, s=system: [v for k, v in found.items() if k.startswith(f"{s}/dff-{budget}-")]
        if thirty := theirs(THIRTY_MINUTES):
            rows.append(seconds_row(system, thirty, found, command))
        for budget in ("same", "10same"):
            if ours is None or not theirs(budget):
                continue
            text = f"{system}, over the published network trained for {'10 times ' * (budget != 'same')}the same time"
            low, high = known.levels_nm[0], known.levels_nm[-1]
            ratios = [
                ours["losses"][f"{s:g}"] / min(t["losses"][f"{s:g}"] for t in theirs(budget)) for s in known.levels_nm
            ]
            worst = round(max(ratios), 4)
            rows.append(
                bar(f"{text}: validation loss, at worst of {low:g} to {high:g} nm", worst, "< 1", worst < 1, command)
            )
            js = [simulated(t, known.metric) for t in theirs(budget)]
            mine = simulated(ours, known.metric)
            if mine is not None and any("metrics" in t for t in theirs(budget)):
                best = min((v for v in js if v is not None), default=None)
                value = None if best is None else round(mine / best, 4)  # none: every replica of theirs was lost
                met = None if value is None else value < 1  # nothing to compare with is no success
                rows.append(bar(f"{text}: {known.metric} of the simulation", value, "< 1", met, command))
    return rows


def seconds_row(system: str, thirty: list[dict[str, Any]], found: dict[str, Any], command: str) -> dict[str, Any]:
    """The least nominal seconds of ours whose losses are all at most the best of the published network's 30 minutes."""
    levels = [f"{s:g}" for s in SYSTEMS[system].levels_nm]
    reached = {s: min(t["losses"][s] for t in thirty) for s in levels}
    able = [
        v["nominal"]["seconds"]
        for k, v in found.items()
        if k.startswith(f"{system}/default") and all(v["losses"][s] <= reached[s] for s in levels)
    ]
    value = min(able, default=None)
    text = f"{system}: seconds of training to the validation losses of the published network's 30 minutes"
    return bar(text, value, f"<= {A_TENTH:g}", value is not None and value <= A_TENTH, command)


def simulated(cell: dict[str, Any], metric: str) -> float | None:
    """The metric of a cell's simulation, if there is one."""
    return cell.get("metrics", {}).get("simulation", {}).get(metric, {}).get("value")


def main() -> None:
    """Compute the cells asked for that are missing, and write the results of all."""
    parser = arguments_of(__doc__, ["*"])
    parser.add_argument("--alanine", type=Path, help="ala2_equilibrium.npz")
    parser.add_argument("--bba", type=Path, help="DATASET folder")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--time-ps", type=float, default=100.0)
    parser.add_argument("--no-frames", action="store_true", help="losses alone")
    asked = parser.parse_args()
    datasets = {
        "alanine": asked.alanine and dataset_from_npz(asked.alanine),
        "bba": asked.bba and load_dataset(asked.bba),
    }
    here = [cell for cell in cells() if datasets[cell.split("/")[0]]]
    compute_cells("speed_loss", here, asked, lambda cell: compute(cell, datasets[cell.split("/")[0]], asked), bars)


if __name__ == "__main__":
    main()
