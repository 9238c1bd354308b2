"""How true samples and simulations of alanine dipeptide are, a cell at a time: trained on replicas 0-27, judged by 32-63.

    python benchmarks/fidelity.py PATH/ala2_equilibrium.npz --work FOLDER --cells "main/*" "method/*/0" [--again]

Cells as in `campaign`.

main/default/S      50,000 training frames, default configuration, 120,000 samples, 200 replicas x 800 ps
method/NAME/S       what the parts of the method are worth: the same data and the same training time (--seconds) for all
data/N/S            the default configuration with N training frames (50,000: main)
field/NAME/S        the paper's network, conservative and direct, the same number of steps (--paper-steps)
dt/5fs/S            the model of main/default/S at a time step of 5 fs
long/1ns/S          the same, 1,000 replicas x 1 ns at 2 fs
conformer/20ns/S    the same, 30 replicas x 20 ns, all from one conformer: how the population of phi > 0 comes about
conformer/ladder/S  the same, 48 replicas x 4 ns with exchange of noise levels (`simulate --exchange auto`)
"""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ala2_data import dataset_from_npz
from campaign import arguments_of, compute_cells, trained
from fidelity_bars import bars
from jaxtyping import Bool, Float
from published import as_published

from scorefield.config import Config, config_from, load_config
from scorefield.dataset import Dataset
from scorefield.errors import InputError
from scorefield.evaluate import evaluate
from scorefield.metrics.dihedral import positive_phi
from scorefield.model import Model
from scorefield.simulate import sample, simulate
from scorefield.starts import choose_starts
from scorefield.train import train
from scorefield.trajectory import Trajectory

SEEDS = (0, 1, 2)
FRAMES = 50_000
PARTS: dict[str, dict[str, Any]] = {
    "prior": {"energy": {"prior": "noise_aware"}},
    "contrast": {"training": {"contrast": 0.1}},
    "fokker_planck": {"training": {"fokker_planck": 0.01}},
    "mixture": {"energy": {"boundaries": [0.03]}},
}
PLAIN = {"energy": {"prior": "none"}, "training": {"contrast": 0.0}}
METHODS = (
    *("plain", "prior", "fokker_planck", "mixture", "prior+fokker_planck", "prior+mixture"),
    *("fokker_planck+mixture", "prior+fokker_planck+mixture", "contrast", "prior+contrast"),
)
SIZES = (2000, 5000, 10_000, 20_000)
CONFORMER: dict[str, dict[str, Any]] = {
    "20ns": {"replicas": 30, "time_ps": 20_000.0, "save_ps": 4.0},
    "ladder": {"replicas": 48, "time_ps": 4000.0, "save_ps": 1.0, "exchange": "auto"},
}
KEPT = (
    *("dihedral_js", "pmf_error", "positive_phi", "bond_w1", "angle_w1", "bond_width", "angle_width"),
    *("distance_js", "rg_js", "lost"),
)


def cells() -> list[str]:
    """The names of all cells, in order of importance."""
    found = [f"main/default/{s}" for s in SEEDS] + ["dt/5fs/0"]
    found += [f"method/{name}/{s}" for s in SEEDS for name in METHODS]
    found += [f"data/{n}/{s}" for s in SEEDS for n in (*SIZES, "all")]
    return (
        found
        + [f"field/{name}/{s}" for s in SEEDS for name in ("conservative", "direct")]
        + ["long/1ns/0"]
        + [f"conformer/{name}/{s}" for s in SEEDS for name in CONFORMER]
    )


def with_training_frames(dataset: Dataset, n: int) -> Dataset:
    """`dataset` with `n` of its training frames, evenly spaced over all its training chains."""
    t, chains = dataset.trajectory, dataset.trajectory.chains()
    total = dataset.split("train").n_frames
    wanted = np.linspace(0, total - 1, min(n, total)).round().astype(int)
    parts, start, first = [], 0, 0
    for chain, split in zip(chains, dataset.splits, strict=True):
        inside = np.arange(len(chain))
        if split == "train":
            inside = wanted[(wanted >= start) & (wanted < start + len(chain))] - start
            start += len(chain)
        parts.append(first + inside)
        first += len(chain)
    kept, lengths = np.concatenate(parts), tuple(len(part) for part in parts)
    forces = None if dataset.forces is None else dataset.forces[kept]
    return replace(dataset, trajectory=replace(t, positions=t.positions[kept], chain_lengths=lengths), forces=forces)


