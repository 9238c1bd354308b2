"""The steps of a training: the loss, Adam or Muon, an exponential average of the weights; many steps in one compiled call."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jaxtyping import Array, Float, PRNGKeyArray

from .config import Training
from .data_parallel import DataParallel
from .diffusion import (
    denoising_loss,
    fokker_planck_penalty,
    force_denoising_loss,
    force_matching_loss,
    level_contrast,
    rotated,
)
from .energy.base import AbstractEnergy, AbstractScore
from .geometry import centred
from .labels import Labels
from .noise import AbstractLevels, LogUniformMixture
from .trajectory import Trajectory

_VALIDATION_FRAMES, _VALIDATION_BATCH = 4096, 512
_MAX_GRADIENT = 1.0
_ADAMS_RMS = 0.2  # of an update by Adam, in learning rates


class Fit(NamedTuple):
    """The state of training: weights, their exponential average, the optimiser."""

    weights: Any
    average: Any
    optimiser: Any


class Batch(NamedTuple):
    """Centred frames in nm, and where the objective has forces, these as labels of the score (`labels.Labels`)."""

    x: Float[Array, "*b n 3"]
    labels: Float[Array, "*b n 3"] | None = None


def trainable(model: AbstractScore) -> AbstractScore:
    """A tree of booleans: True where an array is trained, which `model.trained` names; what was fitted stays."""
    chosen = lambda m: [getattr(m, name) for name in model.trained]
    nothing = jax.tree.map(lambda _: False, model)
    return eqx.tree_at(chosen, nothing, jax.tree.map(eqx.is_inexact_array, chosen(model)))


def start(score: AbstractScore, training: Training) -> tuple[Fit, AbstractScore, optax.GradientTransformation]:
    """Where a training starts: its state, what of the model stays as it was fitted, and the optimiser."""
    weights, fixed = eqx.partition(score, trainable(score))
    optimiser = _optimiser(training)
    return Fit(weights, jax.tree.map(jnp.copy, weights), optimiser.init(weights)), fixed, optimiser


def _optimiser(training: Training) -> optax.GradientTransformation:
    warmup = min(training.warmup, training.steps // 10)
    rate = optax.warmup_cosine_decay_schedule(
        0.0 if warmup else training.learning_rate,
        training.learning_rate,
        warmup,
        training.steps,
        training.final_learning_rate,
    )
    if training.optimiser == "muon":
        step = optax.contrib.muon(rate, adam_learning_rate=rate, consistent_rms=_ADAMS_RMS)
    else:
        step = optax.adam(rate)
    return optax.chain(optax.clip_by_global_norm(_MAX_GRADIENT), step)


def training_block(
    fixed: AbstractScore,
    levels: AbstractLevels,
    optimiser: optax.GradientTransformation,
    training: Training,
    devices: DataParallel,
    rms: float = 0.0,
):
    """A compiled function that advances a Fit by one block of batches, arrays (steps, batch, n_beads, 3), on all `devices`.

    `rms` is that of the labels, where the objective has some (`labels.Labels`).
    """

    def loss(weights: Any, batch: Batch, key: PRNGKeyArray) -> Float[Array, ""]:
        model = eqx.combine(weights, fixed)
        level_keys, noise_keys, rotation_keys, other_keys = devices.spread(jax.random.split(key, (4, len(batch.x))), 1)
        x, labels = jax.tree.map(lambda a: jax.vmap(rotated)(a, rotation_keys), batch) if training.rotate else batch
        if training.objective == "forces":
            return _mean(partial(force_matching_loss, model, rms=rms), x, labels)
        sigma = jax.vmap(levels.sample)(level_keys)
        inputs = x, sigma, noise_keys, other_keys
        if training.objective == "both":
            value = _mean(partial(force_denoising_loss, model, rms=rms), x, labels, *inputs[1:3])
        else:
            value = _mean(partial(denoising_loss, model), *inputs[:3])
        # On a part of the batch: the contrast of all of it would take a quarter more time, the penalty many times that.
        if training.contrast:
            assert isinstance(model, AbstractEnergy)
            assert isinstance(levels, LogUniformMixture)  # both checked by Config
            value += training.contrast * _mean(partial(level_contrast, model, levels), *_part(inputs, 2, devices))
        if training.fokker_planck:
            assert isinstance(model, AbstractEnergy)
            value += training.fokker_planck * _mean(partial(fokker_planck_penalty, model), *_part(inputs, 8, devices))
        return value

    def step(fit: Fit, inputs: tuple[Batch, PRNGKeyArray]) -> tuple[Fit, Array]:
        value, gradient = jax.value_and_grad(loss)(fit.weights, *inputs)
        update, optimiser_state = optimiser.update(gradient, fit.optimiser, fit.weights)
        weights = optax.apply_updates(fit.weights, update)
        average = optax.incremental_update(weights, fit.average, 1 - training.ema)
        return Fit(weights, average, optimiser_state), value

    @eqx.filter_jit(donate="all-except-first")
    def advance(batch: Batch, fit: Fit, key: PRNGKeyArray) -> tuple[Fit, Array]:
        fit, losses = jax.lax.scan(step, fit, (batch, jax.random.split(key, len(batch.x))))
        return fit, jnp.mean(losses)

    return advance


def _mean(loss: Callable[..., Array], *inputs: Array | None) -> Float[Array, ""]:
    return jnp.mean(jax.vmap(loss)(*inputs))


def _part(inputs: tuple[Array, ...], fraction: int, devices: DataParallel) -> tuple[Array, ...]:
    """The first 1/`fraction` of the batch, at least one frame."""
    return tuple(devices.spread(a[: -(-len(a) // fraction)]) for a in inputs)


def force_validation(fixed: AbstractScore, x: Float[np.ndarray, "f n 3"], labels: Labels):
    """A compiled function: force-matching loss of averaged weights on validation frames `x` (nm) and their labels."""
    some = np.linspace(0, len(x) - 1, min(len(x), _VALIDATION_FRAMES)).round().astype(int)
    batch = Batch(jnp.asarray(centred(x[some])), jnp.asarray(labels.scores[some]))

    @eqx.filter_jit
    def validate(weights: Any, batch: Batch) -> Float[Array, ""]:
        model = eqx.combine(weights, fixed)
        one = lambda a: force_matching_loss(model, *a, rms=labels.rms)
        return jnp.mean(jax.lax.map(one, tuple(batch), batch_size=_VALIDATION_BATCH))

    return lambda weights: validate(weights, batch)


def validation(fixed: AbstractScore, levels: AbstractLevels, held: Trajectory, key: PRNGKeyArray):
    """A compiled function: denoising loss of averaged weights on the same noised validation frames every time."""
    x = jnp.asarray(centred(held.representative(_VALIDATION_FRAMES).positions))

    def one(model: AbstractScore, x: Float[Array, "n 3"], key: PRNGKeyArray) -> Float[Array, ""]:
        level_key, noise_key = jax.random.split(key)
        return denoising_loss(model, x, levels.sample(level_key), noise_key)

    @eqx.filter_jit
    def validate(weights: Any, x: Float[Array, "b n 3"]) -> Float[Array, ""]:
        model = eqx.combine(weights, fixed)
        return jnp.mean(
            jax.lax.map(lambda a: one(model, *a), (x, jax.random.split(key, len(x))), batch_size=_VALIDATION_BATCH)
        )

    return lambda weights: validate(weights, x)  # as an argument x is no constant that the compiler has to carry
