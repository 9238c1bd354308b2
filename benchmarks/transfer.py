"""One model of many molecules, judged on molecules that it never saw.

    python benchmarks/transfer.py DATASETS --work FOLDER [--cells "transfer/zero-*"] [--again]

DATASETS: a folder of `transfer_data.py`. Cells as in `campaign`, results in benchmarks/results/beyond.json.

transfer/shared/S            the model of all molecules of dipeptides.TRAINED and TRIPEPTIDES
transfer/zero-CODE/S         that model as it is for CODE, of dipeptides.HELD_OUT: no frame of CODE was used for it
transfer/alone-CODE/S        the default energy trained on CODE alone
transfer/tuned-CODE-N/S      the shared model fine-tuned on N frames of CODE

Each is judged on the test copies of CODE by samples and by Langevin dynamics that starts from samples.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from beyond_bars import bars
from campaign import arguments_of, compute_cells, trained
from dipeptides import HELD_OUT, TRAINED, TRIPEPTIDES
from fidelity import kept, with_training_frames

from scorefield.config import config_from
from scorefield.dataset import load_dataset
from scorefield.errors import InputError
from scorefield.evaluate import evaluate
from scorefield.finetune import finetuning
from scorefield.model import Model, load_model
from scorefield.pool import Pool
from scorefield.shared import SharedModel, load_shared
from scorefield.simulate import sample, simulate
from scorefield.starts import choose_starts
from scorefield.train import train
from scorefield.train_shared import train_shared

SIZES = (10_000, 1000)
SAMPLES, REPLICAS, TIME_PS = 40_000, 100, 40.0


def cells() -> list[str]:
    """The names of all cells, in order of importance."""
    ways = ["zero-{}", "tuned-{}-10000", "alone-{}", "tuned-{}-1000"]
    return ["transfer/shared/0", *(f"transfer/{way.format(code)}/0" for way in ways for code in HELD_OUT)]


def compute(cell: str, asked: argparse.Namespace) -> dict[str, Any]:
    """The result of one cell."""
    _, name, seed_text = cell.split("/")
    seed, (way, *words) = int(seed_text), name.split("-")
    if way == "shared":
        model = shared(asked, seed)
        return {"training": _training(model.training), "level_nm": model.levels.chosen_nm}
    dataset = load_dataset(asked.datasets / words[0])
    if way == "alone":
        config = config_from({"seed": seed, "training": {"steps": asked.alone_steps}}, way)
        model = trained(dataset, config, asked.work / cell / "run")
    else:
        model = shared(asked, seed).of(dataset.molecule)
        if way == "tuned":
            some = with_training_frames(dataset, int(words[1]))
            model = tuned(some, model, asked.work / cell / "run")
    return judged(dataset, model, seed)


def shared(asked: argparse.Namespace, seed: int) -> SharedModel:
    """Train, or go on, or load."""
    folder = asked.work / f"transfer/shared/{seed}/run"
    if not (folder / "shared.json").exists():
        pool = Pool.of([load_dataset(asked.datasets / code) for code in (*TRAINED, *TRIPEPTIDES)])
        config = config_from({"seed": seed, "training": {"steps": asked.steps}}, "shared")
        train_shared(pool, config, folder, resume=folder.exists())
    return load_shared(folder)


def tuned(dataset: Any, model: Model, folder: Path) -> Model:
    """Fine-tune, or go on, or load."""
    if not (folder / "model.json").exists():
        train(dataset, finetuning(model.config), folder, initial=model, resume=folder.exists())
    return load_model(folder)


def judged(dataset: Any, model: Model, seed: int) -> dict[str, Any]:
    """Metrics of samples and of a simulation."""
    made = {"samples": sample(model, SAMPLES, seed)}
    try:
        starts = choose_starts(np.asarray(made["samples"].trajectory.positions), REPLICAS, seed)
        save_ps = TIME_PS * REPLICAS / SAMPLES
        made["simulation"] = simulate(model, starts, TIME_PS, save_ps=save_ps, seed=seed + 1)
    except InputError as error:  # every replica lost: that is the result
        print("no simulation:", error)
    thinned = {k: replace(f, trajectory=f.trajectory.thin(SAMPLES)) for k, f in made.items()}
    report = evaluate(dataset, thinned)
    found: dict[str, Any] = {k: kept(report.metrics[k]) for k in made}
    return found | {
        "training": _training(model.training),
        "level_nm": model.level,
        "test_frames": dataset.split("test").n_frames,
    }


def _training(training: dict[str, Any]) -> dict[str, Any]:
    return {key: training[key] for key in ("seconds", "steps", "train_frames", "validation_loss")}


def main() -> None:
    """Compute the cells asked for that are missing, and write the results of all."""
    parser = arguments_of(__doc__, ["transfer/*"])
    parser.add_argument("datasets", type=Path)
    parser.add_argument("--steps", type=int, default=60_000, help="of the shared model")
    parser.add_argument("--alone-steps", type=int, default=36_000, help="of the models of one molecule")
    asked = parser.parse_args()
    compute_cells("beyond", cells(), asked, lambda cell: compute(cell, asked), bars)


if __name__ == "__main__":
    main()