def method(name: str, seed: int) -> Config:
    """The configuration of a method: "plain", or parts of the method joined by +."""
    sections: dict[str, Any] = {"seed": seed} | {key: dict(value) for key, value in PLAIN.items()}
    for part in () if name == "plain" else name.split("+"):
        for key, value in PARTS[part].items():
            sections[key] = sections.get(key, {}) | value
    return config_from(sections, name)


def with_steps(config: Config, steps: int) -> Config:
    """`config` with another number of training steps."""
    return config.model_copy(update={"training": config.training.model_copy(update={"steps": steps})})


def affordable(dataset: Dataset, seconds: float, work: Path) -> dict[str, int]:
    """How many steps of every method fit into `seconds`, compiling left out; measured once, for all seeds.

    All methods take turns, twice, and the better rate counts, in processor seconds: no cell may be luckier with the
    machine. To be run on one core with one thread.
    """
    path = work / "rates.json"
    if not path.exists():
        rates = dict.fromkeys(METHODS, 0.0)
        for name in (*METHODS, *METHODS):
            rates[name] = max(rates[name], rate(dataset, method(name, 0), work / "pace"))
        path.write_text(json.dumps(rates, indent=1))
    return {name: max(500, round(r * seconds / 100) * 100) for name, r in json.loads(path.read_text()).items()}


def rate(dataset: Dataset, config: Config, folder: Path) -> float:
    """Steps a processor second in the second half of a short training."""
    times: list[tuple[int, float]] = []
    shutil.rmtree(folder, ignore_errors=True)
    train(dataset, with_steps(config, 600), folder, on_progress=lambda p: times.append((p.step, time.process_time())))
    (first, start), (last, end) = times[1], times[4]  # the last block validates, too
    return (last - first) / (end - start)


def judged(dataset: Dataset, model: Model, seed: int, n: int, time_ps: float, **settings: Any) -> dict[str, Any]:
    """`n` samples and 200 replicas x `time_ps`: metrics on `FRAMES` of them, the dihedral ones also as published."""
    samples = sample(model, n, seed)
    starts = choose_starts(samples.trajectory.positions, 200, seed)
    save = settings.pop("save_ps", time_ps * 200 / n)
    try:
        made = {
            "samples": samples,
            "simulation": simulate(model, starts, time_ps, save_ps=save, seed=seed + 1, **settings),
        }
    except InputError as error:  # every replica lost: that is the result
        made = {"samples": samples}
        print("no simulation:", error)
    report = evaluate(dataset, {name: replace(f, trajectory=f.trajectory.thin(FRAMES)) for name, f in made.items()})
    found: dict[str, Any] = {name: kept(report.metrics[name]) for name in made}
    for name, frames in made.items():
        found[name] |= as_published(frames.trajectory, dataset.split("train"))
    training = {key: model.training[key] for key in ("seconds", "steps", "train_frames", "validation_loss")}
    return found | {"training": training, "level_nm": model.level, "force_level": model.levels.to_json()}


def kept(entries: dict[str, Any]) -> dict[str, Any]:
    """Value, floor and ideal of the metrics that matter here."""
    fields = ("value", "floor", "ideal", "ideal_error", "n")
    return {k: {f: round(e[f], 6) for f in fields if f in e} for k, e in entries.items() if k in KEPT}


def compute(cell: str, dataset: Dataset, work: Path, seconds: float, paper_steps: int) -> dict[str, Any]:
    """The result of one cell."""
    group, name, seed_text = cell.split("/")
    seed, folder = int(seed_text), work / cell
    fifty = with_training_frames(dataset, 50_000)
    default = work / f"main/default/{seed}/run"
    if group == "main":
        return judged(fifty, trained(fifty, Config(seed=seed), folder / "run"), seed, 120_000, 800.0)
    if group == "dt":
        return judged(fifty, trained(fifty, Config(seed=seed), default), seed, 20_000, 200.0, dt_fs=5.0)
    if group == "long":
        return long_run(trained(fifty, Config(seed=seed), default), seed)
    if group == "conformer":
        return from_one_conformer(trained(fifty, Config(seed=seed), default), dataset, seed, **CONFORMER[name])
    if group == "data":
        some = dataset if name == "all" else with_training_frames(dataset, int(name))
        return judged(some, trained(some, Config(seed=seed), folder / "run"), seed, 50_000, 100.0)
    if group == "field":
        sections = load_config("paper/alanine").model_dump(exclude_none=True) | {"seed": seed, "sampling": {}}
        sections["energy"]["kind"] = "graph_transformer" if name == "conservative" else "graph_transformer_direct"
        config = with_steps(config_from(sections, cell), paper_steps)
        return judged(fifty, trained(fifty, config, folder / "run"), seed, 10_000, 20.0)
    config = method(name, seed)
    steps = affordable(fifty, seconds, work)[name]
    return judged(fifty, trained(fifty, with_steps(config, steps), folder / "run"), seed, 50_000, 100.0)


