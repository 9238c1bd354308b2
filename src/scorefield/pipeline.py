"""`scorefield run`: dataset to report in one go, each part in its own folder, finished parts not done again.

DIR/dataset  DIR/run  DIR/samples  DIR/simulation  DIR/report
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from .config import Config
from .dataset import Dataset, write_dataset
from .errors import InputError
from .evaluate import evaluate
from .frames import Frames, load_frames, write_frames
from .model import Model, load_model
from .page import Published, write_report
from .report import Report
from .simulate import sample, simulate
from .storage import refuse_existing
from .train import train


class Stage(Protocol):
    """Shows how far a part has come; `with stage("training", 30_000) as update: update(done, "loss ...")`."""

    def __call__(self, name: str, total: float) -> Any:
        """A context manager whose value is called with what is done, of `total`, and a word on how it goes."""
        ...


class Quiet:
    """A Stage that shows nothing."""

    def __call__(self, name: str, total: float) -> Any:
        """See Stage."""
        return contextlib.nullcontext(lambda done, state: None)


@dataclass(frozen=True)
class Plan:
    """How much `run` makes: samples, replicas, their time and the spacing of kept frames in ps, the seed of both."""

    samples: int = 50_000
    replicas: int = 200
    time_ps: float = 200.0
    save_ps: float = 0.8
    seed: int = 0


def run(
    dataset: Dataset,
    config: Config,
    out: Path,
    plan: Plan,
    *,
    stage: Stage,
    name: str,
    resume: bool = False,
    published: tuple[Published, ...] = (),
) -> Report:
    """Train, sample, simulate and evaluate into `out`; with `resume`, go on where an earlier run of `out` stopped.

    Raises InputError if `out` exists and `resume` is False, or a finished part is of another dataset or configuration.
    """
    if not resume:
        refuse_existing(out)
    _once(out / "dataset", lambda path: write_dataset(dataset, path))
    model = _trained(dataset, config, out / "run", stage, name, resume)
    _once(out / "samples", lambda path: write_frames(_sampled(model, plan, stage), path))
    samples = load_frames(out / "samples")
    _once(out / "simulation", lambda path: write_frames(_simulated(model, samples, plan, stage), path))
    with stage("evaluating", 1) as update:
        report = evaluate(dataset, {"samples": samples, "simulation": load_frames(out / "simulation")})
        command = f"scorefield run {name} -o {out} --seed {config.seed}"
        _once(out / "report", lambda path: write_report(report, path, [command], published))
        update(1, "")
    return report


def _once(path: Path, make: Callable[[Path], None]) -> None:
    if not path.exists():
        make(path)


def _trained(dataset: Dataset, config: Config, path: Path, stage: Stage, name: str, resume: bool) -> Model:
    if (path / "model.json").exists():
        model = load_model(path)
        if not model.molecule.same_as(dataset.molecule):
            raise InputError(f"{path} was trained on another molecule; choose another -o")
        return model
    with stage("training", config.training.steps) as update:

        def show(p: Any) -> None:
            held = "" if p.validation is None else f", validation {p.validation:.4f}"
            update(p.step, f"loss {p.loss:.4f}{held}")

        go_on = resume and path.exists()
        return train(dataset, config, path, resume=go_on, on_progress=show, dataset_name=name)


def _sampled(model: Model, plan: Plan, stage: Stage) -> Frames:
    with stage("sampling", plan.samples) as update:
        return sample(model, plan.samples, plan.seed, on_batch=lambda done: update(done, ""))


def _simulated(model: Model, samples: Frames, plan: Plan, stage: Stage) -> Frames:
    with stage("simulating", plan.time_ps) as update:

        def show(p: Any) -> None:
            update(p.time_ps, f"{plan.replicas} replicas, {p.lost} lost")

        starts = choose_starts(samples.trajectory.positions, plan.replicas, plan.seed)
        return simulate(model, starts, plan.time_ps, save_ps=plan.save_ps, seed=plan.seed + 1, on_progress=show)


def choose_starts(positions: np.ndarray, replicas: int, seed: int) -> np.ndarray:
    """`replicas` frames drawn from `positions`, without repetition while there are enough."""
    key = jax.random.key(seed)
    index = jax.random.choice(key, len(positions), (replicas,), replace=replicas > len(positions))
    return np.asarray(positions[np.asarray(index)])
