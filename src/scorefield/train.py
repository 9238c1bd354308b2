"""Training: denoising loss, Adam, an exponential average of the weights, checkpoints, restart.

The work is cut into blocks of `BLOCK` steps, one compiled call each. Frames and random numbers of a block follow from
the seed and the block's number alone, so a training that goes on from a checkpoint is bit for bit the uninterrupted one.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .config import Config
from .dataset import Dataset
from .energy.base import AbstractScore
from .energy.build import fit_model, resolve, training_levels
from .errors import InputError
from .finetune import continued, copied, origin
from .geometry import centred
from .health import dataset_warnings
from .journal import Journal, Progress
from .level import level_curve
from .model import Model, Physical, save_model
from .noise import AbstractLevels
from .optimise import Fit, start, training_block, validation
from .trajectory import Trajectory

BLOCK = 100
VALIDATE_EVERY = 10  # blocks


def train(
    dataset: Dataset,
    config: Config,
    path: Path | str,
    *,
    initial: Model | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    dataset_name: str = "",
) -> Model:
    """Train on the train split, watch the validation split, and write the RUN folder `path`.

    Losses are per coordinate, without unit; lengths in `config` are in nm. `initial`: a trained model to start from
    (`finetune`). With `resume`, go on from the checkpoint in `path`, given the same as before. Raises InputError if `path`
    exists and `resume` is False, or the checkpoint is missing, damaged, or of other data or another configuration.
    """
    path = Path(path)
    frames, held = dataset.split("train"), dataset.split("validation")
    thinned = centred(frames.representative(100_000).positions)
    if not thinned.std() > 0:
        raise InputError("the training frames are all alike, every bead in one place; prepare the dataset again")
    config = resolve(config if initial is None else continued(config, initial, dataset), thinned)
    warnings = dataset_warnings(dataset)
    journal = Journal(path, config, dataset, resume, warnings, origin(initial))
    levels = training_levels(config, Physical.of(frames).spread)
    model_key, validation_key, block_key = jax.random.split(jax.random.key(config.seed), 3)
    score = fit_model(config, dataset.molecule, thinned, model_key) if initial is None else copied(initial)
    fit, fixed, optimiser = start(score, config.training)
    advance = training_block(fixed, levels, optimiser, config.training)
    validate = validation(fixed, levels, held, validation_key)
    with journal.held():
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
            **origin(initial),
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


def _frames(frames: Trajectory, config: Config, block: int, steps: int) -> Float[np.ndarray, "steps b n 3"]:
    """The frames of one block, drawn with replacement, in proportion to their weights."""
    rng = np.random.default_rng([config.seed, block])
    size = steps * config.training.batch
    if frames.weights is None:
        index = rng.integers(frames.n_frames, size=size)
    else:
        index = rng.choice(frames.n_frames, size=size, p=frames.weights / np.sum(frames.weights, dtype=np.float64))
    x = centred(frames.positions[index])
    return x.reshape(steps, config.training.batch, *x.shape[1:])
