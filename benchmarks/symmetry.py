"""Rotations, translations and mirror images: the paper's augmented network, an equivariant peer and our invariants.

Needs e3nn-jax beside scorefield, for this script alone (pip install e3nn-jax):

    python benchmarks/symmetry.py RUN --work FOLDER [--paper RUN | --paper-steps N]

Errors are those of `scorefield verify` (relative squared, over held-out frames, each with its own random angle), at every
model's own force level; cost is one force evaluation of a batch of frames on one core, all models in turns.

ours    the default configuration: RUN, trained on the built-in alanine dipeptide
paper   configuration paper/alanine, which learns symmetry from randomly rotated frames
peer    a small NequIP (tensor products up to l = 2) of random weights: its symmetry is built in and not learned, so
        training does not change its errors, nor its cost. It knows no handedness: U is the same for mirror images.
"""

import os

# One core, set before JAX starts its threads.
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import argparse
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import e3nn_jax as e3nn  # pyright: ignore[reportMissingImports] (no dependency of the project)
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from record import bar, record

from scorefield.config import load_config
from scorefield.dataset import Dataset
from scorefield.energy.base import AbstractEnergy
from scorefield.model import Model, load_model
from scorefield.systems import load_system
from scorefield.train import train
from scorefield.verify import CHECKS, Context, Sizes

SEED, BATCH, REPEATS = 0, 100, 15
COMMAND = "python benchmarks/symmetry.py RUN --work FOLDER"
HIDDEN = e3nn.Irreps("16x0e + 16x1o + 16x2e")
GATED = e3nn.Irreps("48x0e + 16x1o + 16x2e")  # a gate for every vector and tensor
ANGULAR = e3nn.Irreps("0e + 1o + 2e")
CENTRES = np.linspace(0.1, 0.8, 8, dtype=np.float32)  # nm, of the radial Gaussians


class Interaction(eqx.Module):
    """Messages h_j x Y(r_ij), weighted by a network of the distance, summed over j; then a linear map and gates."""

    radial: eqx.nn.MLP
    mixing: list[Array]

    def __init__(self, irreps: e3nn.Irreps, key: jax.Array) -> None:
        keys = jax.random.split(key)
        message = _product(irreps)
        self.radial = eqx.nn.MLP(len(CENTRES) + 1, message.num_irreps, 32, 1, jax.nn.silu, key=keys[0])
        paths = e3nn.FunctionalLinear(message, GATED).instructions
        self.mixing = [
            jax.random.normal(k, i.path_shape)
            for k, i in zip(jax.random.split(keys[1], len(paths)), paths, strict=True)
        ]

    def __call__(self, h: Any, angular: Any, radial: Float[Array, "e k"], pairs: np.ndarray) -> Any:
        message = e3nn.tensor_product(h[pairs[:, 1]], angular, filter_ir_out=ANGULAR)
        message = message * jax.vmap(self.radial)(radial)
        total = e3nn.scatter_sum(message, dst=jnp.asarray(pairs[:, 0]), output_size=len(h.array)) / len(h.array) ** 0.5
        mix = e3nn.FunctionalLinear(message.irreps, GATED)
        return e3nn.gate(jax.vmap(lambda t: mix(self.mixing, t))(total), even_act=jax.nn.silu)


def _product(irreps: e3nn.Irreps) -> e3nn.Irreps:
    return e3nn.tensor_product(e3nn.zeros(irreps, ()), e3nn.zeros(ANGULAR, ()), filter_ir_out=ANGULAR).irreps


class Nequip(AbstractEnergy):
    """U = sum over beads of a scalar, after two interactions over all pairs (Batzner et al. 2022, without cutoff)."""

    embedding: Float[Array, "n k"]
    layers: list[Interaction]
    out: Float[Array, " k"]

    def __init__(self, n_beads: int, key: jax.Array) -> None:
        keys = jax.random.split(key, 4)
        scalars = e3nn.Irreps("16x0e")
        self.embedding = jax.random.normal(keys[0], (n_beads, 16))
        self.layers = [Interaction(scalars, keys[1]), Interaction(HIDDEN, keys[2])]
        self.out = jax.random.normal(keys[3], (16,)) / 4

    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        n = len(self.embedding)
        pairs = np.array([(i, j) for i in range(n) for j in range(n) if i != j])
        r = x[pairs[:, 1]] - x[pairs[:, 0]]
        length = jnp.sqrt(jnp.sum(r * r, axis=1, keepdims=True))
        gaussians = jnp.exp(-0.5 * ((length - CENTRES[None]) / 0.1) ** 2)
        radial = jnp.concatenate([gaussians, jnp.full_like(length, jnp.log(sigma))], axis=1)
        angular = e3nn.spherical_harmonics(ANGULAR, e3nn.IrrepsArray("1o", r), normalize=True)
        h = e3nn.IrrepsArray("16x0e", self.embedding)
        for layer in self.layers:
            h = layer(h, angular, radial, pairs)
        return jnp.sum(h.filter("0e").array @ self.out)


