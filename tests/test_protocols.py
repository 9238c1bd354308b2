"""What every model and every sampler must do; adding one needs no test of its own here."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import N, config, frames, in_double, untrained

from scorefield.config import Config
from scorefield.diffusion import denoising_loss
from scorefield.energy.base import AbstractEnergy
from scorefield.energy.build import MODELS, empty_model, model_shape, training_levels
from scorefield.model import load_model
from scorefield.noise import karras_levels
from scorefield.optimise import trainable
from scorefield.samplers import SAMPLERS
from scorefield.systems import load_system
from scorefield.tensors import load_tree, save_tree

SIGMA = 0.02


@eqx.filter_jit
def outputs(model, x, sigma):
    """All that a model offers, of many frames: scores, mean forces and, of an energy, U and the potential."""

    def one(x):
        energy = (model(x, sigma), model.potential(x, sigma)) if isinstance(model, AbstractEnergy) else ()
        return model.score(x, sigma), model.mean_force(x, sigma), *energy

    return jax.vmap(one)(x)


@pytest.mark.parametrize("kind", MODELS)
def test_one_frame_in_finite_single_precision_numbers_of_the_right_shape_out(kind):
    x = jnp.asarray(frames()[:8])
    vectors, scalars = (values := outputs(untrained(kind), x, jnp.float32(SIGMA)))[:2], values[2:]
    assert all(v.shape == (8, N, 3) for v in vectors)
    assert all(u.shape == (8,) for u in scalars)
    assert all(v.dtype == jnp.float32 and np.isfinite(v).all() for v in values)


ERROR_KT = 1e-3  # of an energy in single precision: far below what frames of one basin differ by


@pytest.mark.parametrize("kind", MODELS)
def test_single_precision_is_near_to_double(kind):
    """Energies within `ERROR_KT`, forces within 1e-4 of their size."""
    model, x = untrained(kind), frames()[:64]
    single = [np.asarray(v) for v in outputs(model, jnp.asarray(x), jnp.float32(SIGMA))]
    with jax.enable_x64(True):
        double = [np.asarray(v) for v in outputs(in_double(model), jnp.asarray(x, float), jnp.asarray(SIGMA))]
    assert {v.dtype for v in single} == {np.dtype(np.float32)}
    assert {v.dtype for v in double} == {np.dtype(np.float64)}
    for a, b in zip(single[:2], double[:2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.sqrt(np.mean(b**2)))
    for a, b in zip(single[2:], double[2:], strict=True):
        np.testing.assert_allclose(a, b, atol=ERROR_KT)


def test_a_trained_energy_is_near_to_double_precision():
    """The built-in model, as a simulation evaluates it."""
    model, x = load_model("ala2"), np.asarray(load_system("ala2").split("test").thin(200).positions)
    evaluate = eqx.filter_jit(jax.vmap(lambda score, x, level: score.potential(x, level), (None, 0, None)))
    single = np.asarray(evaluate(model.score, jnp.asarray(x), jnp.float32(model.level)))
    with jax.enable_x64(True):
        double = np.asarray(evaluate(in_double(model.score), jnp.asarray(x, float), jnp.asarray(model.level)))
    assert np.std(double) > 1
    np.testing.assert_allclose(single, double, atol=0.1 * ERROR_KT)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_does_not_see_where_the_molecule_is(kind):
    x = jnp.asarray(frames()[:8])
    shift = jnp.array([[[1.0, -2.0, 0.5]]])
    here, there = (outputs(untrained(kind), y, jnp.float32(SIGMA))[0] for y in (x, x + shift))
    np.testing.assert_allclose(there, here, atol=1e-3 * np.abs(here).max())


@pytest.mark.parametrize("kind", MODELS)
def test_an_energys_score_is_its_gradient_and_a_gradient_has_a_symmetric_jacobian(kind):
    """By central differences in double precision."""
    model, h = untrained(kind), 1e-6
    with jax.enable_x64(True):
        steps = np.eye(3 * N).reshape(3 * N, N, 3)
        x = frames()[0] + h * np.concatenate([steps, -steps, 0 * steps[:1]])
        score, force, *energies = (np.asarray(v) for v in outputs(in_double(model), jnp.asarray(x), jnp.asarray(SIGMA)))
    slope = lambda y: (y[: 3 * N] - y[3 * N : 6 * N]) / (2 * h)
    jacobian = slope(score).reshape(3 * N, 3 * N)
    asymmetry = np.abs(jacobian - jacobian.T).max() / np.abs(jacobian).max()
    if not energies:
        assert asymmetry > 0.01
        return
    assert asymmetry < 1e-6
    for vector, u in zip((score[-1], force[-1]), energies, strict=True):
        np.testing.assert_allclose(vector, -slope(u).reshape(N, 3), atol=1e-6 * np.abs(vector).max())


@pytest.mark.parametrize("kind", MODELS)
def test_the_loss_has_a_finite_gradient_in_all_that_is_trained_and_only_there(kind):
    model, levels = untrained(kind), training_levels(config(kind), float(np.std(frames())))
    weights, fixed = eqx.partition(model, trainable(model))

    @jax.jit
    @jax.grad
    def gradient(weights, x, key):
        loss = lambda x, key: denoising_loss(eqx.combine(weights, fixed), x, levels.sample(key), key)
        return jax.vmap(loss)(x, jax.random.split(key, len(x))).mean()

    leaves = jax.tree.leaves(gradient(weights, jnp.asarray(frames()[:64]), jax.random.key(0)))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert sum(float(jnp.abs(leaf).sum()) > 0 for leaf in leaves) > len(leaves) / 2
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_file_gives_back_the_model_bit_for_bit(kind, tmp_path):
    model = untrained(kind)
    save_tree(tmp_path / "model.safetensors", model)
    empty = empty_model(config(kind), N, model_shape(model))
    loaded = load_tree(tmp_path / "model.safetensors", empty)
    assert jax.tree.structure(loaded) == jax.tree.structure(model)
    for mine, read in zip(jax.tree.leaves(model), jax.tree.leaves(loaded), strict=True):
        assert mine.dtype == read.dtype
        np.testing.assert_array_equal(mine, read)


PAIRS = {(Config().sampling.sampler, kind) for kind in MODELS} | {(sampler, "invariant") for sampler in SAMPLERS}


@pytest.mark.parametrize(("sampler", "kind"), sorted(PAIRS))
def test_samplers_draw_centred_finite_frames(sampler, kind):
    """Every model by the default sampler, and one by every sampler."""
    sample = lambda model, key: SAMPLERS[sampler](model, key, N, karras_levels(1.0, 0.002, 4))
    keys = jax.random.split(jax.random.key(0), 8)
    x = eqx.filter_jit(lambda model: jax.vmap(lambda key: sample(model, key))(keys))(untrained(kind))
    assert x.shape == (8, N, 3)
    assert x.dtype == jnp.float32
    assert np.isfinite(x).all()
    np.testing.assert_allclose(x.mean(axis=1), 0, atol=1e-5)
