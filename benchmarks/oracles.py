"""Learned against true forces: toy systems of known energy, at every force level, stiff and soft parts apart.

    python benchmarks/oracles.py --work FOLDER [--systems ...] [--methods ...] [--seeds 0 1 2] [--steps 12000]

One cell is a system, a method and a seed; each leaves FOLDER/SYSTEM-METHOD-SEED.json, and cells that are there are not
computed again. benchmarks/results/oracles.json holds all cells that are there, and the bars.

default  prior at sigma = 0, network at .003 nm
plain    the same network without the prior: the force is the score at the level, and the level its own best

The relative force error is sqrt(<|F_model - F_true|^2> / <|F_true|^2>) over held-out frames at equilibrium. The stiff part
of a force is its projection onto the gradients of the system's stiff distances; the soft part is the rest.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from record import bar, record
from toys import TOYS, Basin, Toy

from scorefield.config import Config, config_from
from scorefield.dataset import Dataset
from scorefield.energy.base import AbstractEnergy, AbstractScore
from scorefield.energy.build import model_shape
from scorefield.model import Model, load_model
from scorefield.simulate import sample, simulate
from scorefield.train import train

COMMAND = "python benchmarks/oracles.py --work FOLDER --systems {}"
METHODS: dict[str, dict[str, Any]] = {"default": {}, "plain": {"prior": "none"}}
LEVELS = (0.0003, 0.0005, 0.0007, 0.001, 0.0015, 0.002, 0.003, 0.0045, 0.006, 0.01, 0.015, 0.02, 0.03)
NOISED_LEVELS = (0.0015, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LEVEL = 0.003  # nm, the default method's: the same for all systems
FRAMES, SAMPLES = 4096, 20_000
REPLICAS, TIME_PS, SAVE_PS = 128, 80.0, 0.4
FRICTION = 10.0  # 1/ps, about the wells' frequency, where barriers are crossed most often
PARTS = ("total", "stiff", "soft")
THIRD = 1 / 3


def cell(name: str, method: str, seed: int, steps: int, work: Path) -> dict[str, Any]:
    """Train one model and judge it by the truth."""
    toy = TOYS[name]()
    dataset = toy.dataset(seed)
    model = trained(dataset, configuration(method, seed, steps), work / f"{name}-{method}-{seed}")
    x = dataset.split("test").thin(FRAMES).positions
    errors = force_errors(model.score, toy, x)
    # The plain method is given its own best level, judged by the truth.
    level = LEVEL if method == "default" else errors["level_nm"][int(np.argmin(errors["total"]))]
    return {
        "system": name,
        "method": method,
        "seed": seed,
        "steps": steps,
        "training_seconds": model.training["seconds"],
        **model_shape(model.score),
        "level_nm": level,
        "force_error": errors,
        "score_error": None if toy.noised is None else score_errors(model.score, toy.noised, x, seed),
        "free_energy_difference_kT": None
        if toy.basin is None
        else free_energies(model, toy, toy.basin, dataset, level, seed),
    }


def configuration(method: str, seed: int, steps: int) -> Config:
    """The default configuration but for the method and the length of the training."""
    settings = {"energy": METHODS[method], "training": {"steps": steps}, "simulation": {"level": LEVEL}}
    return config_from({"seed": seed, **settings}, "oracles")


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


def estimate(inside: Float[np.ndarray, "r f"]) -> dict[str, float]:
    """The difference from frames of independent rows, and its standard error from their spread."""
    p = inside.mean()
    error = inside.mean(axis=1).std() / np.sqrt(len(inside)) / (p * (1 - p))
    return {"value": figures(difference(p)), "error": figures(error)}


def figures(value: float) -> float:
    """Rounded to four figures."""
    return float(f"{value:.4g}")


def bars(cells: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that were demanded, and the free-energy differences, for each seed."""
    rows = []
    for ours in (c for c in cells.values() if c["method"] == "default"):
        name, seed = ours["system"], ours["seed"]
        plain = cells.get(key(name, "plain", seed))
        if plain is not None:
            rows += force_bars(ours, plain)
        found = ours["free_energy_difference_kT"]
        for source in ("samples", "simulation") if found else ():
            off = figures(found[source]["value"] - found["exact"])
            error = found[source]["error"]
            text = f"{name}, seed {seed}: free-energy difference of {source} less the exact one, kT (error {error})"
            rows.append(bar(text, off, None, None, COMMAND.format(name)))
    return rows


def force_bars(ours: dict[str, Any], plain: dict[str, Any]) -> list[dict[str, Any]]:
    """Ours at its level over the plain method at its own best level, part by part."""
    rows = []
    for part in PARTS:
        a, b = (c["force_error"][part][c["force_error"]["level_nm"].index(c["level_nm"])] for c in (ours, plain))
        if a is None or b is None:
            continue
        demanded = ours["system"] == "torsion-chain" and part != "total"
        text = (
            f"{ours['system']}, seed {ours['seed']}: {part} force error {a} at {ours['level_nm']} nm "
            f"over the plain method's {b} at its best level, {plain['level_nm']} nm"
        )
        met = bool(a / b <= THIRD) if demanded else None
        command = COMMAND.format(ours["system"])
        rows.append(bar(text, figures(a / b), "<= 1/3" if demanded else None, met, command))
    return rows


def key(name: str, method: str, seed: int) -> str:
    """The name of a cell."""
    return f"{name}-{method}-{seed}"


def main() -> None:
    """Compute the cells that are asked for and missing; write the results of all that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--systems", nargs="+", default=list(TOYS), choices=list(TOYS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=12_000)
    arguments = parser.parse_args()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    todo = [(n, m, s) for s in arguments.seeds for n in arguments.systems for m in arguments.methods]
    for name, method, seed in todo:
        if method == "plain" and not len(TOYS[name]().stiff):
            continue  # without a stiff distance there is no prior: the methods are one
        path = work / f"{key(name, method, seed)}.json"
        if not path.exists():
            found = cell(name, method, seed, arguments.steps, work)
            draft = path.with_suffix(".draft")
            draft.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
            os.replace(draft, path)
            print(path.name, json.dumps(found), flush=True)
    cells = {p.stem: json.loads(p.read_text()) for p in sorted(work.glob("*.json"))}
    print(record("oracles", bars(cells), cells=cells))


if __name__ == "__main__":
    main()
