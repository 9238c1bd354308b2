"""The paper's network against its published code: the same numbers from the same weights, and how much faster.

Needs a checkout of the published code (https://github.com/microsoft/two-for-one-diffusion; only `models/` and `utils.py`
are imported) and an environment with torch and einops beside scorefield:

    python benchmarks/paper_network.py PATH_OF_CHECKOUT

Both sides run on one core, in turns, on the same inputs; a ratio is the median of theirs over the median of ours.
"""

import os

# One core for both, set before either library starts its threads: two thread pools in turns disturb each other.
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from statistics import median
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from record import bar, record

from scorefield.config import GraphTransformerSettings, load_config
from scorefield.energy.base import AbstractScore
from scorefield.energy.graph_transformer import GraphTransformer, GraphTransformerEnergy, GraphTransformerScore
from scorefield.geometry import centre

SEED, BATCH = 0, 100
BEADS = {"paper/alanine": 5, "paper/bba": 28}
FASTER = {"paper/alanine": 4.0, "paper/bba": 10.0}
ROUNDING = 2e-5  # largest |difference| of noise estimates, which are of order 1, that counts as float32 rounding
COMMAND = "python benchmarks/paper_network.py PATH_OF_CHECKOUT"


@dataclass(frozen=True)
class Batch:
    """Noised frames (BATCH, n, 3) in nm, their noise, and their diffusion index."""

    x: np.ndarray
    noise: np.ndarray
    t: np.ndarray


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    torch = import_module("torch")  # only here: no dependency of scorefield
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    bars, times = [], {}
    for name, n_beads in BEADS.items():
        for conservative in (True, False):
            theirs, ours = build_pair(name, n_beads, conservative)
            difference = largest_difference(theirs, ours, make_batch(ours, n_beads))
            kind = "conservative" if conservative else "direct"
            row = f"{name}, {kind}: largest |difference| of the noise estimate"
            bars.append(bar(row, difference, ROUNDING, difference <= ROUNDING, COMMAND))
            print(row, f"{difference:.1e}", flush=True)
            if conservative:
                for what, (a, b) in compare_speed(theirs, ours, make_batch(ours, n_beads)).items():
                    row = f"{name}: {what}, batch {BATCH}, times faster than the published network"
                    demanded = FASTER[name] if what == "force evaluation" else None
                    bars.append(
                        bar(row, round(a / b, 1), demanded, None if demanded is None else a / b >= demanded, COMMAND)
                    )
                    times[f"{name}: {what}"] = {"theirs_s": round(a, 5), "ours_s": round(b, 5)}
                    print(row, f"{a / b:.1f} ({a:.4f} s / {b:.4f} s)", flush=True)
    record("paper_network", bars, seed=SEED, torch=torch.__version__, threads=1, medians=times)


def build_pair(name: str, n_beads: int, conservative: bool) -> tuple[Any, AbstractScore]:
    """The published network with its own initial weights, and ours with the same."""
    published = import_module("models.graph_transformer").GraphTransformer
    settings = load_config(name).energy
    assert isinstance(settings, GraphTransformerSettings)
    assert settings.std is not None
    theirs = published(
        n_beads,
        settings.hidden,
        n_layers=settings.layers,
        use_intrinsic_coords=True,
        use_abs_coords=False,
        use_distances=False,
        conservative=conservative,
    )
    create = (GraphTransformerEnergy if conservative else GraphTransformerScore).create
    ours = create(n_beads, settings.std, settings.hidden, settings.layers, jax.random.key(SEED))
    network = with_weights(ours.network, {k: v.numpy() for k, v in theirs.state_dict().items()})
    return theirs, eqx.tree_at(lambda m: m.network, ours, network)


def with_weights(network: GraphTransformer, weights: dict[str, np.ndarray]) -> GraphTransformer:
    """`network` with the published weights, by the names they have there."""
    kv = {
        f"{n}.{p}": np.split(a, 2) for n, p, a in ((*k.rsplit(".", 1), a) for k, a in weights.items()) if "to_kv" in n
    }
    target: dict[int, np.ndarray] = {}

    def take(module: Any, source: str, half: int | None = None) -> None:
        for part in ("weight", "bias"):
            leaf, key = getattr(module, part), f"{source}.{part}"
            if leaf is not None:
                target[id(leaf)] = weights[key] if half is None else kv[key][half]

    take(network.node_embedding, "node_embedding")
    take(network.edge_embedding, "edge_embedding")
    take(network.decoder, "node_decoder")
    for k, layer in enumerate(network.layers):
        attention, feed_forward = (f"graphtransformer.layers.{k}.{branch}" for branch in (0, 1))
        take(layer.attention.norm, f"{attention}.0.norm")
        take(layer.attention.to_q, f"{attention}.0.fn.to_q")
        take(layer.attention.to_k, f"{attention}.0.fn.to_kv", 0)
        take(layer.attention.to_v, f"{attention}.0.fn.to_kv", 1)
        take(layer.attention.edges_to_kv, f"{attention}.0.fn.edges_to_kv")
        take(layer.attention.to_out, f"{attention}.0.fn.to_out")
        take(layer.attention_gate.proj, f"{attention}.1.proj.0")
        take(layer.feed_forward.norm, f"{feed_forward}.0.norm")
        take(layer.feed_forward.up, f"{feed_forward}.0.fn.0")
        take(layer.feed_forward.down, f"{feed_forward}.0.fn.2")
        take(layer.feed_forward_gate.proj, f"{feed_forward}.1.proj.0")
    return jax.tree.map(lambda leaf: jnp.asarray(target[id(leaf)]), network)


