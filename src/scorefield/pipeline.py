"""`scorefield run`: dataset to report in one go, each part in its own folder, finished parts not done again.

DIR/plan.json  DIR/dataset  DIR/run  DIR/samples  DIR/simulation  DIR/report

plan.json comes first and says what was asked for, so that going on later cannot mix two experiments.
"""

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from .config import Config, difference
from .dataset import SPLITS, Dataset, write_dataset
from .errors import InputError
from .evaluate import evaluate
from .frames import Frames, load_frames, write_frames
from .model import Model, Physical, load_model, time_step_fs
from .page import Published, write_report
from .protocol import frame_strides
from .report import Report
from .simulate import sample
from .starts import choose_starts
from .storage import describe, new_folder, read_json, reading, refuse_existing, write_json
from .stream import simulate_into
from .train import train
from .trajectory import Trajectory


class Stage(Protocol):
    """Shows how far a part has come; `with stage("training", 1.0) as update: update(done, "loss ...")`."""

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

    def check(self, config: Config, frames: Trajectory) -> None:
        """Raise InputError if what follows training on `frames` could not be done, before hours of training."""
        if config.training.objective == "forces":
            raise InputError("a model of forces alone cannot be sampled: train it, then simulate with --start DATASET")
        dt_fs = time_step_fs(config, Physical.of(frames), frames.molecule, frames.temperature)
        frame_strides(dt_fs * 1e-3, self.save_ps, self.time_ps)


PARTS = ("dataset", "run", "samples", "simulation", "report")


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

    Raises InputError if `out` exists and `resume` is False, or it was begun with another dataset, configuration or plan.
    """
    dataset.require(*SPLITS)
    plan.check(config, dataset.split("train"))
    if config.training.objective == "both":
        dataset.require_forces()
    _begin(dataset, config, out, plan, resume)
    _once(out / "dataset", lambda path: write_dataset(dataset, path))
    model = _trained(dataset, config, out / "run", stage, name, resume)
    _once(out / "samples", lambda path: write_frames(_sampled(model, plan, stage), path))
    samples = load_frames(out / "samples")
    simulation = _simulated(model, samples, out / "simulation", plan, stage)
    with stage("evaluating", 1) as update:
        report = evaluate(dataset, {"samples": samples, "simulation": simulation}, update)
        command = _command(name, config, out, plan)
        _once(out / "report", lambda path: write_report(report, path, [command], published))
        update(1, "")
    return report


def _command(name: str, config: Config, out: Path, plan: Plan) -> str:
    """What makes the same report: what is not usual is stated, and the configuration is where the model is."""
    usual, words = Plan(), [f"scorefield run {name} -o {out}"]
    if config != Config(seed=config.seed):
        words += [f"--config {out / 'run' / 'config.toml'}"]
    for key in ("samples", "replicas", "time_ps", "save_ps"):
        if getattr(plan, key) != getattr(usual, key):
            words += [f"--{key.replace('_', '-')} {getattr(plan, key):g}"]
    return " ".join([*words, f"--seed {config.seed}"])


def _begin(dataset: Dataset, config: Config, out: Path, plan: Plan, resume: bool) -> None:
    """Write `out`/plan.json, or make sure that the one there says the same and no part is missing amid others."""
    asked = {"data": dataset.fingerprint(), "config": config.to_toml(), "plan": asdict(plan)}
    if not resume or not (out.exists() or out.is_symlink()):
        with new_folder(refuse_existing(out)) as draft:
            write_json(draft / "plan.json", describe("plan", **asked))
        return
    found = read_json(out / "plan.json", "plan")
    with reading(out / "plan.json"):
        if found["data"] != asked["data"]:
            raise InputError(f"{out} was begun with other data; give the same or choose another -o")
        if found["config"] != asked["config"]:
            what = difference(str(found["config"]), config)
            raise InputError(f"{out} was begun with {what}; give the same or choose another -o")
        for key, value in asked["plan"].items():
            if found["plan"][key] != value:
                what = f"{key} = {found['plan'][key]}, not {value}"
                raise InputError(f"{out} was begun with {what}; give the same or choose another -o")
    there = [part for part in PARTS if (out / part).exists()]
    if there != list(PARTS[: len(there)]):
        gap = next(part for part in PARTS if part not in there)
        later = ", ".join(str(out / part) for part in there if PARTS.index(part) > PARTS.index(gap))
        raise InputError(f"{out / gap} is missing, but not what was made from it; to go on remove {later}")


def _once(path: Path, make: Callable[[Path], None]) -> None:
    if not path.exists():
        make(path)


def _trained(dataset: Dataset, config: Config, path: Path, stage: Stage, name: str, resume: bool) -> Model:
    if (path / "model.json").exists():
        return load_model(path)
    go_on = resume and path.exists()
    with stage("training", 1.0) as update:
        show = lambda p: update(p.step / p.steps, p.words())
        return train(dataset, config, path, resume=go_on, on_progress=show, dataset_name=name)


def _sampled(model: Model, plan: Plan, stage: Stage) -> Frames:
    with stage("sampling", plan.samples) as update:
        return sample(model, plan.samples, plan.seed, on_batch=lambda done: update(done, ""))


def _simulated(model: Model, samples: Frames, path: Path, plan: Plan, stage: Stage) -> Frames:
    if (path / "simulation.json").exists():
        return load_frames(path)
    with stage("simulating", plan.time_ps) as update:
        return simulate_into(
            path,
            model,
            lambda: choose_starts(samples.trajectory.positions, plan.replicas, plan.seed),
            plan.time_ps,
            save_ps=plan.save_ps,
            replicas=plan.replicas,
            start="samples",
            resume=path.exists(),
            on_progress=lambda p: update(p.time_ps, p.words()),
            seed=plan.seed + 1,
        )
