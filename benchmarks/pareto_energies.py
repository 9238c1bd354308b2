"""The energies that `pareto.py` compares: those of the package in several sizes, and networks that it does not have."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorefield.config import BeadSettings, Config, config_from, load_config
from scorefield.energy.base import AbstractScore
from scorefield.energy.build import fit_model, resolve, usual
from scorefield.energy.invariant import InvariantEnergy
from scorefield.energy.invariants import ALL_QUADS_UP_TO
from scorefield.energy.networks import AbstractNetwork, ResidualMLP, lecun
from scorefield.geometry import all_pairs, safe_norm
from scorefield.molecule import Molecule

Maker = Callable[[int, Molecule, Any, Any], tuple[AbstractScore, Config]]


def packaged(energy: dict[str, Any], **training: Any) -> Maker:
    """An energy of the package, by its section of the configuration; changes of the training's settings.

    Beyond a few beads all are trained in the small batches of networks that share their weights.
    """

    def make(seed: int, molecule: Molecule, x: Any, key: Any) -> tuple[AbstractScore, Config]:
        many = usual(BeadSettings(), molecule.n_beads) if molecule.n_beads > ALL_QUADS_UP_TO else {}
        config = config_from({"seed": seed, "energy": energy, "training": many | training}, "energy")
        config = resolve(config, molecule, x)
        return fit_model(config, molecule, x, key), config

    return make


def paper(seed: int, molecule: Molecule, x: Any, key: Any) -> tuple[AbstractScore, Config]:
    """The paper's network in our factorised form (the same function), noise and training as published."""
    name = "paper/alanine" if molecule.n_beads <= ALL_QUADS_UP_TO else "paper/bba"
    config = resolve(load_config(name).model_copy(update={"seed": seed}), molecule, x)
    return fit_model(config, molecule, x, key), config


