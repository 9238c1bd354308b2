"""The paper's network against its published code: the same numbers from the same weights, and how much faster.

Needs a checkout of the published code (https://github.com/microsoft/two-for-one-diffusion; only `models/` and `utils.py`
are imported; `dff.py`) and an environment with torch and einops beside scorefield:

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
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from dff import Batch, alternate, published_inputs, published_network, published_step, with_weights
from record import bar, record

from scorefield.config import GraphTransformerSettings, load_config
from scorefield.energy.base import AbstractScore
from scorefield.energy.graph_transformer import GraphTransformerEnergy, GraphTransformerScore
from scorefield.geometry import centre

SEED, BATCH = 0, 100
BEADS = {"paper/alanine": 5, "paper/bba": 28}
FASTER = {"paper/alanine": 4.0, "paper/bba": 10.0}
ROUNDING = 2e-5  # largest |difference| of noise estimates, which are of order 1, that counts as float32 rounding
COMMAND = "python benchmarks/paper_network.py PATH_OF_CHECKOUT"


def main() -> None:
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
    settings = load_config(name).energy
    assert isinstance(settings, GraphTransformerSettings)
    assert settings.std is not None
    theirs = published_network(Path(sys.argv[1]), settings, n_beads, conservative)
    create = (GraphTransformerEnergy if conservative else GraphTransformerScore).create
    ours = create(n_beads, settings.std, settings.hidden, settings.layers, jax.random.key(SEED))
    network = with_weights(ours.network, {k: v.numpy() for k, v in theirs.state_dict().items()})
    return theirs, eqx.tree_at(lambda m: m.network, ours, network)


def make_batch(ours: Any, n_beads: int) -> Batch:
    """Gaussian frames of the data's spread, noised at random levels of the schedule."""
    rng, schedule = np.random.default_rng(SEED), ours.schedule
    t = rng.integers(0, schedule.steps - 1, BATCH)
    centred = lambda y: y - y.mean(axis=1, keepdims=True)
    x0, noise = (centred(rng.normal(size=(BATCH, n_beads, 3))) for _ in range(2))
    return Batch(schedule.std * x0 + schedule.sigmas[t][:, None, None] * noise, noise, t)


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


if __name__ == "__main__":
    main()
