"""Training: denoising loss, Adam, an exponential average of the weights, checkpoints, restart.

The work is cut into blocks of `BLOCK` steps, one compiled call each. Frames and random numbers of a block follow from
the seed and the block's number alone, so a training that goes on from a checkpoint is bit for bit the uninterrupted one.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .config import Config, Training
from .dataset import Dataset
from .diffusion import denoising_loss, fokker_planck_penalty, level_contrast, rotated
from .energy.base import AbstractEnergy, AbstractScore
from .energy.build import fit_model, resolve, training_levels
from .errors import InputError
from .health import dataset_warnings
from .journal import Journal, Progress
from .level import level_curve
from .model import Model, Physical, save_model
from .noise import AbstractLevels, LogUniformMixture
from .trajectory import Trajectory

BLOCK = 100
VALIDATE_EVERY = 10  # blocks
_VALIDATION_FRAMES = 4096
_MAX_GRADIENT = 1.0


class Fit(NamedTuple):
    """The state of training: weights, their exponential average, the optimiser."""

    weights: Any
    average: Any
    optimiser: Any


def train(
    dataset: Dataset,
    config: Config,
    path: Path,
    *,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    dataset_name: str = "",
) -> Model:
    """Train on the train split, watch the validation split, and write the RUN folder `path`.

    With `resume`, go on from the checkpoint in `path` with the configuration written there. Raises InputError if `path`
    exists and `resume` is False, or the checkpoint is missing, damaged, or of other data or another configuration.
    """
    frames, held = dataset.split("train"), dataset.split("validation")
    thinned = _centred(frames.representative(100_000).positions)
    if not thinned.std() > 0:
        raise InputError("the training frames are all alike, every bead in one place; prepare the dataset again")
    config = resolve(config, thinned)
    warnings = dataset_warnings(dataset)
    journal = Journal(path, config, dataset, resume, warnings)
    levels = training_levels(config, Physical.of(frames).spread)
    model_key, validation_key, block_key = jax.random.split(jax.random.key(config.seed), 3)
    model = fit_model(config, dataset.molecule, thinned, model_key)
    weights, fixed = eqx.partition(model, trainable(model))
    optimiser = _optimiser(config.training)
    fit = Fit(weights, jax.tree.map(jnp.copy, weights), optimiser.init(weights))
    advance = _block(fixed, levels, optimiser, config.training)
    validate = _validation(fixed, levels, held, validation_key)
    fit = _advanced(fit, frames, config, journal, advance, validate, block_key, on_progress)
    if on_progress is not None:
        on_progress(journal.stage("choosing the force level"))
    found = _read_off(eqx.combine(fit.average, fixed), config, dataset, thinned, levels)
    summary = {
        "dataset": dataset_name,
        "map": dataset.map,
        "train_frames": frames.n_frames,
        "validation_frames": held.n_frames,
        **journal.summary(),
        "provenance": dataset.provenance,
        "warnings": warnings,
    }
    trained = replace(found, training=summary)
    save_model(trained, path)
    return trained


def _advanced(
    fit: Fit,
    frames: Trajectory,
    config: Config,
    journal: Journal,
    advance: Callable[[Array, Fit, PRNGKeyArray], tuple[Fit, Array]],
    validate: Callable[[Any], Array],
    key: PRNGKeyArray,
    on_progress: Callable[[Progress], None] | None,
) -> Fit:
    """`fit`, or what the journal's checkpoint holds in its place, after all blocks that are left."""
    fit, done = journal.restore(fit)
    n_blocks = -(-config.training.steps // BLOCK)
    for block in range(done, n_blocks):
        steps = min(BLOCK, config.training.steps - block * BLOCK)
        batch = _frames(frames, config, block, steps)
        fit, loss = advance(jnp.asarray(batch), fit, jax.random.fold_in(key, block))
        last = block + 1 == n_blocks
        due = last or (block + 1) % VALIDATE_EVERY == 0
        validation = float(validate(fit.average)) if due else None
        progress = journal.write(block * BLOCK + steps, float(loss), validation)
        if last or journal.due():
            journal.checkpoint(fit, block + 1, progress.step)
        if on_progress is not None:
            on_progress(progress)
    return fit


def _read_off(
    score: AbstractScore, config: Config, dataset: Dataset, x: Float[np.ndarray, "f n 3"], levels: AbstractLevels
) -> Model:
    """The model of trained weights: its force level chosen on the validation split, its force corrected on frames `x`."""
    train_split, held = dataset.split("train"), dataset.split("validation")
    auto = config.simulation.level_t is None and config.simulation.level == "auto"
    curve = level_curve(score, held, levels, config.seed, precise=auto)
    model = Model(score, dataset.molecule, train_split.temperature, config, Physical.of(train_split), {}, curve)
    # at the level that the force is read off at, and how it changes with the level, for --level
    corrected = score.corrected(dataset.molecule, jnp.asarray(x), (model.level, 2 * model.level))
    return replace(model, score=corrected)


def trainable(model: AbstractScore) -> AbstractScore:
    """A tree of booleans: True where an array is trained, which `model.trained` names; what was fitted stays."""
    chosen = lambda m: [getattr(m, name) for name in model.trained]
    nothing = jax.tree.map(lambda _: False, model)
    return eqx.tree_at(chosen, nothing, jax.tree.map(eqx.is_inexact_array, chosen(model)))


def _optimiser(training: Training) -> optax.GradientTransformation:
    warmup = min(training.warmup, training.steps // 10)
    rate = optax.warmup_cosine_decay_schedule(
        0.0 if warmup else training.learning_rate,
        training.learning_rate,
        warmup,
        training.steps,
        training.final_learning_rate,
    )
    return optax.chain(optax.clip_by_global_norm(_MAX_GRADIENT), optax.adam(rate))


def _block(fixed: AbstractScore, levels: AbstractLevels, optimiser: optax.GradientTransformation, training: Training):
    """A compiled function that advances a Fit by one block of batches (steps, batch, n_beads, 3)."""

    def loss(weights: Any, x: Float[Array, "b n 3"], key: PRNGKeyArray) -> Float[Array, ""]:
        model = eqx.combine(weights, fixed)
        level_keys, noise_keys, rotation_keys, other_keys = jax.random.split(key, (4, len(x)))
        x = jax.vmap(rotated)(x, rotation_keys) if training.rotate else x
        sigma = jax.vmap(levels.sample)(level_keys)
        inputs = x, sigma, noise_keys, other_keys
        value = _mean(partial(denoising_loss, model), *inputs[:3])
        # On a part of the batch: the contrast of all of it would take a quarter more time, the penalty many times that.
        if training.contrast:
            assert isinstance(model, AbstractEnergy)
            assert isinstance(levels, LogUniformMixture)  # both checked by Config
            value += training.contrast * _mean(partial(level_contrast, model, levels), *_part(inputs, 2))
        if training.fokker_planck:
            assert isinstance(model, AbstractEnergy)
            value += training.fokker_planck * _mean(partial(fokker_planck_penalty, model), *_part(inputs, 8))
        return value

    def step(fit: Fit, inputs: tuple[Array, PRNGKeyArray]) -> tuple[Fit, Array]:
        value, gradient = jax.value_and_grad(loss)(fit.weights, *inputs)
        update, optimiser_state = optimiser.update(gradient, fit.optimiser, fit.weights)
        weights = optax.apply_updates(fit.weights, update)
        average = optax.incremental_update(weights, fit.average, 1 - training.ema)
        return Fit(weights, average, optimiser_state), value

    @eqx.filter_jit(donate="all-except-first")
    def advance(batch: Array, fit: Fit, key: PRNGKeyArray) -> tuple[Fit, Array]:
        fit, losses = jax.lax.scan(step, fit, (batch, jax.random.split(key, len(batch))))
        return fit, jnp.mean(losses)

    return advance


def _mean(loss: Callable[..., Array], *inputs: Array) -> Float[Array, ""]:
    return jnp.mean(jax.vmap(loss)(*inputs))


def _part(inputs: tuple[Array, ...], fraction: int) -> tuple[Array, ...]:
    """The first 1/`fraction` of the batch, at least one frame."""
    return tuple(a[: -(-len(a) // fraction)] for a in inputs)


def _validation(fixed: AbstractScore, levels: AbstractLevels, held: Trajectory, key: PRNGKeyArray):
    """A compiled function: denoising loss of averaged weights on the same noised validation frames every time."""
    x = jnp.asarray(_centred(held.representative(_VALIDATION_FRAMES).positions))

    def one(model: AbstractScore, x: Float[Array, "n 3"], key: PRNGKeyArray) -> Float[Array, ""]:
        level_key, noise_key = jax.random.split(key)
        return denoising_loss(model, x, levels.sample(level_key), noise_key)

    @eqx.filter_jit
    def validate(weights: Any, x: Float[Array, "b n 3"]) -> Float[Array, ""]:
        model = eqx.combine(weights, fixed)
        return jnp.mean(jax.lax.map(lambda a: one(model, *a), (x, jax.random.split(key, len(x))), batch_size=512))

    return lambda weights: validate(weights, x)  # as an argument x is no constant that the compiler has to carry


def _frames(frames: Trajectory, config: Config, block: int, steps: int) -> Float[np.ndarray, "steps b n 3"]:
    """The frames of one block, drawn with replacement, in proportion to their weights."""
    rng = np.random.default_rng([config.seed, block])
    size = steps * config.training.batch
    if frames.weights is None:
        index = rng.integers(frames.n_frames, size=size)
    else:
        index = rng.choice(frames.n_frames, size=size, p=frames.weights / np.sum(frames.weights, dtype=np.float64))
    x = _centred(frames.positions[index])
    return x.reshape(steps, config.training.batch, *x.shape[1:])


def _centred(x: Float[np.ndarray, "f n 3"]) -> Float[np.ndarray, "f n 3"]:
    x = np.asarray(x, np.float32)
    return x - x.mean(axis=1, keepdims=True)
