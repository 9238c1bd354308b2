"""Past the paper, a cell at a time: forces beside noise, exchange of noise levels, capacity against stability.

    python benchmarks/beyond.py PATH/ala2_equilibrium.npz --work FOLDER --cells "forces/*-10000/*" [--again]

Cells as in `campaign`.

forces/OBJECTIVE-N/S    alanine dipeptide, replicas 0-27, N training frames; OBJECTIVE: denoising, forces (force matching) or
                        both; 200 replicas x 100 ps from training frames, judged by replicas 32-63
exchange/NAME/S         the model of forces/denoising-50000/S: `plain` Langevin dynamics, or a `ladder` of noise levels, of
                        about the same cost, all replicas started with phi < 0
capacity/SYSTEM-DxW-P/S depth D and width W of the network, P prior or none; SYSTEM ala2, or the other one (--other DATASET)
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ala2_data import dataset_from_npz
from beyond_bars import bars
from campaign import arguments_of, compute_cells, trained
from fidelity import FRAMES, autocorrelation_time, kept, population, with_training_frames
from jaxtyping import Float

from scorefield.config import Config, config_from
from scorefield.dataset import Dataset, load_dataset
from scorefield.energy.base import AbstractEnergy
from scorefield.energy.stiff import stiff_pairs
from scorefield.errors import InputError
from scorefield.evaluate import evaluate
from scorefield.exchange import crossings, evaluations_a_step
from scorefield.fields import over_frames, soft
from scorefield.geometry import centred, dihedrals
from scorefield.labels import force_labels
from scorefield.model import Model
from scorefield.optimise import trainable
from scorefield.protocol import Protocol
from scorefield.replicas import Replicas
from scorefield.simulate import sample, simulate
from scorefield.starts import choose_starts

SEEDS = (0, 1, 2)
OBJECTIVES, SIZES = ("denoising", "both", "forces"), (10_000, 1000, 3000, 50_000)
DEPTHS, WIDTHS = (1, 3, 5), (32, 64, 128, 256)
POSITIVE, NEGATIVE = (0.35, 2.6), (-np.pi, -0.5)  # of phi: what lies between belongs to neither basin
JUDGED = (200, 100.0)  # replicas and ps of the simulations of `forces`
CAPACITY = (20_000, 100, 50.0)  # samples, replicas and ps each of `capacity`
WAYS = {"plain": (200, 2000.0), "ladder": (200, 200.0)}  # replicas, ps each


def cells() -> list[str]:
    """The names of all cells, in order of importance."""
    found = [f"exchange/{way}/{s}" for s in SEEDS[:1] for way in WAYS]
    found += [f"forces/{o}-{n}/{s}" for n in SIZES for s in SEEDS for o in OBJECTIVES]
    found += [f"exchange/{way}/{s}" for s in SEEDS[1:] for way in WAYS]
    sizes = [f"{d}x{w}" for w in WIDTHS for d in DEPTHS]
    return found + [
        f"capacity/{name}-{s}-{p}/0" for name in ("ala2", "other") for s in sizes for p in ("prior", "none")
    ]


def compute(cell: str, arguments: argparse.Namespace, alanine: Dataset) -> dict[str, Any]:
    """The result of one cell."""
    group, name, seed_text = cell.split("/")
    seed, work = int(seed_text), arguments.work
    if group == "capacity":
        system, size, prior = name.split("-")
        dataset = alanine if system == "ala2" else load_dataset(arguments.other)
        return capacity(dataset, capacity_config(size, prior, arguments.capacity_steps, seed), work / cell, seed)
    objective, n = name.split("-") if group == "forces" else ("denoising", "50000")
    some = with_training_frames(alanine, int(n))
    model = trained(some, forces_config(objective, arguments.steps, seed), work / f"forces/{objective}-{n}/{seed}/run")
    return of_forces(alanine, some, model, seed) if group == "forces" else of_exchange(model, some, name, seed)


def forces_config(objective: str, steps: int, seed: int) -> Config:
    """The default configuration with another objective."""
    training = {"objective": objective, "steps": steps} | ({"contrast": 0.0} if objective == "forces" else {})
    return config_from({"seed": seed, "training": training}, objective)


def capacity_config(size: str, prior: str, steps: int, seed: int) -> Config:
    """The default configuration with a network of DEPTHxWIDTH, and with or without the prior."""
    depth, width = (int(v) for v in size.split("x"))
    energy = {"depth": depth, "width": width, "prior": "noise_aware" if prior == "prior" else "none"}
    return config_from({"seed": seed, "energy": energy, "training": {"steps": steps}}, size)


def of_forces(full: Dataset, some: Dataset, model: Model, seed: int) -> dict[str, Any]:
    """Metrics of a simulation and of samples on `FRAMES` frames, and how far the force is from held-out forces."""
    replicas, time_ps = JUDGED
    starts = choose_starts(np.asarray(some.split("train").positions), replicas, seed)
    made = {}
    try:
        made["simulation"] = simulate(model, starts, time_ps, save_ps=time_ps * replicas / FRAMES, seed=seed + 1)
    except InputError as error:  # every replica lost: that is the result
        print("no simulation:", error)
    if model.config.training.objective != "forces":
        made["samples"] = sample(model, FRAMES, seed)
    report = evaluate(full, {k: replace(f, trajectory=f.trajectory.thin(FRAMES)) for k, f in made.items()})
    training = {key: model.training[key] for key in ("seconds", "steps", "train_frames", "validation_loss")}
    error = force_error(full, model)
    return {k: kept(report.metrics[k]) for k in made} | {"training": training, "level_nm": model.level, "force": error}


def force_error(dataset: Dataset, model: Model) -> dict[str, float]:
    """Mean square of force less label on test frames, (kT/nm)^2 a degree of freedom: of all, and of the soft ones alone.

    The labels' own noise is most of it and the same for all models: differences count.
    """
    x, labels = centred(dataset.split("test").positions), force_labels(dataset, "test").scores
    pairs = stiff_pairs(dataset.molecule, x)
    n = 3 * (x.shape[1] - 1)

    def one(x: jax.Array, label: jax.Array) -> jax.Array:
        off = model.score.mean_force(x, jnp.float32(model.level)) - label
        return jnp.stack([jnp.sum(off**2) / n, jnp.sum(soft(lambda _: off, pairs)(x) ** 2) / (n - len(pairs))])

    found = np.asarray(jax.jit(lambda x, g: over_frames(one, x, g))(jnp.asarray(x), jnp.asarray(labels)), np.float64)
    return dict(zip(("all", "soft"), found.mean(axis=0).round(2).tolist(), strict=True))


def of_exchange(model: Model, dataset: Dataset, way: str, seed: int) -> dict[str, Any]:
    """Crossings between phi < 0 and phi > 0, and their price; the population of phi > 0 in tenths of the time."""
    replicas, time_ps = WAYS[way]
    protocol = Protocol.of(model, time_ps, save_ps=0.2, seed=seed, exchange="auto" if way == "ladder" else ())
    running = Replicas(model, protocol, replicas)
    frames = dataset.split("train").positions
    starts = np.asarray(frames[phi(model, frames[None])[0] < NEGATIVE[1]])
    state, positions, walkers = running.start(choose_starts(starts, replicas, seed)), [], []
    for _, now, x in running.frames(state, 0):
        positions.append(x)
        walkers.append(running.observe(now).get("walkers", np.zeros(replicas)))
        state = now
    angle, walker = phi(model, np.concatenate(positions, axis=1)), np.stack(walkers, axis=1)
    basin = np.where((angle > POSITIVE[0]) & (angle < POSITIVE[1]), 1, np.where(angle < NEGATIVE[1], 0, -1))
    steps = replicas * protocol.n_frames * protocol.stride
    rungs = 1 + len(protocol.rungs)
    cost = steps * (evaluations_a_step(rungs, protocol.between) if protocol.rungs else 1)
    crossed, second_half = crossings(basin, walker), angle[:, angle.shape[1] // 2 :] > 0
    return {
        "crossings": crossed,
        "round_trips_per_million_evaluations": crossed / 2 / cost * 1e6,
        "evaluations": cost,
        "levels_nm": [protocol.level, *protocol.rungs],
        "acceptance": running.acceptance(state, protocol.n_frames, np.ones(replicas, bool)),
        "population": population(list(second_half)),
        "autocorrelation_ps": autocorrelation_time(second_half) * protocol.interval if second_half.any() else None,
        "in_time": np.round((angle > 0).mean(axis=0).reshape(10, -1).mean(axis=1), 4).tolist(),
        "replicas": replicas,
        "time_ps": time_ps,
    }


def phi(model: Model, x: Float[np.ndarray, "r f n 3"]) -> Float[np.ndarray, "r f"]:
    """The first residue's phi in rad."""
    quad = np.array([model.molecule.ramachandran[0][1][0]])
    flat = jnp.asarray(x.reshape(-1, *x.shape[2:]))
    return np.asarray(jax.jit(jax.vmap(lambda y: dihedrals(y, quad)[0]))(flat)).reshape(x.shape[:2])


