"""Models from a configuration and training frames, and their empty shapes for reading them back from a file.

`MODELS` maps a configuration's `energy.kind` to a pair of functions: adding a model is one entry.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..config import (
    AutoSettings,
    BeadSettings,
    Config,
    CosineNoise,
    Energy,
    GraphTransformerSettings,
    InvariantSettings,
    MixtureNoise,
    TransferableSettings,
    config_from,
)
from ..errors import InputError
from ..molecule import Molecule
from ..noise import AbstractLevels, CosineLevels, CosineSchedule, LogUniformMixture
from .base import AbstractScore
from .beads import BeadNetwork
from .chain import ChainNetwork
from .gaussian import GaussianEnergy
from .graph_transformer import GraphTransformer, GraphTransformerEnergy, GraphTransformerScore
from .invariant import InvariantEnergy
from .invariants import ALL_QUADS_UP_TO, N_LEVELS, SEGMENTS, Invariants, Standardiser
from .networks import AbstractNetwork, RangeMixture, ResidualMLP
from .prior import TERMS, Prior
from .residues import N_FEATURES
from .shifts import Shifts
from .term import fade_length, frame_distances, thinned
from .transferable import TransferableEnergy
from .types import Frames, Parts, Types, fit_types

SIGMA_MAX_SPREADS = 12.0
_MOST_LEVELS = 100
_STANDARDISER_MIN = 0.3  # of sigma_min: below it the features' moments no longer change


class _Kind(NamedTuple):
    fit: Callable[[Config, Molecule, np.ndarray, PRNGKeyArray], AbstractScore]
    empty: Callable[[Config, int, dict[str, Any]], AbstractScore]


def resolve(config: Config, molecule: Molecule, x: Float[np.ndarray, "f n 3"]) -> Config:
    """`config` with what depends on the molecule's size filled in from centred training frames `x` (nm).

    Raises InputError if the noise levels that it states and those that follow from the data do not increase, or what it
    states and what follows do not go together.
    """
    spread = float(np.std(x, dtype=np.float64))
    energy, noise, sampling, training = config.energy, config.noise, config.sampling, config.training
    if isinstance(energy, AutoSettings):
        few = molecule.n_beads <= ALL_QUADS_UP_TO
        energy = (InvariantSettings if few else BeadSettings)(prior=energy.prior, boundaries=energy.boundaries)
    if isinstance(energy, GraphTransformerSettings) and energy.std is None:
        energy = energy.model_copy(update={"std": spread})
    if isinstance(energy, BeadSettings) and energy.channels is None:
        energy = energy.model_copy(update={"channels": 0 if molecule.n_beads <= SEGMENTS else 8})
    left = {key: value for key, value in usual(energy, molecule.n_beads).items() if getattr(training, key) is None}
    training = training.model_copy(update=left)
    if "ema" in left:  # the average of a short training must forget where it began
        training = training.model_copy(update={"ema": min(left["ema"], max(0.0, 1 - 10 / (training.steps or 1)))})
    if not isinstance(noise, CosineNoise):
        noise = _resolved(noise, molecule, x, spread, isinstance(energy, BeadSettings | TransferableSettings))
    config = config.model_copy(update={"energy": energy, "noise": noise, "training": training})
    if isinstance(energy, GraphTransformerSettings):
        last = float(schedule(config, spread).sigmas[0])
    else:
        last = 0.4 * training_levels(config, spread).small[0]
    sampling = sampling.model_copy(update={"sigma_min": sampling.sigma_min or last})
    settings = config.model_copy(update={"sampling": sampling}).model_dump(exclude_none=True)
    return config_from(settings, "the configuration and what follows from it")


def usual(energy: Energy, n_beads: int) -> dict[str, Any]:
    """What of `Training` follows from the energy, where a configuration does not say (docs/design.md, "Shared weights").

    Where weights are shared over beads every bead is an example of its own: smaller batches and more steps.
    """
    if not isinstance(energy, BeadSettings | TransferableSettings):
        return {"optimiser": "adam", "steps": 36_000, "batch": 256, "learning_rate": 4e-3, "ema": 0.999}
    batch = 64 if n_beads <= SEGMENTS else 32
    return {"optimiser": "muon", "steps": 60_000, "batch": batch, "learning_rate": 3e-3, "ema": 0.9995}


def _resolved(noise: MixtureNoise, molecule: Molecule, x: np.ndarray, spread: float, shared: bool) -> MixtureNoise:
    """What is not stated; the small levels to two digits: a force is read off at some hundredths of a bond's length."""
    bonds = frame_distances(thinned(x), molecule.bond_pairs)
    length = float(bonds.mean()) if bonds.size else spread
    found = {"sigma_min": 0.0105 * length, "sigma_split": 0.21 * length}
    small = noise.fraction_small or min(0.45 if shared else 0.6, 0.6 * (1 - (noise.fraction_large or 0.0)))
    found = {k: float(f"{v:.2g}") for k, v in found.items()} | {"fraction_small": small}
    if shared or noise.sigma_large or noise.fraction_large:
        found |= {"sigma_large": spread, "fraction_large": min(0.2, (1 - small) / 2)}
    found |= {"sigma_max": SIGMA_MAX_SPREADS * spread}
    found |= {k: v for k, v in noise.model_dump().items() if k != "kind" and v is not None}
    levels = {k: v for k, v in found.items() if k.startswith("sigma")}
    if any(a >= b for a, b in pairwise(levels.values())):
        words = ", ".join(f"{k} {v:.3g}" for k, v in levels.items())
        raise InputError(f"the noise levels do not increase: {words} nm; state them all in [noise]")
    return noise.model_copy(update=found)


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
    if isinstance(model, TransferableEnergy):
        return {"prior": model.parts.prior.sizes}
    if not isinstance(model, InvariantEnergy):
        return {}
    return {"prior": model.prior.sizes} | ({} if model.shifts is None else {"shifts": len(model.shifts.log_levels)})


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
    edges = tuple(s for s in (noise.sigma_min, noise.sigma_split, noise.sigma_large, noise.sigma_max) if s is not None)
    small, large = noise.fraction_small or 0.0, noise.fraction_large or 0.0  # stated, the configuration being resolved
    return LogUniformMixture(edges, (small, 1 - small) if len(edges) == 3 else (small, 1 - small - large, large))


