"""The graph transformer of arXiv 2302.00600: conservative (an energy) and direct (a vector).

x       (n_beads, 3) nm, one frame;  h (n_beads, hidden) node features;  e_ij edge features, here x_j - x_i alone
r       sigma / std;  x_vp = x / (std sqrt(1 + r^2)), the variance-preserving coordinates the network sees
eps     its estimate of the noise: -dE/dx_vp of its summed output E (conservative), or its output itself (direct)

With x_vp = sqrt(abar) x / std and sigma = std sqrt((1 - abar) / abar), U = -E / sqrt(1 - abar) is the energy with
sigma dU/dx = eps, and sqrt(1 - abar) = r / sqrt(1 + r^2); the score is -eps / sigma either way.

The published attention adds an edge vector W2 (W1 e_ij + b1) + b2 = M (x_j - x_i) + b to every key and value, an array
of (n, n, 512). Here it is never formed: M x_i and b shift all logits of bead i alike and drop out of the softmax a_ij:

    logits_ij = q_i . k_j + (M^T q_i) . x_j,     out_i = sum_j a_ij v_j + M (sum_j a_ij x_j - x_i) + b.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..geometry import centre
from ..noise import CosineSchedule
from .base import AbstractEnergy, AbstractScore

_HEADS, _HEAD_WIDTH = 8, 64
_INNER = _HEADS * _HEAD_WIDTH


class Attention(eqx.Module):
    """Multi-head attention over beads whose keys and values carry the edge vector M (x_j - x_i) + b."""

    norm: eqx.nn.LayerNorm
    to_q: eqx.nn.Linear
    to_k: eqx.nn.Linear
    to_v: eqx.nn.Linear
    edges_to_kv: eqx.nn.Linear
    to_out: eqx.nn.Linear

    def __init__(self, hidden: int, key: PRNGKeyArray):
        keys = jax.random.split(key, 5)
        self.norm = eqx.nn.LayerNorm(hidden)
        self.to_q, self.to_k, self.to_v, self.edges_to_kv = (eqx.nn.Linear(hidden, _INNER, key=k) for k in keys[:4])
        self.to_out = eqx.nn.Linear(_INNER, hidden, key=keys[4])

    def __call__(
        self, h: Float[Array, "n hidden"], x: Float[Array, "n 3"], edge_embedding: eqx.nn.Linear
    ) -> Float[Array, "n hidden"]:
        """The attention's output, of normalised `h` and centred coordinates `x`."""
        h = jax.vmap(self.norm)(h)
        q, k, v = (_heads(jax.vmap(linear)(h)) for linear in (self.to_q, self.to_k, self.to_v))
        q = q / jnp.sqrt(float(_HEAD_WIDTH))
        M = (self.edges_to_kv.weight @ edge_embedding.weight).reshape(_HEADS, _HEAD_WIDTH, 3)
        b = self.edges_to_kv(_bias(edge_embedding))
        logits = jnp.einsum("ihd,jhd->hij", q, k) + jnp.einsum("ihd,hdc,jc->hij", q, M, x)
        a = jax.nn.softmax(logits, axis=-1)
        # Values are projected before they are mixed: where h does not depend on x (first layer), nothing is left but
        # the mixing once `vmap` runs over x alone.
        W = self.to_out.weight.reshape(-1, _HEADS, _HEAD_WIDTH)
        values = jnp.einsum("jhd,ohd->hjo", v, W)
        shift = jnp.einsum("hij,jc->ihc", a, x) - x[:, None, :]
        edges = jnp.einsum("ihc,hco->io", shift, jnp.einsum("ohd,hdc->hco", W, M))
        return jnp.einsum("hij,hjo->io", a, values) + edges + self.to_out(b)[None, :]