def make_batch(ours: Any, n_beads: int) -> Batch:
    """Gaussian frames of the data's spread, noised at random levels of the schedule."""
    rng, schedule = np.random.default_rng(SEED), ours.schedule
    t = rng.integers(0, schedule.steps - 1, BATCH)
    centred = lambda y: y - y.mean(axis=1, keepdims=True)
    x0, noise = (centred(rng.normal(size=(BATCH, n_beads, 3))) for _ in range(2))
    return Batch(schedule.std * x0 + schedule.sigmas[t][:, None, None] * noise, noise, t)


def published_inputs(theirs: Any, ours: Any, batch: Batch) -> Callable[[], Any]:
    """The published network's noise estimate of a batch, as a function without arguments."""
    torch = import_module("torch")
    sigma = ours.schedule.sigmas[batch.t][:, None, None]
    x_vp = torch.tensor(batch.x / np.hypot(ours.schedule.std, sigma), dtype=torch.float32)
    t = torch.tensor(batch.t / ours.schedule.steps, dtype=torch.float32)
    one_hot = torch.eye(batch.x.shape[1])
    return lambda: theirs(x_vp, one_hot, t)


def noise_estimate(ours: AbstractScore, x: jax.Array, sigma: jax.Array) -> jax.Array:
    """eps = -sigma score of every frame of a batch."""
    return jax.vmap(lambda x, sigma: -sigma * ours.score(x, sigma))(x, sigma)


def largest_difference(theirs: Any, ours: Any, batch: Batch) -> float:
    """Of the two noise estimates, both centred, over a batch of random levels."""
    published = np.asarray(
        jax.vmap(centre)(jnp.asarray(published_inputs(theirs.eval(), ours, batch)().detach().numpy()))
    )
    sigma = jnp.asarray(ours.schedule.sigmas[batch.t], jnp.float32)
    return float(
        np.abs(eqx.filter_jit(noise_estimate)(ours, jnp.asarray(batch.x, jnp.float32), sigma) - published).max()
    )


def compare_speed(theirs: Any, ours: Any, batch: Batch) -> dict[str, tuple[float, float]]:
    """Median seconds (theirs, ours) of a force evaluation at one level and of a training step at mixed levels."""
    level = Batch(batch.x, batch.noise, np.full(BATCH, 14))
    x, sigma = jnp.asarray(batch.x, jnp.float32), jnp.asarray(ours.schedule.sigmas[14], jnp.float32)
    forces = eqx.filter_jit(lambda model: jax.vmap(model.score, (0, None))(x, sigma))
    evaluate = published_inputs(theirs, ours, level)
    theirs.eval()
    force = alternate(evaluate, lambda: forces(ours).block_until_ready(), repeats=15)
    theirs.train()
    training = alternate(published_step(theirs, ours, batch), our_step(ours, batch), repeats=5)
    return {"force evaluation": force, "training step": training}


def published_step(theirs: Any, ours: Any, batch: Batch) -> Callable[[], Any]:
    """One step of AdamW on the denoising loss, as the published trainer takes it."""
    torch = import_module("torch")
    optimiser = torch.optim.AdamW(theirs.parameters(), lr=3e-4, weight_decay=1e-12)
    estimate, noise = published_inputs(theirs, ours, batch), torch.tensor(batch.noise, dtype=torch.float32)

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(estimate(), noise).backward()
        optimiser.step()

    return step


def our_step(ours: Any, batch: Batch) -> Callable[[], Any]:
    """The same step of ours."""
    optimiser, noise = optax.adamw(3e-4, weight_decay=1e-12), jnp.asarray(batch.noise, jnp.float32)
    x, sigma = jnp.asarray(batch.x, jnp.float32), jnp.asarray(ours.schedule.sigmas[batch.t], jnp.float32)
    state = optimiser.init(eqx.filter(ours, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, state):
        gradient = eqx.filter_grad(lambda m: jnp.mean((noise_estimate(m, x, sigma) - noise) ** 2))(model)
        updates, state = optimiser.update(gradient, state, model)
        return eqx.apply_updates(model, updates), state

    return lambda: jax.block_until_ready(step(ours, state))


def alternate(first: Callable[[], Any], second: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median seconds of both, called in turns after one call each that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for k in range(repeats + 1):
        for function, seconds in zip((first, second), times, strict=True):
            start = time.perf_counter()
            function()
            if k > 0:
                seconds.append(time.perf_counter() - start)
    return median(times[0]), median(times[1])


if __name__ == "__main__":
    main()
