"""Training: denoising loss, Adam or Muon, an exponential average of the weights, checkpoints, restart.

The work is cut into blocks of `BLOCK` steps, one compiled call each. Frames and random numbers of a block follow from
the seed and the block's number alone, so a training that goes on from a checkpoint is bit for bit the uninterrupted one.
Several devices, of this process and of others at the same work, share each batch (`data_parallel`, `processes`).
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .config import Config
from .data_parallel import DataParallel
from .dataset import Dataset
from .energy.base import AbstractScore
from .energy.build import fit_model, resolve, training_levels
from .errors import InputError
from .finetune import continued, copied, origin
from .geometry import centred
from .health import dataset_warnings
from .journal import Journal, Progress, Silent
from .labels import Labels, force_labels
from .level import LevelCurve, level_curve
from .model import Model, Physical, save_model
from .noise import AbstractLevels
from .optimise import Batch, Fit, Mixed, force_validation, start, training_block, validation
from .processes import Patience, alike, explained, leads, most, of_the_first
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
    devices: int | None = None,
) -> Model:
    """Train on the train split, watch the validation split, and write the RUN folder `path`.

    Losses are per coordinate, without unit; lengths in `config` are in nm. `initial`: a trained model to start from
    (`finetune`). With `resume`, go on from the checkpoint in `path`, given the same as before. Raises InputError if `path`
    exists and `resume` is False, or the checkpoint is missing, damaged, or of other data or another configuration.
    At most `devices` share the batches (None: as `DataParallel` says). Several processes at one work (`processes.join`)
    all call this with the same arguments; the first one alone reads and writes `path`.
    """
    path = Path(path)
    frames, held = dataset.split("train"), dataset.split("validation")
    thinned, warnings = centred(frames.representative(100_000).positions), dataset_warnings(dataset)
    with alike():
        if not thinned.std() > 0:
            raise InputError("the training frames are all alike, every bead in one place; prepare the dataset again")
        config = resolve(config if initial is None else continued(config, initial, dataset), dataset.molecule, thinned)
        labels = None if config.training.objective == "denoising" else force_labels(dataset, "train")
        journal = Journal(path, config, dataset, resume, warnings, origin(initial)) if leads() else Silent(config)
        shared = DataParallel(config.training.batch, devices)
    levels = training_levels(config, Physical.of(frames).spread)
    model_key, validation_key, block_key = jax.random.split(jax.random.key(config.seed), 3)
    score = fit_model(config, dataset.molecule, thinned, model_key) if initial is None else copied(initial)
    fit, fixed, optimiser = start(of_the_first(score), config.training)
    advance = training_block(fixed, levels, optimiser, config.training, shared, labels.rms if labels else 0.0)
    validate = _validation(fixed, levels, config, dataset, validation_key)
    with contextlib.ExitStack() as stack:
        with alike():
            stack.enter_context(journal.held())
        draw = partial(batch_of, frames, labels, config)
        fit = advanced(fit, draw, config, journal, shared, advance, validate, block_key, on_progress)
        if on_progress is not None:
            on_progress(journal.stage("choosing the force level"))
        found = read_off(eqx.combine(fit.average, fixed), config, dataset, thinned, levels)
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
        with alike():
            if leads():
                save_model(trained, path)
    return trained


def advanced(
    fit: Fit,
    draw: Callable[[int, int], Batch | Mixed],
    config: Config,
    journal: Journal,
    devices: DataParallel,
    advance: Callable[[Any, Fit, PRNGKeyArray], tuple[Fit, Float[Array, ""]]],
    validate: Callable[[Any], Float[Array, ""]],
    key: PRNGKeyArray,
    on_progress: Callable[[Progress], None] | None,
) -> Fit:
    """`fit`, or what the journal's checkpoint holds in its place, after all blocks that are left.

    `draw` gives the frames of a block of so many steps.
    """
    with alike():
        fit, done = journal.restore(fit)
    fit, done = devices.copy(of_the_first(fit)), most(done)
    n_blocks = -(-config.training.steps // BLOCK)
    with Patience() as patience:
        for block in range(done, n_blocks):
            steps = min(BLOCK, config.training.steps - block * BLOCK)
            batch = devices.share(draw(block, steps))
            with explained():
                fit, loss = advance(batch, fit, devices.copy_key(jax.random.fold_in(key, block)))
                loss = float(loss)
            last = block + 1 == n_blocks
            due = last or (block + 1) % VALIDATE_EVERY == 0
            validation = float(validate(devices.here(fit.average))) if due else None
            progress = journal.write(block * BLOCK + steps, loss, validation)
            stopped = bool(most(patience.tried))
            if last or stopped or journal.due():
                journal.checkpoint(devices.here(fit), block + 1, progress.step)
            if on_progress is not None:
                on_progress(progress)
            if stopped:
                raise KeyboardInterrupt
    return devices.here(fit)


def read_off(
    score: AbstractScore, config: Config, dataset: Dataset, x: Float[np.ndarray, "f n 3"], levels: AbstractLevels
) -> Model:
    """The model of trained weights: its force level chosen on the validation split, its force corrected on frames `x`."""
    train_split, held = dataset.split("train"), dataset.split("validation")
    auto = config.simulation.level_t is None and config.simulation.level == "auto"
    if config.training.objective == "forces":
        curve = LevelCurve((0.0,), (0.0,), (0.0,), 0.0)  # the one level that it was trained at
    else:
        curve = level_curve(score, held, levels, config.seed, precise=auto)
    model = Model(score, dataset.molecule, train_split.temperature, config, Physical.of(train_split), {}, curve)
    # at the level that the force is read off at, and how it changes with the level, for --level
    corrected = score.corrected(dataset.molecule, jnp.asarray(x), (model.level, 2 * model.level))
    return replace(model, score=corrected)


def _validation(fixed: AbstractScore, levels: AbstractLevels, config: Config, dataset: Dataset, key: PRNGKeyArray):
    """The loss that is watched: of denoising whatever the labels, but of force matching where there is no noise."""
    held = dataset.split("validation")
    if config.training.objective == "forces":
        return force_validation(fixed, held.positions, force_labels(dataset, "validation"))
    return validation(fixed, levels, held, key)


def batch_of(frames: Trajectory, labels: Labels | None, config: Config, block: int, steps: int) -> Batch:
    """The frames of one block, drawn with replacement, in proportion to their weights; arrays (steps, batch, n_beads, 3)."""
    index = _drawn(frames, config, block, steps)
    x = jnp.asarray(centred(frames.positions[index.ravel()]).reshape(*index.shape, -1, 3))
    return Batch(x, None if labels is None else jnp.asarray(labels.scores[index]))


def _drawn(frames: Trajectory, config: Config, block: int, steps: int) -> Int[np.ndarray, "steps b"]:
    """Which frames."""
    rng = np.random.default_rng([config.seed, block])
    size = steps * config.training.batch
    if frames.weights is None:
        index = rng.integers(frames.n_frames, size=size)
    else:
        index = rng.choice(frames.n_frames, size=size, p=frames.weights / np.sum(frames.weights, dtype=np.float64))
    return index.reshape(steps, config.training.batch)