def capacity(dataset: Dataset, config: Config, folder: Path, seed: int) -> dict[str, Any]:
    """Samples and a simulation of 100 replicas x 50 ps, how many were lost, and how rough the force is on its way."""
    model = trained(dataset, config, folder / "run")
    n, replicas, time_ps = CAPACITY
    samples = sample(model, n, seed)
    made = {"samples": samples}
    try:
        starts = choose_starts(samples.trajectory.positions, replicas, seed)
        made["simulation"] = simulate(model, starts, time_ps, save_ps=time_ps * replicas / n, seed=seed + 1)
    except InputError as error:
        print("no simulation:", error)
    report = evaluate(dataset, made)
    found: dict[str, Any] = {name: kept(report.metrics[name]) for name in made}
    if "simulation" in made:
        found["roughness"] = roughness(model, np.asarray(made["simulation"].trajectory.thin(400).positions))
    training = {key: model.training[key] for key in ("seconds", "steps", "validation_loss")}
    weights = sum(a.size for a in jax.tree.leaves(eqx.filter(model.score, trainable(model.score))))
    return found | {"training": training, "weights": weights, "level_nm": model.level}


def roughness(model: Model, x: Float[np.ndarray, "f n 3"]) -> dict[str, float]:
    """Largest eigenvalue of the Hessian of the potential in frames `x`, kT/nm^2: median and 99 % quantile.

    Of the soft coordinates alone: stiff bonds have the same large one in every model.
    """
    score, pairs = model.score, stiff_pairs(model.molecule, x)
    assert isinstance(score, AbstractEnergy)
    n = x.shape[1] * 3
    level = jnp.float32(model.level)

    def largest(x: jax.Array) -> jax.Array:
        hessian = jax.hessian(lambda y: score.potential(y, level))(x).reshape(n, n)
        project = lambda v: soft(lambda _: v.reshape(x.shape), pairs)(x).ravel()
        p = jax.vmap(project)(jnp.eye(n))
        return jnp.linalg.eigvalsh(p @ hessian @ p.T)[-1]

    found = np.asarray(jax.jit(lambda x: over_frames(largest, x))(jnp.asarray(centred(x))), np.float64)
    return {"median": float(np.median(found)), "q99": float(np.quantile(found, 0.99))}


def main() -> None:
    """Compute the cells asked for that are missing, and write the results of all."""
    parser = arguments_of(__doc__, ["forces/*", "exchange/*", "capacity/ala2*"])
    parser.add_argument("npz", type=Path)
    parser.add_argument("--steps", type=int, default=36_000, help="of the trainings of `forces`")
    parser.add_argument("--capacity-steps", type=int, default=12_000)
    parser.add_argument("--other", type=Path, help="a DATASET folder, for capacity/other-*")
    asked = parser.parse_args()
    alanine = dataset_from_npz(asked.npz, with_forces=True)
    compute_cells("beyond", cells(), asked, lambda cell: compute(cell, asked, alanine), bars)


if __name__ == "__main__":
    main()
