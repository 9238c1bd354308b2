"""Learned against true forces: toy systems of known energy, at every force level, stiff and soft parts apart.

    python benchmarks/oracles.py --work FOLDER [--systems ...] [--methods ...] [--seeds 0 1 2] [--steps 36000]

One cell is a system, a method and a seed; each leaves FOLDER/SYSTEM-METHOD-SEED.json, and cells that are there are not
computed again. benchmarks/results/oracles.json holds all cells that are there, and the bars.

default  prior at sigma = 0, network at the level that its own validation frames choose (`--level auto`)
plain    the same network without the prior and without contrast, the plain method of `fidelity.py`
paper    the published network and noise levels (`paper/alanine`), trained for the seconds that the default one takes
longer   default, four times the steps: what training time limits
more     default, ten times the frames: what data limit

`plain` and `paper` are given, part by part, the level that is best by the truth.

The relative force error is sqrt(<|F_model - F_true|^2> / <|F_true|^2>) over held-out frames at equilibrium. The stiff part
of a force is its projection onto the gradients of the system's stiff distances; the soft part is the rest.
"""

import argparse
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from record import bar, record
from toys import TOYS, Basin, Toy

from scorefield.config import Config, config_from, load_config
from scorefield.dataset import Dataset
from scorefield.energy.base import AbstractEnergy, AbstractScore
from scorefield.energy.build import model_shape
from scorefield.model import Model, load_model
from scorefield.simulate import sample, simulate
from scorefield.train import train

