"""RUN folders: a trained model and everything needed to use it.

config.toml          the configuration as resolved: trains the same model again
model.safetensors    the model's arrays: averaged weights, prior, standardisation
model.json           molecule, temperature, what the arrays' shapes depend on, the training data, hashes
log.jsonl            one line a block of training steps
checkpoint.*         the state of training (see `train`)
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Bool, Float

from .bond_thermostat import BondThermostat
from .config import Config, read_config
from .energy.base import AbstractScore
from .energy.build import SIGMA_MAX_SPREADS, empty_model, model_shape, schedule
from .errors import InputError
from .level import LevelCurve
from .molecule import Molecule
from .noise import karras_levels
from .samplers import SPACING
from .storage import describe, explain_os_errors, read_json, reading, sha256, temperature_in, write_json, write_text
from .systems import run_folder
from .tensors import load_tree, save_tree
from .trajectory import Trajectory
from .units import thermal_energy

RADIANS = 1.35
LONGEST_DT_FS = 20.0
"""Where bonds are so soft that something else is the fastest."""
FALLBACK_DT_FS = 2.0
"""Of a molecule without bonds."""
SHARED = "shared.json"
"""The description of a model of many molecules (`shared`)."""


@dataclass(frozen=True, eq=False)
class Physical:
    """What training frames look like: `spread` of all centred coordinates; bonds' mean and standard deviation; nm."""

    spread: float
    bond_mean: Float[np.ndarray, " b"]
    bond_sd: Float[np.ndarray, " b"]

    @staticmethod
    def of(trajectory: Trajectory) -> "Physical":
        """Measured on at most 50,000 frames."""
        x = np.asarray(trajectory.representative(50_000).positions, np.float64)
        x = x - x.mean(axis=1, keepdims=True)
        i, j = trajectory.molecule.bond_pairs.T
        bonds = np.linalg.norm(x[:, i] - x[:, j], axis=-1)
        return Physical(float(x.std()), bonds.mean(axis=0), bonds.std(axis=0))

    def intact(self, x: Float[np.ndarray, "... n 3"], molecule: Molecule) -> Bool[np.ndarray, "..."]:
        """Which frames are finite with every bond within 20 standard deviations (at least 0.02 nm) of its mean."""
        i, j = molecule.bond_pairs.T
        with np.errstate(invalid="ignore", over="ignore"):
            off = np.abs(np.linalg.norm(x[..., i, :] - x[..., j, :], axis=-1) - self.bond_mean)
            near = (off <= np.maximum(20 * self.bond_sd, 0.02)).all(axis=-1)
        return near & np.isfinite(x).all(axis=(-1, -2))

    def fault(self, x: Float[np.ndarray, "n 3"], molecule: Molecule) -> str:
        """Why a frame is not `intact`, or nearly not, in words: its worst bond."""
        if not np.isfinite(x).all():
            return f"{int((~np.isfinite(x).all(axis=-1)).sum())} of {len(x)} beads have no finite position"
        i, j = molecule.bond_pairs.T
        lengths = np.linalg.norm(x[i] - x[j], axis=-1)
        k = int(np.argmax(np.abs(lengths - self.bond_mean) / np.maximum(20 * self.bond_sd, 0.02)))
        names = molecule.bead_names
        return (
            f"bond {names[i[k]]}{i[k] + 1}-{names[j[k]]}{j[k] + 1} is {lengths[k]:.3g} nm long, in training "
            f"{self.bond_mean[k]:.4f} ± {self.bond_sd[k]:.4f} nm"
        )


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model of one molecule, with the temperature (K) it was learned at and how it was trained.

    `levels`: how good its force is at each noise level, on validation frames.
    """

    score: AbstractScore
    molecule: Molecule
    temperature: float
    config: Config
    physical: Physical
    training: dict[str, Any]
    levels: LevelCurve

    @property
    def level(self) -> float:
        """The configured force level in nm."""
        simulation = self.config.simulation
        if simulation.level_t is not None:
            return float(schedule(self.config, self.physical.spread).sigmas[simulation.level_t])
        return self.levels.chosen_nm if simulation.level == "auto" else simulation.level

    def checked_level(self, level: float | None) -> float:
        """`level` in nm, None for the configured one. Raises InputError unless it is a positive number."""
        if level is None:
            return self.level
        if not 0 < level < np.inf:
            raise InputError(f"the force level must be a positive number of nm, not {level}")
        return float(level)

    @property
    def dt_fs(self) -> float:
        """The configured time step in fs."""
        return time_step_fs(self.config, self.physical, self.molecule, self.temperature)

    @property
    def bond_thermostat(self) -> BondThermostat:
        """That of its bonds, as stiff as they are in the data."""
        frequencies = bond_frequencies(self.config, self.physical, self.molecule, self.temperature)
        return BondThermostat.of(self.molecule.bond_pairs, frequencies)

    @property
    def masses(self) -> Float[np.ndarray, " n"]:
        """Bead masses in Da: the configuration's one mass, else the molecule's."""
        return bead_masses(self.config, self.molecule)

    def with_mass(self, mass: float) -> Self:
        """The same model with beads of `mass` Da, every one: equal populations, slower kinetics the heavier they are.

        Vibrations take longer by the square root of the factor, and so may steps; so do, about, crossings of barriers at a
        friction of 1/ps (docs/design.md), in the limit of much friction longer by the factor itself. Raises InputError
        unless `mass` is a positive number.
        """
        if not 0 < mass < np.inf:
            raise InputError(f"a bead's mass is {mass:g} Da; it must be a positive number")
        simulation = self.config.simulation.model_copy(update={"mass": float(mass)})
        return replace(self, config=self.config.model_copy(update={"simulation": simulation}))

    def about(self) -> dict[str, Any]:
        """What frames that it makes say of it: its kind and size, and how it was trained (no more than is known)."""
        keys = ("dataset", "train_frames", "steps", "validation_loss", "seconds")
        size = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(self.score, eqx.is_inexact_array)))
        found = {"energy": self.config.energy.kind, "parameters": size}
        return found | {key: self.training[key] for key in keys if self.training.get(key) is not None}

    def sampling_levels(self, steps: int | None = None) -> Float[np.ndarray, " k"]:
        """The sampler's noise levels in nm, decreasing; `steps` of them unless the configuration's number is meant.

        Raises InputError if `steps` is less than 2, or the sampler walks down all levels of the schedule.
        """
        sampling = self.config.sampling
        if steps is not None and steps < 2:
            raise InputError(f"{steps} noise levels to sample with; it must be 2 or more")
        if sampling.sampler == "ancestral":
            if steps is not None:
                raise InputError(
                    "the ancestral sampler takes all levels of its schedule; leave the number of steps away"
                )
            return schedule(self.config, self.physical.spread).sampling_levels()
        sigma_max = getattr(self.config.noise, "sigma_max", None) or SIGMA_MAX_SPREADS * self.physical.spread
        assert sampling.sigma_min is not None  # the configuration is resolved
        return karras_levels(sigma_max, sampling.sigma_min, steps or sampling.steps, SPACING.get(sampling.sampler, 7.0))


def bead_masses(config: Config, molecule: Molecule) -> Float[np.ndarray, " n"]:
    """In Da: the configuration's one mass, else the molecule's."""
    one = config.simulation.mass
    return np.array(molecule.masses if one is None else [one] * molecule.n_beads)


def time_step_fs(config: Config, physical: Physical, molecule: Molecule, temperature: float) -> float:
    """The configured time step in fs; "auto" is `RADIANS` of the stiffest bond's vibration, in steps of half a fs.

    A bond of standard deviation s between masses m and m' vibrates at omega^2 = kT (1/m + 1/m') / s^2. BAOAB samples a
    harmonic bond exactly at any stable step (omega dt < 2); what is not harmonic sets the limit (see docs/design.md).
    """
    if config.simulation.dt_fs != "auto":
        return config.simulation.dt_fs
    if not len(molecule.bond_pairs):
        return FALLBACK_DT_FS
    fastest = bond_frequencies(config, physical, molecule, temperature).max()
    return float(np.clip(np.floor(2e3 * RADIANS / fastest) / 2, 0.5, LONGEST_DT_FS))


def bond_frequencies(
    config: Config, physical: Physical, molecule: Molecule, temperature: float
) -> Float[np.ndarray, " k"]:
    """Angular frequencies of the bonds' vibrations in rad/ps, for bead masses in Da at a temperature in K."""
    i, j = molecule.bond_pairs.T
    m = bead_masses(config, molecule)
    return np.sqrt(thermal_energy(temperature) * (1 / m[i] + 1 / m[j])) / np.maximum(physical.bond_sd, 1e-6)


