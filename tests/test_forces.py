"""Forces as labels: what their losses are least at, what a training learns from them, and what is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from commands import assert_refused, invoke
from test_diffusion import MODES, N_FRAMES, VARIANCES, N, frames, gaussian, losses

from scorefield.config import Training, config_from, load_config
from scorefield.data_parallel import DataParallel
from scorefield.dataset import load_dataset, write_dataset
from scorefield.diffusion import force_denoising_loss, force_matching_loss
from scorefield.energy.base import AbstractScore
from scorefield.errors import InputError
from scorefield.geometry import distances
from scorefield.labels import force_labels
from scorefield.model import load_model
from scorefield.noise import LogUniformMixture
from scorefield.optimise import Batch, start, training_block
from scorefield.simulate import sample
from scorefield.train import train
from scorefield.units import thermal_energy

NOISE = 30.0  # 1/nm, of the labels, beside a score of 10 to 50 along the modes


class Scaled(AbstractScore):
    """A Gaussian's score times a factor, which is all that is learned."""

    network: jax.Array

    def score(self, x, sigma):
        return self.network * gaussian().score(x, sigma)

    def mean_force(self, x, level):
        return self.score(x, level)


def labels() -> tuple[np.ndarray, float]:
    """Noisy scores of `frames` at sigma = 0, centred, and their root mean square over the degrees of freedom."""
    true = -np.einsum("kn,k,km,fmc->fnc", MODES, 1 / VARIANCES, MODES, frames())
    g = true + NOISE * np.random.default_rng(2).normal(size=true.shape)
    g = (g - g.mean(axis=1, keepdims=True)).astype(np.float32)
    return g, float(np.sqrt((g**2).mean() * N / (N - 1)))


@jax.jit
def force_losses(factor, x, g, sigma, rms):
    """Denoising with forces, and force matching, of every frame."""
    keys = jax.random.split(jax.random.key(0), N_FRAMES)
    both = jax.vmap(lambda x, g, key: force_denoising_loss(Scaled(factor), x, g, sigma, key, rms))(x, g, keys)
    return both, jax.vmap(lambda x, g: force_matching_loss(Scaled(factor), x, g, rms))(x, g)


def of_factor(factor, sigma):
    g, rms = labels()
    found = force_losses(jnp.float32(factor), jnp.asarray(frames()), jnp.asarray(g), jnp.float32(sigma), rms)
    return [np.asarray(a, float) for a in found]


@pytest.mark.parametrize("sigma", [1e-5, 0.01, 0.03, 0.3])
def test_noisy_forces_have_the_true_score_as_their_mean_at_every_level(sigma):
    """The loss is a parabola in the factor, its least value at 1: at sigma = 0.01 to 0.03 forces and noise both count."""
    low, middle, high = (of_factor(f, sigma) for f in (0.0, 1.0, 2.0))
    for k in (0, 1) if sigma < 1e-3 else (0,):  # force matching knows the score at sigma = 0 alone
        slope, curvature = high[k] - low[k], high[k] + low[k] - 2 * middle[k]
        error = (slope - slope.mean()).std() / np.sqrt(N_FRAMES) / (2 * curvature.mean())
        assert slope.mean() / (2 * curvature.mean()) == pytest.approx(0, abs=5 * error)
        assert error < 0.02


def test_at_no_noise_it_is_force_matching_and_at_large_noise_denoising():
    both, matching = of_factor(1.0, 1e-6)
    np.testing.assert_allclose(both, matching, rtol=1e-3)
    denoising = np.asarray(losses(gaussian(), jnp.float32(1.0)))
    np.testing.assert_allclose(of_factor(1.0, 1.0)[0], denoising, rtol=0.02, atol=0.005)


@pytest.mark.parametrize("sigma", [0.005, 0.02])
def test_two_labels_are_better_than_either(sigma):
    """The loss of the true score, over its scale sigma^2 + 1/F^2, is the variance of the label."""
    g, rms = labels()
    both = of_factor(1.0, sigma)[0].mean() / (sigma**2 + 1 / rms**2)
    denoising = np.asarray(losses(gaussian(), jnp.float32(sigma))).mean() / sigma**2
    score = np.asarray(jax.vmap(gaussian().score, (0, None))(jnp.asarray(frames()), jnp.float32(sigma)))
    force = np.mean((g - score) ** 2)  # nearly: at x0, and not at x0 + sigma n
    assert both < min(denoising, force)


