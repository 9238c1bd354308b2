"""Training of one model on several datasets at once, restartable as `train` is.

Each step's batch has frames of all sizes of molecules: those of one size are a group, whose frames are worked at together,
and a step's loss is the mean over all frames. A molecule is drawn first, then a frame of it: molecules count alike.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .config import AutoSettings, Config, TransferableSettings
from .data_parallel import DataParallel
from .dataset import Split
from .energy.build import empty_normaliser, fit_shared_types, parts_of, resolve, shared_network, training_levels
from .energy.stiff import StiffDistances
from .energy.transferable import Pooled, TransferableEnergy
from .energy.types import Frames, Parts, Types
from .errors import InputError
from .geometry import centred
from .health import dataset_warnings
from .journal import Journal, Progress
from .level import pooled_level_curve
from .noise import AbstractLevels
from .optimise import VALIDATION_FRAMES, Batch, Mixed, pooled_validation, start, training_block
from .pool import Pool
from .shared import SharedModel, Weights, save_shared
from .train import advanced
from .trajectory import Trajectory

_FRAMES = 20_000


class Group(NamedTuple):
    """Datasets whose molecules have one size: their numbers in the pool, and how many frames of a batch are theirs."""

    members: tuple[int, ...]
    batch: int


def train_shared(
    pool: Pool,
    config: Config,
    path: Path | str,
    *,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> SharedModel:
    """Train one model on all datasets of `pool`, and write the SHARED folder `path`; `config` as for `train`.

    Raises InputError as `train` does, if a molecule is not a chain of beads or has residues that are not known, or
    `config` asks for what one molecule alone can have.
    """
    path = Path(path)
    config = resolve_shared(config, pool)
    frames = [data.split("train") for data in pool.datasets]
    some = [Frames(f.molecule, centred(f.representative(_FRAMES).positions)) for f in frames]
    warnings = [f"{n}: {w}" for n, d in zip(pool.names, pool.datasets, strict=True) for w in dataset_warnings(d)]
    network_key, types_key, validation_key, block_key = jax.random.split(jax.random.key(config.seed), 4)
    types = fit_shared_types(config, some, types_key)
    parts = [parts_of(config, types, f.molecule) for f in frames]
    groups = grouped(parts, config.training.batch)
    journal = Journal(path, config, pool, resume, warnings)
    levels, devices = training_levels(config, 1.0), DataParallel(config.training.batch, 1)
    stacked = tuple(jax.tree.map(lambda *a: jnp.stack(a), *(parts[k] for k in g.members)) for g in groups)
    fit, fixed, optimiser = start(
        Pooled(stacked, shared_network(config, network_key), empty_normaliser()), config.training
    )
    advance = training_block(fixed, levels, optimiser, config.training, devices)
    validate = pooled_validation(fixed, levels, _validation_frames(pool, groups), validation_key)
    with journal.held():
        draw = lambda block, steps: mixed_batch(frames, groups, config.seed, block, steps)
        fit = advanced(fit, draw, config, journal, devices, advance, validate, block_key, on_progress)
        if on_progress is not None:
            on_progress(journal.stage("choosing the force level"))
        trained = eqx.combine(fit.average, fixed)
        weights = Weights(trained.network, trained.normaliser)
        model = _read_off(weights, types, parts, pool, config, some, levels)
        summary = {
            "datasets": list(pool.names),
            "molecules": sorted({d.molecule.name for d in pool.datasets}),
            "train_frames": sum(f.n_frames for f in frames),
            **journal.summary(),
            "warnings": warnings,
        }
        model.training.update(summary)
        save_shared(model, path)
    return model


def resolve_shared(config: Config, pool: Pool) -> Config:
    """`config` with what depends on the data filled in, from the molecule of the largest spread.

    Raises InputError if it asks for what a training on several datasets does not have.
    """
    energy = config.energy
    if isinstance(energy, AutoSettings) and not energy.boundaries:
        energy = TransferableSettings(prior=energy.prior)
    if not isinstance(energy, TransferableSettings):
        raise InputError('several datasets need energy.kind "transferable", without boundaries: one energy for all')
    if config.training.objective != "denoising":
        raise InputError("forces are learned from one dataset at a time; leave --forces away, or train on one")
    if jax.process_count() > 1:
        raise InputError("several datasets are trained on by one process")
    x = [centred(d.split("train").representative(_FRAMES).positions) for d in pool.datasets]
    if not all(frames.std() > 0 for frames in x):
        raise InputError("the training frames of a dataset are all alike; prepare it again")
    widest = int(np.argmax([frames.std() for frames in x]))
    return resolve(config.model_copy(update={"energy": energy}), pool.datasets[widest].molecule, x[widest])


def grouped(parts: Sequence[Parts], batch: int) -> list[Group]:
    """Molecules whose parts have the same shapes, smallest first, and each group's share of a batch.

    Raises InputError if there are more groups than frames in a batch.
    """
    shapes: dict[Any, list[int]] = {}
    for k, one in enumerate(parts):
        shapes.setdefault((len(one.features), *sorted(one.prior.sizes.items())), []).append(k)
    members = [tuple(shapes[key]) for key in sorted(shapes)]
    if len(members) > batch:
        raise InputError(f"molecules of {len(members)} sizes in batches of {batch}; choose a larger training.batch")
    ideal = np.array([len(m) for m in members]) * batch / len(parts)
    sizes = np.maximum(1, np.floor(ideal)).astype(int)
    while sizes.sum() != batch:
        step = 1 if sizes.sum() < batch else -1
        able = (sizes > 1) | (step > 0)
        sizes[int(np.argmax(np.where(able, step * (ideal - sizes), -np.inf)))] += step
    return [Group(m, int(n)) for m, n in zip(members, sizes, strict=True)]


def mixed_batch(frames: Sequence[Trajectory], groups: Sequence[Group], seed: int, block: int, steps: int) -> Mixed:
    """The frames of one block: molecules drawn alike, then frames in proportion to their weights."""
    rng = np.random.default_rng([seed, block])
    parts = []
    for group in groups:
        which = rng.integers(len(group.members), size=(steps, group.batch))
        x = np.empty((*which.shape, frames[group.members[0]].molecule.n_beads, 3), np.float32)
        for k, member in enumerate(group.members):
            here = which == k
            x[here] = centred(frames[member].positions[_drawn(frames[member], int(here.sum()), rng)])
        parts.append(Batch(jnp.asarray(x), None, jnp.asarray(which)))
    return Mixed(tuple(parts))


def _drawn(trajectory: Trajectory, number: int, rng: np.random.Generator) -> np.ndarray:
    if trajectory.weights is None:
        return rng.integers(trajectory.n_frames, size=number)
    p = np.asarray(trajectory.weights, np.float64)
    return rng.choice(trajectory.n_frames, size=number, p=p / p.sum())


def _validation_frames(pool: Pool, groups: Sequence[Group]) -> Mixed:
    each = max(16, VALIDATION_FRAMES // len(pool.datasets))
    parts = []
    for group in groups:
        x = [centred(_held(pool, k, "validation").representative(each).positions) for k in group.members]
        which = np.repeat(np.arange(len(x)), [len(a) for a in x])
        parts.append(Batch(jnp.asarray(np.concatenate(x)), None, jnp.asarray(which)))
    return Mixed(tuple(parts))


def _held(pool: Pool, k: int, split: Split) -> Trajectory:
    return pool.datasets[k].split(split)


def _read_off(
    weights: Weights,
    types: Types,
    parts: Sequence[Parts],
    pool: Pool,
    config: Config,
    some: Sequence[Frames],
    levels: AbstractLevels,
) -> SharedModel:
    """The force level chosen on all molecules' validation frames, and the stiff distances corrected by their types."""
    energies = [TransferableEnergy(p, weights.network, weights.normaliser) for p in parts]
    held = [_held(pool, k, "validation") for k in range(len(parts))]
    curve = pooled_level_curve(list(zip(energies, held, strict=True)), levels, config.seed)
    model = SharedModel(weights, types, pool.temperature, pool.map, config, {}, curve)
    level = model.of(pool.molecule).level
    found = []
    for energy, (molecule, x) in zip(energies, some, strict=True):
        corrected = energy.corrected(molecule, jnp.asarray(x), (level, 2 * level))
        stiff = corrected.parts.prior.terms.get("stiff")
        if isinstance(stiff, StiffDistances):
            found.append((molecule, np.asarray(stiff.correction)))
    return SharedModel(weights, types.corrected(found), pool.temperature, pool.map, config, {}, curve)