PEERS, LIMITS = ("plain", "paper"), ("longer", "more")
METHODS = ("default", *PEERS, *LIMITS)
LEVELS = (0.0003, 0.0005, 0.0007, 0.001, 0.0015, 0.002, 0.003, 0.0045, 0.006, 0.01, 0.015, 0.02, 0.03)
NOISED_LEVELS = (0.0015, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FRAMES, SAMPLES = 4096, 20_000
REPLICAS, TIME_PS, SAVE_PS = 128, 80.0, 0.4
FRICTION = 10.0  # 1/ps, about the wells' frequency, where barriers are crossed most often
PARTS = ("total", "stiff", "soft")
THIRD = 1 / 3


def cell(name: str, method: str, seed: int, steps: tuple[int, int], work: Path) -> dict[str, Any]:
    """Train one model and judge it by the truth."""
    toy = TOYS[name]()
    dataset = toy.dataset(seed, 10 if method == "more" else 1)
    model = trained(dataset, configuration(method, seed, *steps), work / key(name, method, seed))
    x = dataset.split("test").thin(FRAMES).positions
    errors = force_errors(model.score, toy, x)
    own = {part: at_own_level(errors, part, model.level, method) for part in PARTS}
    assert own["total"] is not None  # no system is without force
    errors["own"], level = own, own["total"]["level_nm"]
    return {
        "system": name,
        "method": method,
        "seed": seed,
        "steps": model.training["steps"],
        "training_seconds": model.training["seconds"],
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        **model_shape(model.score),
        "level_nm": level,
        "force_error": errors,
        "score_error": None if toy.noised is None else score_errors(model.score, toy.noised, x, seed),
        "free_energy_difference_kT": None
        if toy.basin is None
        else free_energies(model, toy, toy.basin, dataset, level, seed),
    }


def configuration(method: str, seed: int, steps: int, paper_steps: int) -> Config:
    """The configuration of a method, of so many steps of training."""
    if method == "paper":
        sections = load_config("paper/alanine").model_dump() | {"seed": seed, "sampling": {}}
        sections["energy"]["std"], sections["training"]["steps"] = None, paper_steps
        return config_from(sections, method)
    plain: dict[str, Any] = {"energy": {"prior": "none"}, "training": {"contrast": 0.0}} if method == "plain" else {}
    training = plain.get("training", {}) | {"steps": 4 * steps if method == "longer" else steps}
    return config_from({"seed": seed, **plain, "training": training}, method)


def at_own_level(errors: dict[str, Any], part: str, level: float, method: str) -> dict[str, float] | None:
    """A part's error and the level it is taken at: the model's own, between those tried, or for a peer the best one."""
    if errors[part][0] is None:
        return None
    at, found = np.array(errors["level_nm"]), np.array(errors[part])
    if method not in PEERS:
        return {"level_nm": figures(level), "error": figures(np.interp(np.log(level), np.log(at), found))}
    best = int(np.argmin(found))
    return {"level_nm": float(at[best]), "error": float(found[best])}


def trained(dataset: Dataset, config: Config, path: Path) -> Model:
    """The model in `path`, trained or trained on if it is not there or not finished."""
    if not (path / "model.json").exists():
        train(dataset, config, path, resume=path.exists(), dataset_name=dataset.molecule.name)
    return load_model(path)


def force_errors(model: AbstractScore, toy: Toy, x: Float[np.ndarray, "f n 3"]) -> dict[str, Any]:
    """Relative errors of the force and its parts at each of `LEVELS`; None for a part that the true force has not."""
    frames = jnp.asarray(x)
    forces = eqx.filter_jit(lambda model, level: jax.vmap(model.mean_force, (0, None))(frames, level))
    truth = -np.asarray(jax.jit(jax.vmap(jax.grad(toy.energy)))(frames), np.float64)
    basis = stiff_basis(x, toy.stiff)
    found: dict[str, Any] = {"level_nm": list(LEVELS)} | {part: [] for part in PARTS}
    for level in LEVELS:
        off = np.asarray(forces(model, jnp.float32(level)), np.float64) - truth
        for part, wrong, true in zip(PARTS, parts(off, basis), parts(truth, basis), strict=True):
            square = np.sum(true**2)
            found[part].append(figures(np.sqrt(np.sum(wrong**2) / square)) if square else None)
    return found


def stiff_basis(x: Float[np.ndarray, "f n 3"], pairs: Int[np.ndarray, "k 2"]) -> Float[np.ndarray, "f m k"]:
    """An orthonormal basis of the gradients of the distances of `pairs`, for each frame."""
    i, j = pairs.T
    x = np.asarray(x, np.float64)
    along = x[:, i] - x[:, j]
    gradients = np.zeros((len(x), len(pairs), x.shape[1], 3))
    k = np.arange(len(pairs))
    gradients[:, k, i], gradients[:, k, j] = along, -along
    return np.linalg.qr(gradients.reshape(len(x), len(pairs), 3 * x.shape[1]).swapaxes(1, 2)).Q


def parts(force: Float[np.ndarray, "f n 3"], basis: Float[np.ndarray, "f m k"]) -> tuple[np.ndarray, ...]:
    """All of a force, its stiff part and its soft part, in the order of `PARTS`."""
    flat = force.reshape(len(force), -1)
    stiff = np.einsum("fmk,flk,fl->fm", basis, basis, flat)
    return flat, stiff, flat - stiff


def score_errors(
    model: AbstractScore, truth: AbstractEnergy, x: Float[np.ndarray, "f n 3"], seed: int
) -> dict[str, list[float]]:
    """Relative error of the score at each of `NOISED_LEVELS` on frames noised at that level."""
    scores = eqx.filter_jit(lambda model, x, sigma: jax.vmap(model.score, (0, None))(x, sigma))
    found = []
    for k, sigma in enumerate(NOISED_LEVELS):
        noise = np.random.default_rng([seed, k]).normal(size=x.shape)
        y = jnp.asarray(x + sigma * (noise - noise.mean(axis=1, keepdims=True)), jnp.float32)
        ours, true = (np.asarray(scores(m, y, jnp.float32(sigma)), np.float64) for m in (model, truth))
        found.append(figures(np.sqrt(np.sum((ours - true) ** 2) / np.sum(true**2))))
    return {"sigma_nm": list(NOISED_LEVELS), "relative": found}


def free_energies(model: Model, toy: Toy, basin: Basin, dataset: Dataset, level: float, seed: int) -> dict[str, Any]:
    """F(inside) - F(outside) in kT, and its standard error: exact, of the training frames, samples and simulation.

    Half of the replicas start in each basin and the first half of the time is left out: populations are the force field's.
    """
    data = dataset.split("train").positions
    inside = basin.inside(data)
    starts = np.concatenate([data[side][: REPLICAS // 2] for side in (inside, ~inside)])
    made = simulate(model, starts, TIME_PS, save_ps=SAVE_PS, seed=seed, level=level, dt_fs=toy.dt_fs, friction=FRICTION)
    replicas = [basin.inside(chain) for chain in made.trajectory.chains()]
    drawn = sample(model, SAMPLES, seed)
    return {
        "exact": figures(difference(basin.population)),
        "training frames": estimate(inside[:, None]),
        "samples": estimate(basin.inside(drawn.trajectory.positions)[:, None]),
        "simulation": estimate(np.array([r[len(r) // 2 :] for r in replicas if len(r) == max(map(len, replicas))])),
        "crossings": int(sum(np.sum(r[1:] != r[:-1]) for r in replicas)),
        "lost": {"samples": drawn.lost, "replicas": made.lost},
    }


def difference(population: float) -> float:
    """F(inside) - F(outside) in kT."""
    return float(np.log((1 - population) / population))


def estimate(inside: Float[np.ndarray, "r f"]) -> dict[str, float] | None:
    """The difference from frames of independent rows, and its standard error from their spread; None if one is empty."""
    p = inside.mean() if inside.size else 0.0
    if not 0 < p < 1:
        return None
    error = inside.mean(axis=1).std() / np.sqrt(len(inside)) / (p * (1 - p))
    return {"value": figures(difference(p)), "error": figures(error)}


def figures(value: float) -> float:
    """Rounded to four figures."""
    return float(f"{value:.4g}")


def bars(cells: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours over each peer part by part, and free-energy differences less the exact one: mean and range over seeds."""
    rows = []
    for name in TOYS:
        ours = {c["seed"]: c for c in cells.values() if (c["system"], c["method"]) == (name, "default")}
        for peer in PEERS:
            theirs = {c["seed"]: c for c in cells.values() if (c["system"], c["method"]) == (name, peer)}
            rows += force_bars(name, [(c, theirs[seed]) for seed, c in ours.items() if seed in theirs])
        rows += limits(name, cells)
        for source in ("samples", "simulation"):
            found = [c["free_energy_difference_kT"] for c in ours.values() if c["free_energy_difference_kT"]]
            off = [f[source]["value"] - f["exact"] for f in found if f[source]]
            if off:
                text = f"{name}: free-energy difference of {source} less the exact one, kT"
                rows.append(bar(text, over_seeds(off), None, None, command(name, ours.values())))
    return rows


def force_bars(name: str, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """Our error at our level over the peer's at its own best level, part by part, over the seeds."""
    rows = []
    for part in PARTS if pairs else ():
        own = [[c["force_error"]["own"][part] for c in pair] for pair in pairs]
        if own[0][0] is None:
            continue
        peer = pairs[0][1]["method"]
        demanded = name == "torsion-chain" and part != "total" and peer == "plain"
        ratio = over_seeds([a["error"] / b["error"] for a, b in own])
        text = f"{name}: {part} force error over that of the {peer} method at its best level"
        met = bool(ratio["mean"] <= THIRD) if demanded else None
        how = command(name, [c for pair in pairs for c in pair])
        rows.append(bar(text, ratio, "<= 1/3" if demanded else None, met, how))
    return rows


def limits(name: str, cells: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Our error, part by part, of longer training and of more frames over that of the same seed's default."""
    tried = [c for c in cells.values() if c["system"] == name and c["method"] in LIMITS]
    pairs = [(c, cells[key(name, "default", c["seed"])]) for c in tried if key(name, "default", c["seed"]) in cells]
    rows = []
    for cell, default in pairs:
        for part in PARTS:
            ours, theirs = (c["force_error"]["own"][part] for c in (cell, default))
            if ours is not None:
                text = f"{name}: {part} force error, {cell['method']} over default"
                ratio = figures(ours["error"] / theirs["error"])
                rows.append(bar(text, ratio, None, None, command(name, [default, cell])))
    return rows


def command(name: str, cells: Iterable[dict[str, Any]]) -> str:
    """What computes `cells` of a system."""
    cells = list(cells)
    methods = " ".join(m for m in METHODS if m in {c["method"] for c in cells})
    seeds = " ".join(str(seed) for seed in sorted({c["seed"] for c in cells}))
    return f"python benchmarks/oracles.py --work FOLDER --systems {name} --methods {methods} --seeds {seeds}"


def over_seeds(values: list[float]) -> dict[str, float]:
    """Mean, least, most and number of seeds."""
    return {
        "mean": figures(float(np.mean(values))),
        "least": figures(min(values)),
        "most": figures(max(values)),
        "seeds": len(values),
    }


def key(name: str, method: str, seed: int) -> str:
    """The name of a cell."""
    return f"{name}-{method}-{seed}"


def main() -> None:
    """Compute the cells that are asked for and missing; write the results of all that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--systems", nargs="+", default=list(TOYS), choices=list(TOYS))
    parser.add_argument("--methods", nargs="+", default=("default", *PEERS), choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=36_000)
    parser.add_argument("--paper-steps", type=int, default=1500)
    arguments = parser.parse_args()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    todo = [(n, m, s) for s in arguments.seeds for n in arguments.systems for m in arguments.methods]
    for name, method, seed in todo:
        path = work / f"{key(name, method, seed)}.json"
        if not path.exists():
            found = cell(name, method, seed, (arguments.steps, arguments.paper_steps), work)
            draft = path.with_suffix(".draft")
            draft.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
            os.replace(draft, path)
            print(path.name, json.dumps(found), flush=True)
    cells = {p.stem: json.loads(p.read_text()) for p in sorted(work.glob("*.json"))}
    print(record("oracles", bars(cells), cells=cells))


if __name__ == "__main__":
    main()