def forced():
    """The tiny dataset with forces of springs between all beads, noisy ones."""
    data = tiny.dataset()
    x = np.asarray(data.trajectory.positions)
    pairs = np.stack(np.triu_indices(4, 1), axis=1)
    springs = jax.vmap(jax.grad(lambda y: -20 * jnp.sum((distances(y, pairs) - 0.35) ** 2)))
    f = np.asarray(springs(jnp.asarray(x))) + np.random.default_rng(0).normal(size=x.shape)
    return replace(data, forces=f.astype(np.float32))


@pytest.mark.parametrize("objective", ["both", "forces"])
def test_a_training_finds_the_score_by_forces_turned_with_their_frames(objective):
    training = Training(
        objective=objective, contrast=0, steps=100, batch=100, learning_rate=0.1, warmup=0, ema=0, rotate=True
    )
    fit, fixed, optimiser = start(Scaled(jnp.zeros(())), training)
    g, rms = labels()
    batch = Batch(*(jnp.asarray(a[:10_000]).reshape(100, 100, N, 3) for a in (frames(), g)))
    advance = training_block(
        fixed, LogUniformMixture((0.002, 0.01, 0.02), (0.5, 0.5)), optimiser, training, DataParallel(100), rms
    )
    fit, loss = advance(batch, fit, jax.random.key(0))
    assert float(fit.weights.network) == pytest.approx(1, abs=0.1)
    assert float(loss) < 1.5


def test_force_matching_learns_the_forces_and_is_read_off_at_no_noise(tmp_path):
    config = tiny.config(objective="forces", contrast=0.0, learning_rate=0.01, steps=200)
    model = train(forced(), config, tmp_path / "run")
    assert model.training["validation_loss"] < 0.3  # of the mean square of held-out forces
    assert model.level == load_model(tmp_path / "run").level == 0
    with pytest.raises(InputError, match="--start DATASET"):
        sample(model, 10)


def test_a_checkpoint_is_of_the_same_forces_only():
    """A training goes on only with data of its fingerprint."""
    data = forced()
    assert data.forces is not None
    others = replace(data, forces=2 * data.forces), replace(data, forces=None)
    assert len({d.fingerprint() for d in (data, *others)}) == 3


def test_labels_are_forces_over_kt_without_a_translation():
    data = forced()
    found = force_labels(data, "validation")
    expected = data.forces[1000:1500] / thermal_energy(300.0)
    np.testing.assert_allclose(found.scores, expected - expected.mean(axis=1, keepdims=True), atol=1e-5)
    assert found.rms == pytest.approx(np.sqrt((found.scores**2).sum() / (500 * 9)), rel=1e-5)


def test_a_dataset_without_forces_is_refused_in_one_line(tmp_path, data_folder):
    for command in ("train", "run"):
        result = invoke(command, data_folder, "--forces", "-o", tmp_path / "out")
        assert_refused(result)
        assert "has no forces; prepare it with --forces" in result.err
        assert not (tmp_path / "out").exists()
    result = invoke("run", data_folder, "--config", "force_matching", "-o", tmp_path / "out")
    assert_refused(result)
    assert "cannot be sampled" in result.err


def test_forces_that_are_no_numbers_are_refused(tmp_path):
    data = forced()
    with pytest.raises(InputError, match="forces of all frames are 0"):
        force_labels(replace(data, forces=0 * data.forces), "train")
    broken = data.forces.copy()
    broken[3] = np.nan
    write_dataset(replace(data, forces=broken), tmp_path / "data")
    with pytest.raises(InputError, match=r"forces\.npy has forces that are not finite"):
        load_dataset(tmp_path / "data")


def test_configurations_of_forces():
    assert load_config("force_matching").training.objective == "forces"
    with pytest.raises(InputError, match=r"training\.contrast 0"):
        config_from({"training": {"objective": "forces"}}, "x")
