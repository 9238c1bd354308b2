"""Fine-tuning: a training that starts from a trained model, on more or other frames of the same molecule.

Prior and standardisation stay those of the model it starts from, for its network was trained beside them; its averaged
weights go on, with a smaller rate and fewer steps, which is enough where the new frames are like the old ones.
"""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .config import Config, config_from
from .dataset import Dataset
from .energy.base import AbstractScore
from .energy.invariant import InvariantEnergy
from .errors import InputError
from .model import Model
from .tensors import fingerprint

_SHARE = 4
_SAME_TEMPERATURE = 0.5  # K


def finetuning(config: Config) -> Config:
    """The resolved `config` of a training with a quarter of its steps and of its learning rate."""
    settings = config.model_dump(exclude_none=True)
    training = settings["training"]
    training["steps"] = max(1, training["steps"] // _SHARE)
    training["learning_rate"] /= _SHARE
    return config_from(settings, "fine-tuning")


def continued(config: Config, initial: Model, dataset: Dataset) -> Config:
    """`config` for a training on `dataset` that starts from `initial`: its sections energy and noise are that model's.

    Raises InputError if the dataset is of another molecule or temperature (K) than the model, or the rest of `config` does
    not go with those sections.
    """
    check_same(dataset, initial)
    merged = config.model_copy(update={"energy": initial.config.energy, "noise": initial.config.noise})
    return config_from(merged.model_dump(exclude_none=True), "fine-tuning, with energy and noise of the model")


def check_same(dataset: Dataset, initial: Model) -> None:
    """Raise InputError unless `dataset` is of the molecule and at the temperature (K) of the model to start from."""
    if not dataset.molecule.same_as(initial.molecule):
        raise InputError(
            f"the dataset is of another molecule ({dataset.molecule.name}) than the model to start from "
            f"({initial.molecule.name}); beads, residues and bonds must agree: train a new model"
        )
    given, learned = dataset.trajectory.temperature, initial.temperature
    if abs(given - learned) > _SAME_TEMPERATURE:
        raise InputError(
            f"the dataset is at {given:g} K, the model to start from was learned at {learned:g} K, and its energy in kT is "
            "that of its temperature; train a new model"
        )


def copied(initial: Model) -> AbstractScore:
    """Its score in arrays of its own: training gives the memory of what it starts from away.

    What simulations of it were corrected by is left out (`refine`): it goes with the weights as they were.
    """
    score = initial.score
    if isinstance(score, InvariantEnergy):
        score = replace(score, shifts=None)
    return jax.tree.map(lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf, score)


def origin(initial: Model | None) -> dict[str, Any]:
    """What checkpoint and model state about where a training started; nothing if it started anew."""
    return {} if initial is None else {"initial": fingerprint(initial.score)}