class FeedForward(eqx.Module):
    """A bead-wise network, four times as wide inside, with the exact GELU."""

    norm: eqx.nn.LayerNorm
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, hidden: int, key: PRNGKeyArray):
        first, second = jax.random.split(key)
        self.norm = eqx.nn.LayerNorm(hidden)
        self.up = eqx.nn.Linear(hidden, 4 * hidden, key=first)
        self.down = eqx.nn.Linear(4 * hidden, hidden, key=second)

    def __call__(self, h: Float[Array, "n hidden"]) -> Float[Array, "n hidden"]:
        """The network of normalised `h`."""
        inner = jax.nn.gelu(jax.vmap(self.up)(jax.vmap(self.norm)(h)), approximate=False)
        return jax.vmap(self.down)(inner)


class Gate(eqx.Module):
    """A gated residual: g y + (1 - g) h with g = sigmoid(w . [y, h, y - h]) for every bead."""

    proj: eqx.nn.Linear

    def __init__(self, hidden: int, key: PRNGKeyArray):
        self.proj = eqx.nn.Linear(3 * hidden, 1, use_bias=False, key=key)

    def __call__(self, y: Float[Array, "n hidden"], h: Float[Array, "n hidden"]) -> Float[Array, "n hidden"]:
        """`h` moved towards the branch's output `y`."""
        w_y, w_h, w_difference = self.proj.weight.reshape(3, -1)
        g = jax.nn.sigmoid(y @ (w_y + w_difference) + h @ (w_h - w_difference))[:, None]
        return g * y + (1 - g) * h


class Layer(eqx.Module):
    """Attention and feed-forward, each behind a gated residual."""

    attention: Attention
    attention_gate: Gate
    feed_forward: FeedForward
    feed_forward_gate: Gate

    def __init__(self, hidden: int, key: PRNGKeyArray):
        keys = jax.random.split(key, 4)
        self.attention, self.feed_forward = Attention(hidden, keys[0]), FeedForward(hidden, keys[1])
        self.attention_gate, self.feed_forward_gate = Gate(hidden, keys[2]), Gate(hidden, keys[3])

    def __call__(
        self, h: Float[Array, "n hidden"], x: Float[Array, "n 3"], edge_embedding: eqx.nn.Linear
    ) -> Float[Array, "n hidden"]:
        """The next layer's node features."""
        h = self.attention_gate(self.attention(h, x, edge_embedding), h)
        return self.feed_forward_gate(self.feed_forward(h), h)


class GraphTransformer(eqx.Module):
    """The paper's network on coordinate differences."""

    node_embedding: eqx.nn.Linear
    edge_embedding: eqx.nn.Linear
    layers: tuple[Layer, ...]
    decoder: eqx.nn.Linear

    def __init__(self, n_beads: int, hidden: int, layers: int, out: int, key: PRNGKeyArray):
        keys = jax.random.split(key, 3 + layers)
        self.node_embedding = eqx.nn.Linear(n_beads + 1, hidden, key=keys[0])
        self.edge_embedding = eqx.nn.Linear(3, hidden, key=keys[1])
        self.decoder = eqx.nn.Linear(hidden, out, key=keys[2])
        self.layers = tuple(Layer(hidden, k) for k in keys[3:])

    @staticmethod
    def create(n_beads: int, hidden: int, layers: int, out: int, key: PRNGKeyArray) -> "GraphTransformer":
        """An untrained network with torch's default values: linear layers uniform in +-1/sqrt(inputs).

        The distribution of `__init__`, from one stream of numbers: compiling a generator for each shape takes seconds.
        """
        skeleton = eqx.filter_eval_shape(GraphTransformer, n_beads, hidden, layers, out, key)
        size = sum(leaf.size for leaf in jax.tree.leaves(skeleton))
        numbers, start = np.asarray(jax.random.uniform(key, (size,), minval=-1.0, maxval=1.0)), 0

        def fill(module):
            nonlocal start
            if isinstance(module, eqx.nn.LayerNorm):
                return eqx.nn.LayerNorm(module.shape)
            parameters, tree = jax.tree.flatten(module)
            bound, filled = 1 / math.sqrt(module.in_features), []
            for p in parameters:
                filled.append(jnp.asarray(bound * numbers[start : start + p.size].reshape(p.shape)))
                start += p.size
            return jax.tree.unflatten(tree, filled)

        return jax.tree.map(fill, skeleton, is_leaf=lambda m: isinstance(m, eqx.nn.Linear | eqx.nn.LayerNorm))

    def __call__(self, x_vp: Float[Array, "n 3"], time: Float[Array, ""]) -> Float[Array, "n out"]:
        """The decoder's output for every bead; `time` is t / T in [0, 1)."""
        # A one-hot bead index times a matrix is the matrix itself.
        one_hot, per_time = self.node_embedding.weight[:, :-1], self.node_embedding.weight[:, -1]
        h = one_hot.T + (per_time * time + _bias(self.node_embedding))[None, :]
        for layer in self.layers:
            h = layer(h, x_vp, self.edge_embedding)
        return jax.vmap(self.decoder)(h)