def save_model(model: Model, path: Path) -> None:
    """Write `config.toml`, `model.safetensors` and `model.json` into the existing folder `path`."""
    save_tree(path / "model.safetensors", model.score)
    write_text(path / "config.toml", model.config.to_toml())
    physical, native = model.physical, model.molecule.native
    content = describe(
        "run",
        molecule=model.molecule.to_json(),
        native=None if native is None else np.asarray(native, float).round(5).tolist(),
        temperature_K=model.temperature,
        shape=model_shape(model.score),
        spread_nm=physical.spread,
        bond_mean_nm=physical.bond_mean.tolist(),
        bond_sd_nm=physical.bond_sd.tolist(),
        training=model.training,
        force_level=model.levels.to_json(),
        sha256={"model.safetensors": sha256(path / "model.safetensors")},
    )
    write_json(path / "model.json", content)


def load_model(path: Path | str) -> Model:
    """Read a RUN folder, or the built-in model of that name ("ala2"); lengths in nm, masses in Da, temperature in K.

    Raises InputError if it is missing, unfinished, damaged or not what its description says.
    """
    path = run_folder(path)
    if (path / SHARED).exists():
        raise InputError(
            f"{path} is a model of many molecules: say of which with --molecule (a DATASET folder or a PDB file), or "
            "make a model of one molecule: scorefield train DATASET --from RUN"
        )
    if not (path / "model.json").exists() and (path / "checkpoint.json").exists():
        raise InputError(
            f"{path} holds an unfinished training; go on with: scorefield train DATASET -o {path} --resume"
        )
    if not (path / "model.json").exists() and (path / "refinement.json").exists():
        raise InputError(
            f"{path} holds an unfinished refinement; go on with: scorefield refine RUN --reference DATASET -o {path} --resume"
        )
    data = read_json(path / "model.json", "run")
    config = read_config(path / "config.toml")
    with reading(path / "model.json"):
        native = data["native"]
        molecule = Molecule.from_json(data["molecule"], None if native is None else np.array(native, float))
        bond_mean, bond_sd = (np.array(data[key], float) for key in ("bond_mean_nm", "bond_sd_nm"))
        spread, temperature = float(data["spread_nm"]), temperature_in(data)
        if not (bond_mean.shape == bond_sd.shape == (len(molecule.bond_pairs),)):
            raise ValueError("bond lengths do not fit the molecule")
        if not (np.isfinite([*bond_mean, *bond_sd]).all() and 0 < spread < math.inf and 0 < temperature < math.inf):
            raise ValueError("spread, temperature and bond lengths must be finite and positive")
        shape, training, digest = dict(data["shape"]), dict(data["training"]), data["sha256"]["model.safetensors"]
        levels = LevelCurve.from_json(data["force_level"])
        empty = empty_model(config, molecule.n_beads, shape)
    with explain_os_errors(path / "model.safetensors"):
        if sha256(path / "model.safetensors") != digest:
            raise InputError(f"{path}/model.safetensors has changed since it was written (sha256 differs)")
    score = load_tree(path / "model.safetensors", empty)
    return Model(score, molecule, temperature, config, Physical(spread, bond_mean, bond_sd), training, levels)
