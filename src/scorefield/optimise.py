"""The steps of a training: the loss, Adam or Muon, an exponential average of the weights; many steps in one compiled call."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jaxtyping import Array, Float, Int, PRNGKeyArray

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
from .energy.transferable import Pooled
from .geometry import centred
from .labels import Labels
from .noise import AbstractLevels, LogUniformMixture
from .trajectory import Trajectory

VALIDATION_FRAMES, _VALIDATION_BATCH = 4096, 512
_MAX_GRADIENT = 1.0
_ADAMS_RMS = 0.2  # of an update by Adam, in learning rates


class Fit(NamedTuple):
    """The state of training: weights, their exponential average, the optimiser."""

    weights: Any
    average: Any
    optimiser: Any


class Batch(NamedTuple):
    """Centred frames in nm, and where the objective has forces, these as labels of the score (`labels.Labels`).

    `which`: of a training of many molecules (`energy.transferable.Pooled`), the number of each frame's molecule in its group.
    """

    x: Float[Array, "*b n 3"]
    labels: Float[Array, "*b n 3"] | None = None
    which: Int[Array, "*b"] | None = None


class Mixed(NamedTuple):
    """The part of a batch that each group of molecules of one size has."""

    parts: tuple[Batch, ...]


Learner = TypeVar("Learner", AbstractScore, Pooled)


def trainable(model: AbstractScore | Pooled) -> Any:
    """A tree of booleans: True where an array is trained, which `model.trained` names; what was fitted stays."""
    chosen = lambda m: [getattr(m, name) for name in model.trained]
    nothing = jax.tree.map(lambda _: False, model)
    return eqx.tree_at(chosen, nothing, jax.tree.map(eqx.is_inexact_array, chosen(model)))


def start(score: Learner, training: Training) -> tuple[Fit, Learner, optax.GradientTransformation]:
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
    fixed: AbstractScore | Pooled,
    levels: AbstractLevels,
    optimiser: optax.GradientTransformation,
    training: Training,
    devices: DataParallel,
    rms: float = 0.0,
):
    """A compiled function that advances a Fit by one block of batches, arrays (steps, batch, n_beads, 3), on all `devices`.

    `rms` is that of the labels, where the objective has some (`labels.Labels`).
    """

    def loss(weights: Any, batch: Batch | Mixed, key: PRNGKeyArray) -> Float[Array, ""]:
        model = eqx.combine(weights, fixed)
        if isinstance(batch, Batch):
            return _batch_loss(lambda _: model, batch, key, levels, training, devices, rms)
        assert isinstance(model, Pooled)
        keys = jax.random.split(key, len(batch.parts))
        sizes = [len(part.x) for part in batch.parts]
        found = [
            _batch_loss(partial(model.at, group), part, k, levels, training, devices, rms)
            for group, (part, k) in enumerate(zip(batch.parts, keys, strict=True))
        ]
        return sum((n * value for n, value in zip(sizes, found, strict=True)), jnp.zeros(())) / sum(sizes)

    def step(fit: Fit, inputs: tuple[Batch | Mixed, PRNGKeyArray]) -> tuple[Fit, Array]:
        value, gradient = jax.value_and_grad(loss)(fit.weights, *inputs)
        update, optimiser_state = optimiser.update(gradient, fit.optimiser, fit.weights)
        weights = optax.apply_updates(fit.weights, update)
        average = optax.incremental_update(weights, fit.average, 1 - training.ema)
        return Fit(weights, average, optimiser_state), value

    @eqx.filter_jit(donate="all-except-first")
    def advance(batch: Batch | Mixed, fit: Fit, key: PRNGKeyArray) -> tuple[Fit, Array]:
        fit, losses = jax.lax.scan(step, fit, (batch, jax.random.split(key, len(jax.tree.leaves(batch)[0]))))
        return fit, jnp.mean(losses)

    return advance


def _batch_loss(
    at: Callable[[Any], AbstractScore],
    batch: Batch,
    key: PRNGKeyArray,
    levels: AbstractLevels,
    training: Training,
    devices: DataParallel,
    rms: float,
) -> Float[Array, ""]:
    """Of frames of one size; `at` gives the model of the molecule that a frame is of."""

    def mean(loss: Callable[..., Array], *inputs: Array | None) -> Float[Array, ""]:
        return jnp.mean(jax.vmap(loss)(*inputs))

    level_keys, noise_keys, rotation_keys, other_keys = devices.spread(jax.random.split(key, (4, len(batch.x))), 1)
    x, labels, which = batch
    if training.rotate:
        x, labels = jax.tree.map(lambda a: jax.vmap(rotated)(a, rotation_keys), (x, labels))
    if training.objective == "forces":
        return mean(lambda w, *a: force_matching_loss(at(w), *a, rms=rms), which, x, labels)
    sigma = jax.vmap(levels.sample)(level_keys)
    if training.objective == "both":
        value = mean(lambda w, *a: force_denoising_loss(at(w), *a, rms=rms), which, x, labels, sigma, noise_keys)
    else:
        value = mean(lambda w, *a: denoising_loss(at(w), *a), which, x, sigma, noise_keys)
    # On a part of the batch: the contrast of all of it would take a quarter more time, the penalty many times that.
    inputs = which, x, sigma, noise_keys, other_keys
    if training.contrast:
        assert isinstance(levels, LogUniformMixture)  # checked by Config
        value += training.contrast * mean(
            lambda w, *a: level_contrast(_energy(at(w)), levels, *a), *_part(inputs, 2, devices)
        )
    if training.fokker_planck:
        value += training.fokker_planck * mean(
            lambda w, *a: fokker_planck_penalty(_energy(at(w)), *a), *_part(inputs, 8, devices)
        )
    return value


def _energy(model: AbstractScore) -> AbstractEnergy:
    assert isinstance(model, AbstractEnergy)  # checked by Config
    return model


def _part(inputs: tuple[Array | None, ...], fraction: int, devices: DataParallel) -> tuple[Array | None, ...]:
    """The first 1/`fraction` of the batch, at least one frame."""
    return jax.tree.map(lambda a: devices.spread(a[: -(-len(a) // fraction)]), inputs)


def force_validation(fixed: AbstractScore, x: Float[np.ndarray, "f n 3"], labels: Labels):
    """A compiled function: force-matching loss of averaged weights on validation frames `x` (nm) and their labels."""
    some = np.linspace(0, len(x) - 1, min(len(x), VALIDATION_FRAMES)).round().astype(int)
    batch = Batch(jnp.asarray(centred(x[some])), jnp.asarray(labels.scores[some]))

    @eqx.filter_jit
    def validate(weights: Any, batch: Batch) -> Float[Array, ""]:
        model = eqx.combine(weights, fixed)
        one = lambda a: force_matching_loss(model, *a, rms=labels.rms)
        return jnp.mean(jax.lax.map(one, tuple(batch[:2]), batch_size=_VALIDATION_BATCH))

    return lambda weights: validate(weights, batch)


def pooled_validation(fixed: Pooled, levels: AbstractLevels, held: Mixed, key: PRNGKeyArray):
    """As `validation`, over frames of many molecules, each of which counts alike."""

    @eqx.filter_jit
    def validate(weights: Any, held: Mixed) -> Float[Array, ""]:
        model, found = eqx.combine(weights, fixed), []
        for group, part in enumerate(held.parts):

            def one(w: Array, x: Array, key: PRNGKeyArray, group: int = group) -> Array:
                level_key, noise_key = jax.random.split(key)
                return denoising_loss(model.at(group, w), x, levels.sample(level_key), noise_key)

            keys = jax.random.split(jax.random.fold_in(key, group), len(part.x))
            found.append(
                jax.lax.map(lambda a, one=one: one(*a), (part.which, part.x, keys), batch_size=_VALIDATION_BATCH)
            )
        return jnp.mean(jnp.concatenate(found))

    return lambda weights: validate(weights, held)


def validation(fixed: AbstractScore, levels: AbstractLevels, held: Trajectory, key: PRNGKeyArray):
    """A compiled function: denoising loss of averaged weights on the same noised validation frames every time."""
    x = jnp.asarray(centred(held.representative(VALIDATION_FRAMES).positions))

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