def _fit_invariant(config: Config, molecule: Molecule, x: np.ndarray, key: PRNGKeyArray) -> AbstractScore:
    settings = config.energy
    assert isinstance(settings, InvariantSettings | BeadSettings)
    spread = float(np.std(x, dtype=np.float64))
    sigma_max = SIGMA_MAX_SPREADS * spread
    sigma_min = training_levels(config, spread).small[0]
    keys = jax.random.split(key)
    invariants = _invariants(settings, molecule.n_beads)
    standardiser = Standardiser.fit(invariants, x, _STANDARDISER_MIN * sigma_min, sigma_max, keys[0])
    network = _network(settings, invariants, keys[1])
    prior = Prior.fit(molecule, x) if settings.prior == "noise_aware" else Prior({})
    scale = jnp.asarray(spread, jnp.float32)
    fade, normaliser = jnp.asarray(fade_length(molecule, x), jnp.float32), jnp.zeros_like(standardiser.log_levels)
    baseline = GaussianEnergy.from_positions(x)
    least = 1e-6 * spread**2  # finite at no noise, where frames are too few to vary in every way
    baseline = eqx.tree_at(lambda b: b.variances, baseline, jnp.maximum(baseline.variances, least))
    return InvariantEnergy(baseline, prior, standardiser, network, scale, fade, normaliser, invariants)


def _empty_invariant(config: Config, n_beads: int, shape: dict[str, Any]) -> AbstractScore:
    settings = config.energy
    assert isinstance(settings, InvariantSettings | BeadSettings)
    invariants = _invariants(settings, n_beads)
    network = _network(settings, invariants, jax.random.key(0))
    sizes = _prior_sizes(n_beads, shape)
    standardiser = Standardiser.zeros(invariants.number)
    baseline, prior, number = GaussianEnergy.zeros(n_beads), Prior.zeros(sizes), jnp.zeros(())
    shifts = Shifts.zeros(_checked(int(shape["shifts"])), network) if "shifts" in shape else None
    numbers = number, number, standardiser.log_levels
    return InvariantEnergy(baseline, prior, standardiser, network, *numbers, invariants, shifts)


def _checked(levels: int) -> int:
    if not 1 <= levels <= _MOST_LEVELS:
        raise ValueError(f"shifts at {levels} levels")
    return levels