def long_run(model: Model, seed: int) -> dict[str, Any]:
    """1,000 replicas x 1 ns: how many are lost, and the population of phi > 0 in tenths of the time."""
    starts = choose_starts(sample(model, 1000, seed).trajectory.positions, 1000, seed)
    start = time.perf_counter()
    made = simulate(model, starts, 1000.0, save_ps=10.0, seed=seed + 1, dt_fs=2.0)
    seconds = time.perf_counter() - start
    whole = [c for c in made.trajectory.chains() if len(c) == max(made.trajectory.chain_lengths)]
    tenths = positive(model, np.stack(whole)).mean(axis=0).reshape(10, -1).mean(axis=1)
    return {"lost": made.lost, "replicas": 1000, "seconds": seconds, "positive_phi": np.round(tenths, 5).tolist()}


def from_one_conformer(
    model: Model, dataset: Dataset, seed: int, *, replicas: int, time_ps: float, save_ps: float, **settings: Any
) -> dict[str, Any]:
    """All replicas from one frame with phi < 0: population of phi > 0, its autocorrelation time, and errors.

    The first fifth is left out. Errors by bootstrap over replicas, and over the chains of the training split, the test
    split and all splits.
    """
    frames = dataset.split("train").positions
    start = frames[np.flatnonzero(~positive(model, frames[None])[0])[0]]
    starts = np.repeat(start[None], replicas, axis=0)
    made = simulate(model, starts, time_ps, save_ps=save_ps, seed=seed + 1, **settings)
    longest = max(made.trajectory.chain_lengths)
    state = positive(model, np.stack([c for c in made.trajectory.chains() if len(c) == longest]))
    kept_states = state[:, longest // 5 :]
    references = {name: dataset.split(name) for name in ("train", "test")} | {"all": dataset.trajectory}
    reference = {
        name: population([positive(model, c[None])[0] for c in part.chains()]) for name, part in references.items()
    }
    return {
        "lost": made.lost,
        "population": population(list(kept_states)),
        "crossings": int(np.abs(np.diff(kept_states.astype(int), axis=1)).sum()),
        "time_ps": time_ps,
        "autocorrelation_ps": save_ps * autocorrelation_time(kept_states),
        "in_time": [round(float(part.mean()), 4) for part in np.array_split(state, 25, axis=1)],
        "reference": reference,
    }


def positive(model: Model, x: Float[np.ndarray, "r f n 3"]) -> Bool[np.ndarray, "r f"]:
    """Where phi > 0."""
    flat = Trajectory(model.molecule, x.reshape(-1, *x.shape[2:]), (x.shape[0] * x.shape[1],), model.temperature)
    return positive_phi(flat).reshape(x.shape[:2]) > 0


def population(states: list[Bool[np.ndarray, " f"]]) -> dict[str, float]:
    """Mean over all frames of all chains, and its standard error by bootstrap over the chains."""
    sums, counts = np.array([s.sum() for s in states], float), np.array([len(s) for s in states])
    drawn = np.random.default_rng(0).integers(len(states), size=(2000, len(states)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return {"mean": round(float(sums.sum() / counts.sum()), 5), "error": round(float(means.std()), 5)}


def autocorrelation_time(states: Bool[np.ndarray, "r f"]) -> float:
    """Integrated autocorrelation time in frames, of all replicas about one mean, summed to its first value below .05."""
    off = states - states.mean()
    n = off.shape[1]
    spectrum = np.abs(np.fft.rfft(off, 2 * n, axis=1)) ** 2
    c = np.fft.irfft(spectrum, axis=1)[:, :n].mean(axis=0) / np.arange(n, 0, -1)
    c = c / c[0]
    below = np.flatnonzero(c < 0.05)
    return float(1 + 2 * c[1 : below[0] if len(below) else n].sum())


def main() -> None:
    """Compute the cells asked for that are missing, and write the results of all."""
    parser = arguments_of(__doc__, ["*"])
    parser.add_argument("npz", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0, help="training time of the cells of `method`")
    parser.add_argument("--paper-steps", type=int, default=800)
    asked = parser.parse_args()
    dataset = dataset_from_npz(asked.npz)

    def found(cell: str) -> dict[str, Any]:
        settings = {"seconds": asked.seconds} if cell.startswith("method") else {}
        return compute(cell, dataset, asked.work, asked.seconds, asked.paper_steps) | {"settings": settings}

    compute_cells("fidelity", cells(), asked, found, bars)


if __name__ == "__main__":
    main()
