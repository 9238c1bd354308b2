"""Models from a configuration and training frames, and their empty shapes for reading them back from a file.

`MODELS` maps a configuration's `energy.kind` to a pair of functions: adding a model is one entry.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ..config import Config, CosineNoise, GraphTransformerSettings, InvariantSettings
from ..molecule import Molecule
from ..noise import AbstractLevels, CosineLevels, CosineSchedule, LogUniformMixture
from .base import AbstractScore
from .graph_transformer import GraphTransformer, GraphTransformerEnergy, GraphTransformerScore
from .invariant import InvariantEnergy
from .invariants import Standardiser, n_invariants
from .networks import RangeMixture, ResidualMLP
from .prior import TERMS, Prior

SIGMA_MAX_SPREADS = 12.0
_STANDARDISER_MIN = 0.3  # of sigma_min: below it the features' moments no longer change


class _Kind(NamedTuple):
    fit: Callable[[Config, Molecule, np.ndarray, PRNGKeyArray], AbstractScore]
    empty: Callable[[Config, int, dict[str, Any]], AbstractScore]


def resolve(config: Config, x: Float[np.ndarray, "f n 3"]) -> Config:
    """`config` with what depends on the data's size filled in from centred training frames `x` (nm)."""
    spread = float(np.std(x, dtype=np.float64))
    energy, noise = config.energy, config.noise
    if isinstance(energy, GraphTransformerSettings) and energy.std is None:
        energy = energy.model_copy(update={"std": spread})
    if not isinstance(noise, CosineNoise) and noise.sigma_max is None:
        noise = noise.model_copy(update={"sigma_max": SIGMA_MAX_SPREADS * spread})
    return config.model_copy(update={"energy": energy, "noise": noise})


def fit_model(config: Config, molecule: Molecule, x: Float[np.ndarray, "f n 3"], key: PRNGKeyArray) -> AbstractScore:
    """The untrained model of a resolved `config`; what is not trained is fitted to centred frames `x` (nm)."""
    return MODELS[config.energy.kind].fit(config, molecule, x, key)


def empty_model(config: Config, n_beads: int, shape: dict[str, Any]) -> AbstractScore:
    """A model of the right tree, with shapes in place of numbers; `shape` is what `model_shape` said when it was written.

    Nothing is computed and no memory is taken: a damaged configuration may ask for networks of any size.
    """
    return eqx.filter_eval_shape(lambda: MODELS[config.energy.kind].empty(config, n_beads, shape))


def model_shape(model: AbstractScore) -> dict[str, Any]:
    """What a model's arrays' shapes depend on beyond configuration and number of beads, as plain types."""
    return {"prior": model.prior.sizes} if isinstance(model, InvariantEnergy) else {}


def schedule(config: Config, spread: float) -> CosineSchedule:
    """The paper's schedule for data of this `spread` (nm), or of the standard deviation that the configuration states."""
    energy = config.energy
    std = energy.std if isinstance(energy, GraphTransformerSettings) else None
    return CosineSchedule(std or spread)


def training_levels(config: Config, spread: float) -> AbstractLevels:
    """The distribution of noise levels that a resolved `config` trains at."""
    noise = config.noise
    if isinstance(noise, CosineNoise):
        return CosineLevels(schedule(config, spread), noise.threshold)
    sigma_max = noise.sigma_max or SIGMA_MAX_SPREADS * spread
    return LogUniformMixture(noise.sigma_min, noise.sigma_split, sigma_max, noise.fraction_small)


def _fit_invariant(config: Config, molecule: Molecule, x: np.ndarray, key: PRNGKeyArray) -> AbstractScore:
    settings, noise = config.energy, config.noise
    assert isinstance(settings, InvariantSettings)
    spread = float(np.std(x, dtype=np.float64))
    sigma_max = SIGMA_MAX_SPREADS * spread
    sigma_min = 0.0015 if isinstance(noise, CosineNoise) else noise.sigma_min
    keys = jax.random.split(key)
    standardiser = Standardiser.fit(x, _STANDARDISER_MIN * sigma_min, sigma_max, keys[0])
    network = _network(settings, molecule.n_beads, keys[1])
    prior = Prior.fit(molecule, x) if settings.prior == "noise_aware" else Prior({})
    scale = jnp.asarray(spread, jnp.float32)
    return InvariantEnergy(prior, standardiser, network, scale, jnp.zeros_like(standardiser.log_levels))


def _empty_invariant(config: Config, n_beads: int, shape: dict[str, Any]) -> AbstractScore:
    assert isinstance(config.energy, InvariantSettings)
    network = _network(config.energy, n_beads, jax.random.key(0))
    sizes = {str(name): int(size) for name, size in dict(shape["prior"]).items()}
    if sizes.keys() - TERMS.keys() or any(not 0 < size <= n_beads * (n_beads - 1) // 2 for size in sizes.values()):
        raise ValueError(f"a prior of {sizes} for {n_beads} beads")
    standardiser = Standardiser.zeros(n_invariants(n_beads))
    return InvariantEnergy(Prior.zeros(sizes), standardiser, network, jnp.zeros(()), standardiser.log_levels)


def _network(settings: InvariantSettings, n_beads: int, key: PRNGKeyArray) -> ResidualMLP | RangeMixture:
    n_in = n_invariants(n_beads) + InvariantEnergy.n_noise_features
    make = lambda key: ResidualMLP(n_in, settings.width, settings.depth, key)
    if not settings.boundaries:
        return make(key)
    return RangeMixture([make(k) for k in jax.random.split(key, len(settings.boundaries) + 1)], settings.boundaries)


def _fit_transformer(config: Config, molecule: Molecule, x: np.ndarray, key: PRNGKeyArray) -> AbstractScore:
    settings, spread = config.energy, float(np.std(x, dtype=np.float64))
    assert isinstance(settings, GraphTransformerSettings)
    create = (GraphTransformerEnergy if settings.kind == "graph_transformer" else GraphTransformerScore).create
    return create(molecule.n_beads, schedule(config, spread).std, settings.hidden, settings.layers, key)


def _empty_transformer(config: Config, n_beads: int, shape: dict[str, Any]) -> AbstractScore:
    settings = config.energy
    assert isinstance(settings, GraphTransformerSettings)
    kind, out = (GraphTransformerEnergy, 1) if settings.kind == "graph_transformer" else (GraphTransformerScore, 3)
    # Not `create`, which leaves JAX for its numbers and so has no shapes without values.
    network = GraphTransformer(n_beads, settings.hidden, settings.layers, out, jax.random.key(0))
    return kind(network, schedule(config, 1.0))


MODELS: dict[str, _Kind] = {
    "invariant": _Kind(_fit_invariant, _empty_invariant),
    "graph_transformer": _Kind(_fit_transformer, _empty_transformer),
    "graph_transformer_direct": _Kind(_fit_transformer, _empty_transformer),
}
