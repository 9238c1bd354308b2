"""The published network (https://github.com/microsoft/two-for-one-diffusion, `models/` and `utils.py`), to run beside ours.

Needs a checkout and an environment with torch and einops beside scorefield; neither is a dependency of scorefield.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scorefield.config import GraphTransformerSettings
from scorefield.energy.graph_transformer import GraphTransformer

WHERE = "https://github.com/microsoft/two-for-one-diffusion"


@dataclass(frozen=True)
class Batch:
    """Noised frames (b, n, 3) in nm, their noise, and their diffusion index."""

    x: np.ndarray
    noise: np.ndarray
    t: np.ndarray


def published_network(
    checkout: Path, settings: GraphTransformerSettings, n_beads: int, conservative: bool = True
) -> Any:
    """The published network of these settings with its own initial weights, on torch's default device."""
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    network = import_module("models.graph_transformer").GraphTransformer
    made = network(
        n_beads,
        settings.hidden,
        n_layers=settings.layers,
        use_intrinsic_coords=True,
        use_abs_coords=False,
        use_distances=False,
        conservative=conservative,
    )
    return made.to(import_module("torch").get_default_device())  # of itself it moves to the processor


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


def published_inputs(theirs: Any, ours: Any, batch: Batch) -> Callable[[], Any]:
    """The published network's noise estimate of a batch, as a function without arguments; `ours` says its schedule."""
    torch = import_module("torch")
    sigma = ours.schedule.sigmas[batch.t][:, None, None]
    x_vp = torch.tensor(batch.x / np.hypot(ours.schedule.std, sigma), dtype=torch.float32)
    t = torch.tensor(batch.t / ours.schedule.steps, dtype=torch.float32)
    one_hot = torch.eye(batch.x.shape[1])
    return lambda: theirs(x_vp, one_hot, t)


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


def langevin(theirs: Any, ours: Any, x: np.ndarray, steps: int) -> Callable[[], Any]:
    """`steps` of BAOAB at 2 fs, all replicas in one batch, forces of the published network at the published level."""
    torch = import_module("torch")
    std, level = float(ours.schedule.std), 5
    sigma = float(ours.schedule.sigmas[level])
    scale, one_hot = float(np.hypot(std, sigma)), torch.eye(x.shape[1])
    state = {"x": torch.tensor(x, dtype=torch.float32), "v": torch.zeros(x.shape)}
    t = torch.full((len(x),), level / ours.schedule.steps)
    dt, mass, kT, c = 0.002, 12.0, 2.494, float(np.exp(-0.002))
    kick = (1 - c * c) ** 0.5 * (kT / mass) ** 0.5

    def force(x: Any) -> Any:
        return -kT / sigma * theirs(x / scale, one_hot, t).detach()

    def run() -> None:
        x, v, f = state["x"], state["v"], force(state["x"])
        for _ in range(steps):
            v = v + 0.5 * dt * f / mass
            x = x + 0.5 * dt * v
            v = c * v + kick * torch.randn_like(v)
            x = (x + 0.5 * dt * v).detach()
            f = force(x)
            v = v + 0.5 * dt * f / mass
        # the untrained network's walk is left out: every call starts where the first one did

    return run


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