def models(run: Path, paper: Path | None, steps: int, work: Path, dataset: Dataset) -> dict[str, Model]:
    """Ours, the paper's (trained here for `steps` unless given), and the peer under our settings."""
    ours = load_model(run)
    if paper is None:
        paper = work / f"paper-{steps}"
        if not (paper / "model.json").exists():
            config = load_config("paper/alanine")
            config = config.model_copy(update={"training": config.training.model_copy(update={"steps": steps})})
            train(dataset, config, paper, resume=paper.exists(), dataset_name="ala2")
    peer = Nequip(ours.molecule.n_beads, jax.random.key(SEED))
    return {"ours": ours, "paper": load_model(paper), "peer": replace(ours, score=peer, training={"steps": 0})}


def errors(model: Model, dataset: Dataset) -> dict[str, Any]:
    """Relative squared errors of the force, and what the mirror image costs."""
    context = Context(model, dataset, SEED)
    checks = {name: CHECKS[name](context) for name in ("rotation", "translation", "reflection")}
    mirror = checks["reflection"]
    return {name: check.value for name, check in checks.items()} | {
        "verdicts": {name: check.verdict for name, check in checks.items()},
        "mirror_energy_kT": mirror.details["mirror_energy_kT"],
        "level_nm": model.level,
        "training_steps": model.training["steps"],
        "parameters": sum(a.size for a in jax.tree.leaves(eqx.filter(model.score, eqx.is_inexact_array))),
    }


def force_seconds(models: dict[str, Model], x: Float[np.ndarray, "b n 3"]) -> dict[str, float]:
    """Median seconds of a force evaluation of the batch `x` (nm), the models in turns, one call each not counted."""
    batch = jnp.asarray(x, jnp.float32)
    force = eqx.filter_jit(lambda score, level: jax.vmap(score.mean_force, (0, None))(batch, level))
    times: dict[str, list[float]] = {name: [] for name in models}
    for k in range(REPEATS + 1):
        for name, model in models.items():
            start = time.perf_counter()
            force(model.score, jnp.float32(model.level)).block_until_ready()
            if k > 0:
                times[name].append(time.perf_counter() - start)
    return {name: median(seconds) for name, seconds in times.items()}


def bars(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for name, of in found.items():
        who = f"{name} ({of['training_steps']} training steps)" if name == "paper" else name
        for kind in ("rotation", "translation"):
            exact = None if name == "paper" else 1e-9
            met = None if exact is None else of[kind] <= exact
            rows.append(bar(f"{who}: {kind}, relative squared error of the force", of[kind], exact, met, COMMAND))
        told = of["verdicts"]["reflection"] == "PASS"
        rows.append(bar(f"{who}: mirror images, relative squared difference", of["reflection"], None, None, COMMAND))
        demanded = True if name == "ours" else None
        met = told if name == "ours" else None
        rows.append(bar(f"{who}: tells mirror images apart", told, demanded, met, COMMAND))
        rows.append(bar(f"{who}: force evaluation over ours", round(of["force_over_ours"], 2), None, None, COMMAND))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--paper", type=Path, help="RUN of paper/alanine, in place of training one")
    parser.add_argument("--paper-steps", type=int, default=1000)
    arguments = parser.parse_args()
    dataset = load_system("ala2")
    compared = models(arguments.run, arguments.paper, arguments.paper_steps, arguments.work, dataset)
    found = {name: errors(model, dataset) for name, model in compared.items()}
    seconds = force_seconds(compared, np.asarray(dataset.split("test").thin(BATCH).positions))
    for name, of in found.items():
        of |= {"force_ms": 1e3 * seconds[name], "force_over_ours": seconds[name] / seconds["ours"]}
        print(name, of, flush=True)
    extra = {"e3nn_jax": version("e3nn-jax"), "threads": 1, "batch": BATCH, "frames": Sizes().frames, "models": found}
    print(record("symmetry", bars(found), seed=SEED, **extra))


if __name__ == "__main__":
    main()