class RadialMLP(AbstractNetwork):
    """An MLP on Gaussians of all distances, beside the standardised invariants."""

    mlp: ResidualMLP
    radii: tuple[float, ...] = eqx.field(static=True)

    def __call__(
        self, z: Float[Array, " k"], noise: Float[Array, " l"], x: Float[Array, "n 3"], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """See the class."""
        pairs, eye = all_pairs(len(x)), np.eye(len(x), dtype=np.float32)
        r = safe_norm(jnp.asarray(eye[pairs[:, 0]] - eye[pairs[:, 1]]) @ x) / jnp.sqrt(1 + sigma**2)
        width = self.radii[1] - self.radii[0]
        bumps = jnp.exp(-0.5 * ((r[:, None] - np.array(self.radii, np.float32)) / width) ** 2)
        return self.mlp(jnp.concatenate([z, bumps.reshape(-1)]), noise, x, sigma)


class EdgeTransformer(AbstractNetwork):
    """Attention among beads with a bias of each pair from Gaussians of its distance; invariant, sharing its weights."""

    kinds: Float[Array, "n h"]
    entry: eqx.nn.Linear
    attend: list[eqx.nn.Linear]
    edges: list[eqx.nn.Linear]
    back: list[eqx.nn.Linear]
    mlps: list[eqx.nn.Linear]
    out: Float[Array, " h"]
    heads: int = eqx.field(static=True)
    radii: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, n: int, n_in: int, width: int, layers: int, heads: int, radii: tuple[float, ...], key: Array):
        keys = jax.random.split(key, 3 + 4 * layers)
        make = lambda i, o, k: lecun(eqx.nn.Linear(i, o, key=k), k)
        self.kinds = jax.random.normal(keys[0], (n, width))
        self.entry = make(n_in, width, keys[1])
        self.attend = [make(width, 3 * width, k) for k in keys[3::4]]
        self.edges = [make(len(radii), heads, k) for k in keys[4::4]]
        self.back = [make(width, width, k) for k in keys[5::4]]
        self.mlps = [make(width, width, k) for k in keys[6::4]]
        self.out = jax.random.normal(keys[2], (width,)) / np.sqrt(width * n)
        self.heads, self.radii = heads, radii

    def __call__(
        self, z: Float[Array, " k"], noise: Float[Array, " l"], x: Float[Array, "n 3"], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """See the class."""
        n, width = self.kinds.shape
        apply = lambda layer, a: a @ layer.weight.T + layer.bias
        off = x[:, None] - x[None]
        u = jnp.sqrt(jnp.sum(off * off, axis=-1) + 1e-8) / jnp.sqrt(1 + sigma**2)
        spacing = self.radii[1] - self.radii[0]
        bumps = jnp.exp(-0.5 * ((u[..., None] - np.array(self.radii, np.float32)) / spacing) ** 2)
        h = self.kinds + apply(self.entry, jnp.concatenate([z, noise]))  # all invariants to every bead: chirality, too
        for attend, edge, back, mlp in zip(self.attend, self.edges, self.back, self.mlps, strict=True):
            q, k, v = jnp.moveaxis(apply(attend, h).reshape(n, 3, self.heads, -1), 1, 0)
            logits = jnp.einsum("ihd,jhd->hij", q, k) / np.sqrt(width / self.heads)
            weights = jax.nn.softmax(logits + jnp.moveaxis(apply(edge, bumps), -1, 0), axis=-1)
            h = h + apply(back, jnp.einsum("hij,jhd->ihd", weights, v).reshape(n, width))
            h = h + jax.nn.silu(apply(mlp, h))
        return jnp.sum(h @ self.out)


def other(network: Callable[[InvariantEnergy, int, Any], AbstractNetwork], **training: Any) -> Maker:
    """The invariant energy with another network, made from (energy, number of beads, key)."""

    def make(seed: int, molecule: Molecule, x: Any, key: Any) -> tuple[AbstractScore, Config]:
        energy, config = packaged({"kind": "invariant"}, **training)(seed, molecule, x, key)
        assert isinstance(energy, InvariantEnergy)
        return eqx.tree_at(lambda e: e.network, energy, network(energy, molecule.n_beads, key)), config

    return make


def radial(energy: InvariantEnergy, n: int, key: Any) -> AbstractNetwork:
    """An MLP of 128 x 3 on 8 Gaussians a distance."""
    radii = tuple(np.linspace(0.2, 2.0, 8).tolist())
    n_in = energy.invariants.number + len(radii) * n * (n - 1) // 2 + energy.n_noise_features
    return RadialMLP(ResidualMLP(n_in, 128, 3, key), radii)


def transformer(energy: InvariantEnergy, n: int, key: Any) -> AbstractNetwork:
    """Two layers of width 64 and 4 heads."""
    radii = tuple(np.linspace(0.2, 2.0, 16).tolist())
    return EdgeTransformer(n, energy.invariants.number + energy.n_noise_features, 64, 2, 4, radii, key)


ENERGIES: dict[str, Maker] = {
    "paper": paper,
    "invariant_128x3": packaged({"kind": "invariant"}),
    "invariant_256x3": packaged({"kind": "invariant", "width": 256}),
    "invariant_512x4": packaged({"kind": "invariant", "width": 512, "depth": 4}, learning_rate=2e-3),
    "radial_mlp_128x3": other(radial),
    "edge_transformer_64x2": other(transformer, learning_rate=2e-3),
    "chain_64x2": packaged({"kind": "beads", "interactions": 2, "channels": 0}),
    "chain_64x3": packaged({"kind": "beads", "interactions": 3, "channels": 0}),
    "beads_32x1": packaged({"kind": "beads", "width": 32, "interactions": 1, "channels": 8}),
    "beads_64x1": packaged({"kind": "beads", "width": 64, "interactions": 1, "channels": 8}),
    "beads_64x2": packaged({"kind": "beads", "width": 64, "interactions": 2, "channels": 8}),
    "beads_128x2": packaged({"kind": "beads", "width": 128, "interactions": 2, "channels": 8}, learning_rate=2e-3),
}
