"""The paper's network: the factorised attention against the plain formula, and what its U and score must satisfy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorefield.energy.graph_transformer import GraphTransformer, GraphTransformerEnergy, GraphTransformerScore
from scorefield.geometry import centre

N, STD, HEADS, WIDTH = 6, 0.2, 8, 64


def plain_network(network: GraphTransformer, x_vp, time):
    """The published formula, edge by edge: an (n, n, 512) array of edge vectors added to all keys and values."""
    n = len(x_vp)
    split = lambda y: y.reshape(*y.shape[:-1], HEADS, WIDTH)
    nodes = jnp.concatenate([jnp.eye(n), jnp.full((n, 1), time)], axis=1)
    h = jax.vmap(network.node_embedding)(nodes)
    difference = x_vp[None, :, :] - x_vp[:, None, :]  # [i, j] = x_j - x_i
    edges = jax.vmap(jax.vmap(network.edge_embedding))(difference)
    for layer in network.layers:
        attention, y = layer.attention, jax.vmap(layer.attention.norm)(h)
        q, k, v = (split(jax.vmap(f)(y)) for f in (attention.to_q, attention.to_k, attention.to_v))
        e = split(jax.vmap(jax.vmap(attention.edges_to_kv))(edges))
        a = jax.nn.softmax(jnp.einsum("ihd,ijhd->hij", q, k[None] + e) / 8.0, axis=-1)
        out = jnp.einsum("hij,ijhd->ihd", a, v[None] + e).reshape(n, -1)
        h = plain_gate(layer.attention_gate, jax.vmap(attention.to_out)(out), h)
        y = jax.vmap(layer.feed_forward.up)(jax.vmap(layer.feed_forward.norm)(h))
        gelu = y * (1 + jax.scipy.special.erf(y / np.sqrt(2))) / 2
        h = plain_gate(layer.feed_forward_gate, jax.vmap(layer.feed_forward.down)(gelu), h)
    return jax.vmap(network.decoder)(h)


def plain_gate(gate, y, h):
    g = jax.nn.sigmoid(jax.vmap(gate.proj)(jnp.concatenate([y, h, y - h], axis=1)))
    return y * g + h * (1 - g)


def energy() -> GraphTransformerEnergy:
    return GraphTransformerEnergy.create(N, STD, 16, 2, jax.random.key(0))


def positions() -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).normal(size=(N, 3)) * STD)


@eqx.filter_jit
def output_and_gradient(evaluate, network, x):
    return evaluate(network, x, 0.02), jax.grad(lambda y: evaluate(network, y, 0.02).sum())(x)


def test_factorised_attention_equals_the_plain_formula():
    with jax.enable_x64(True):
        network, x = GraphTransformer.create(N, 16, 2, 3, jax.random.key(0)), positions() / STD
        exact = output_and_gradient(plain_network, network, x)
        for ours, plain in zip(output_and_gradient(GraphTransformer.__call__, network, x), exact, strict=True):
            np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-10)
    network, x = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float32), (network, x))
    for ours, plain in zip(output_and_gradient(GraphTransformer.__call__, network, x), exact, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=0, atol=2e-6)


@eqx.filter_jit
def score(model, x, sigma):
    return model.score(x, sigma)


def test_sigma_times_the_gradient_of_u_is_the_networks_noise_estimate():
    """sigma dU/dx = eps = -dE/dx_vp at x_vp = sqrt(abar) x / std and time t / 1000."""
    plain_gradient = eqx.filter_jit(lambda m, y, time: jax.grad(lambda y: plain_network(m, y, time).sum())(y))
    with jax.enable_x64(True):
        model = energy()
        for t in (0, 20, 500, 999):
            sigma = jnp.asarray(model.schedule.sigmas[t])
            abar = 1 / (1 + (sigma / STD) ** 2)
            x = positions() / STD * jnp.hypot(STD, sigma)
            eps = -plain_gradient(model.network, jnp.sqrt(abar) * centre(x) / STD, jnp.asarray(t / 1000))
            np.testing.assert_allclose(-sigma * score(model, x, sigma), eps, rtol=0, atol=1e-9)


@pytest.mark.parametrize("create", [GraphTransformerEnergy.create, GraphTransformerScore.create])
def test_translation_leaves_the_score_unchanged_and_nothing_pulls_on_the_centre(create):
    with jax.enable_x64(True):
        model, x, sigma = create(N, STD, 16, 2, jax.random.key(0)), positions(), jnp.asarray(0.01)
        y = np.asarray(score(model, x, sigma))
        np.testing.assert_allclose(score(model, x + 1.5, sigma), y, atol=1e-10 * np.abs(y).max())
        np.testing.assert_allclose(y.sum(axis=0), 0, atol=1e-10 * np.abs(y).max())


@pytest.mark.parametrize(
    ("create", "conservative"), [(GraphTransformerEnergy.create, True), (GraphTransformerScore.create, False)]
)
def test_the_energy_is_conservative_and_the_direct_network_is_not(create, conservative):
    """A gradient has a symmetric Jacobian, here by central differences."""
    with jax.enable_x64(True):
        model, x, h = create(N, STD, 16, 2, jax.random.key(0)), np.asarray(positions()), 1e-5
        steps = h * np.eye(3 * N).reshape(3 * N, N, 3)
        sigma = jnp.asarray(0.05)
        shifted = lambda step: np.asarray(score(model, jnp.asarray(x + step), sigma)).ravel()
        jacobian = np.array([(shifted(step) - shifted(-step)) / (2 * h) for step in steps])
    asymmetry = np.abs(jacobian - jacobian.T).max() / np.abs(jacobian).max()
    assert (asymmetry < 1e-6) if conservative else (asymmetry > 0.1)


def test_no_noise_level_or_collapse_of_beads_gives_a_nan():
    energy_model, direct = energy(), GraphTransformerScore.create(N, STD, 16, 2, jax.random.key(0))

    @eqx.filter_jit
    def evaluate(x, sigma):
        return jax.value_and_grad(energy_model, argnums=(0, 1))(x, sigma), direct.score(x, sigma)

    for sigma in (1e-42, 1e-30, 1e-6, 1e-2, 1.0, 1e4, 1e30):
        for x in (np.zeros((N, 3)), np.ones((N, 3)), positions(), 1e3 * np.eye(N, 3)):
            values = evaluate(jnp.asarray(x, jnp.float32), jnp.float32(sigma))
            assert all(np.isfinite(v).all() for v in jax.tree.leaves(values)), sigma


def test_below_the_first_level_the_score_is_that_at_the_first():
    with jax.enable_x64(True):
        model, x = energy(), positions()
        first = jnp.asarray(model.schedule.sigmas[0])
        np.testing.assert_array_equal(score(model, x, first / 100), score(model, x, first))


def test_initialisation_is_torchs_default():
    network = GraphTransformer.create(N, 64, 1, 1, jax.random.key(0))
    layer = network.layers[0]
    for linear in (layer.attention.to_q, layer.attention.to_out, layer.feed_forward.up, layer.feed_forward.down):
        bound = 1 / np.sqrt(linear.in_features)
        for parameter in (np.asarray(linear.weight), np.asarray(linear.bias)):
            assert 0.9 * bound < np.abs(parameter).max() <= bound
            assert np.std(parameter) == pytest.approx(bound / np.sqrt(3), rel=0.2)
    np.testing.assert_array_equal(layer.attention.norm.weight, 1)
    skeleton = eqx.filter_eval_shape(GraphTransformer, N, 64, 1, 1, jax.random.key(0))
    assert jax.tree.structure(network) == jax.tree.structure(skeleton)