def _prior_sizes(n_beads: int, shape: dict[str, Any]) -> dict[str, int]:
    sizes = {str(name): int(size) for name, size in dict(shape["prior"]).items()}
    if sizes.keys() - TERMS.keys() or any(not 0 < size <= n_beads * (n_beads - 1) // 2 for size in sizes.values()):
        raise ValueError(f"a prior of {sizes} for {n_beads} beads")
    return sizes


def fit_shared_types(config: Config, given: Sequence[Frames], key: PRNGKeyArray) -> Types:
    """The tables that a resolved `config` asks for, of the molecules and frames `given`."""
    sigma_max = getattr(config.noise, "sigma_max", None) or SIGMA_MAX_SPREADS * max(float(np.std(f.x)) for f in given)
    return fit_types(given, _STANDARDISER_MIN * training_levels(config, 1.0).small[0], sigma_max, key)


def parts_of(config: Config, types: Types, molecule: Molecule) -> Parts:
    """The parts of `molecule` that `config` asks for."""
    parts, settings = types.parts(molecule), config.energy
    assert isinstance(settings, TransferableSettings)
    return parts if settings.prior == "noise_aware" else eqx.tree_at(lambda p: p.prior, parts, Prior({}))


def shared_network(config: Config, key: PRNGKeyArray) -> ChainNetwork:
    """The untrained network of a `config` of the kind "transferable"."""
    settings = config.energy
    assert isinstance(settings, TransferableSettings)
    return ChainNetwork(
        N_FEATURES,
        InvariantEnergy.n_noise_features,
        width=settings.width,
        interactions=settings.interactions,
        channels=settings.channels,
        radial=settings.radial,
        cutoff=settings.cutoff,
        key=key,
    )


def empty_normaliser() -> Float[Array, "g k"]:
    """Of the kind "transferable"."""
    return jnp.zeros((N_LEVELS, N_FEATURES))


def _fit_transferable(config: Config, molecule: Molecule, x: np.ndarray, key: PRNGKeyArray) -> AbstractScore:
    keys = jax.random.split(key)
    types = fit_shared_types(config, [Frames(molecule, x)], keys[0])
    return TransferableEnergy(parts_of(config, types, molecule), shared_network(config, keys[1]), empty_normaliser())


def _empty_transferable(config: Config, n_beads: int, shape: dict[str, Any]) -> AbstractScore:
    standardiser, number = Standardiser.zeros(Invariants(n_beads, "local").number), jnp.zeros(())
    features, prior = jnp.zeros((n_beads, N_FEATURES)), Prior.zeros(_prior_sizes(n_beads, shape))
    parts = Parts(GaussianEnergy.zeros(n_beads), prior, standardiser, number, number, features)
    return TransferableEnergy(parts, shared_network(config, jax.random.key(0)), empty_normaliser())


def _invariants(settings: InvariantSettings | BeadSettings, n_beads: int) -> Invariants:
    return Invariants(n_beads, coarse=isinstance(settings, BeadSettings))


def _network(settings: InvariantSettings | BeadSettings, invariants: Invariants, key: PRNGKeyArray) -> AbstractNetwork:
    make = lambda key: _one_network(settings, invariants, key)
    if not settings.boundaries:
        return make(key)
    return RangeMixture([make(k) for k in jax.random.split(key, len(settings.boundaries) + 1)], settings.boundaries)


def _one_network(
    settings: InvariantSettings | BeadSettings, invariants: Invariants, key: PRNGKeyArray
) -> AbstractNetwork:
    n_noise = InvariantEnergy.n_noise_features
    if isinstance(settings, InvariantSettings):
        return ResidualMLP(invariants.number + n_noise, settings.width, settings.depth, key)
    assert settings.channels is not None  # the configuration is resolved
    return BeadNetwork(
        invariants,
        n_noise,
        width=settings.width,
        interactions=settings.interactions,
        channels=settings.channels,
        radial=settings.radial,
        cutoff=settings.cutoff,
        coarse=(settings.coarse_width, settings.coarse_depth),
        key=key,
    )


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
    "beads": _Kind(_fit_invariant, _empty_invariant),
    "transferable": _Kind(_fit_transferable, _empty_transferable),
    "graph_transformer": _Kind(_fit_transformer, _empty_transformer),
    "graph_transformer_direct": _Kind(_fit_transformer, _empty_transformer),
}