class GraphTransformerEnergy(AbstractEnergy):
    """U(x, sigma) of the paper's conservative network, at any noise level.

    Between the schedule's levels the time input is interpolated; above the last it stays there; below the first the
    energy is that of the first, the least noise it was trained at.
    """

    network: GraphTransformer
    schedule: CosineSchedule = eqx.field(static=True)

    @staticmethod
    def create(
        n_beads: int, std: float, hidden: int, layers: int, key: PRNGKeyArray, levels: int = 1000
    ) -> "GraphTransformerEnergy":
        """An untrained energy; `std` of the data in nm, `levels` in the cosine schedule."""
        network = GraphTransformer.create(n_beads, hidden, layers, 1, key)
        return GraphTransformerEnergy(network, CosineSchedule(std, levels))

    def __call__(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """U in kT, up to a function of sigma alone."""
        sigma = jnp.maximum(sigma, self.schedule.sigmas[0])
        noise = sigma / self.schedule.std
        return -jnp.sum(_evaluate(self.network, self.schedule, x, sigma)) * (jnp.hypot(1.0, noise) / noise)


class GraphTransformerScore(AbstractScore):
    """The score of the paper's direct network: not the gradient of anything, the ablation of its conservative one."""

    network: GraphTransformer
    schedule: CosineSchedule = eqx.field(static=True)

    @staticmethod
    def create(
        n_beads: int, std: float, hidden: int, layers: int, key: PRNGKeyArray, levels: int = 1000
    ) -> "GraphTransformerScore":
        """An untrained score; `std` of the data in nm, `levels` in the cosine schedule."""
        network = GraphTransformer.create(n_beads, hidden, layers, 3, key)
        return GraphTransformerScore(network, CosineSchedule(std, levels))

    def score(self, x: Float[Array, "n 3"], sigma: Float[Array, ""]) -> Float[Array, "n 3"]:
        """-eps / sigma, centred, in 1/nm; below the schedule's first level, the score at that level."""
        sigma = jnp.maximum(sigma, self.schedule.sigmas[0])
        return -centre(_evaluate(self.network, self.schedule, x, sigma)) / sigma

    def mean_force(self, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Float[Array, "n 3"]:
        """The score at `level`, in 1/nm."""
        return self.score(x, level)


def _evaluate(
    network: GraphTransformer, schedule: CosineSchedule, x: Float[Array, "n 3"], sigma: Float[Array, ""]
) -> Float[Array, "n out"]:
    x_vp = centre(x) / (schedule.std * jnp.hypot(1.0, sigma / schedule.std))
    return network(x_vp, schedule.index(sigma) / schedule.steps)


def _heads(y: Float[Array, "n inner"]) -> Float[Array, "n heads width"]:
    return y.reshape(-1, _HEADS, _HEAD_WIDTH)


def _bias(linear: eqx.nn.Linear) -> Float[Array, " out"]:
    assert linear.bias is not None
    return linear.bias
