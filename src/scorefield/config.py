"""Configurations: TOML files checked by pydantic, lengths in nm, times in ps unless the name says fs.

Every number has a default that works for any molecule; those that depend on the data's size are None and are filled in
from the training frames by `energy.build`.
"""

import tomllib
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import tomli_w
from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from .energy_config import (
    AutoSettings,
    BeadSettings,
    Energy,
    GraphTransformerSettings,
    InvariantSettings,
    Section,
    TransferableSettings,
)
from .errors import InputError

__all__ = [
    "AutoSettings",
    "BeadSettings",
    "Config",
    "CosineNoise",
    "Energy",
    "GraphTransformerSettings",
    "InvariantSettings",
    "MixtureNoise",
    "TransferableSettings",
    "config_from",
    "config_names",
    "difference",
    "load_config",
    "read_config",
]

_BY_SIZE = cast(Any, None)
"""None where nothing is said; a number once `energy.build.resolve` has seen the molecule."""


class CosineNoise(Section):
    """The paper's 1000 levels; half of the draws from t < `threshold`."""

    kind: Literal["cosine"]
    threshold: Annotated[int, Field(ge=1, lt=1000)] = 100


class MixtureNoise(Section):
    """Draws log-uniform in [sigma_min, sigma_split], a fraction_small, in [sigma_large, sigma_max], a fraction_large, and
    between them, the rest. Without the two there is one range above sigma_split.

    None: 0.0105 and 0.21 mean bond lengths (0.0015 and 0.03 nm between heavy atoms, 0.004 and 0.08 between C-alphas), and
    12 times the data's spread; a fraction_small of 0.6. With the energy "beads" of 0.45, and a fraction_large of 0.2 above
    the data's spread: there is less to learn there.
    """

    kind: Literal["log_uniform_mixture"] = "log_uniform_mixture"
    sigma_min: PositiveFloat | None = None
    sigma_split: PositiveFloat | None = None
    sigma_max: PositiveFloat | None = None
    fraction_small: Annotated[float, Field(gt=0, lt=1)] | None = None
    sigma_large: PositiveFloat | None = None
    fraction_large: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        given = [s for s in (self.sigma_min, self.sigma_split, self.sigma_large, self.sigma_max) if s is not None]
        if any(a >= b for a, b in pairwise(given)):
            raise ValueError("sigma_min, sigma_split, sigma_large and sigma_max must increase in this order")
        if (self.fraction_small or 0.0) + (self.fraction_large or 0.0) >= 1:
            raise ValueError("fraction_small and fraction_large must leave some draws for the levels between")
        return self


class Training(Section):
    """Adam with warm-up and cosine decay, gradient clipping at norm 1, exponential average of the weights.

    `optimiser` "muon": whatever has two dimensions by Muon instead (Jordan et al. 2024), with updates as large as Adam's
    (arXiv 2502.16982). It, steps, batch, learning rate and average that a configuration leaves out depend on the energy
    (`energy.build.usual`); a short training averages over no more than a tenth of its steps.

    `objective`: "denoising" needs structures only; "both" takes the forces of the data as a second label at every noise
    level (`diffusion.force_denoising_loss`); "forces" is force matching at noise 0: a force field, but no samples.
    `contrast` weighs the contrast of noise levels (`diffusion.level_contrast`), which needs an energy of ours and the default
    noise; `fokker_planck` the penalty on the residual of the Fokker-Planck equation, which needs an energy of ours.
    """

    optimiser: Literal["adam", "muon"] = _BY_SIZE
    steps: PositiveInt = _BY_SIZE
    batch: PositiveInt = _BY_SIZE
    learning_rate: PositiveFloat = _BY_SIZE
    final_learning_rate: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["cosine"] = "cosine"
    warmup: Annotated[int, Field(ge=0)] = 200
    ema: Annotated[float, Field(ge=0, lt=1)] = _BY_SIZE
    rotate: bool = False
    objective: Literal["denoising", "both", "forces"] = "denoising"
    contrast: Annotated[float, Field(ge=0)] = 0.1
    fokker_planck: Annotated[float, Field(ge=0)] = 0.0


class Sampling(Section):
    """`steps` levels of the sampler: `sde` costs one evaluation a level, `heun` 2 steps - 1; `ancestral` takes all levels of
    the paper's schedule.

    `sigma_min` is the last level, None: 0.4 of the smallest that is trained, of the paper's networks the schedule's first.
    """

    sampler: Literal["sde", "heun", "ancestral"] = "sde"
    steps: Annotated[int, Field(ge=2)] = 50
    sigma_min: PositiveFloat | None = None


class Simulation(Section):
    """Langevin dynamics; the force level either as `level` in nm or as the paper's index `level_t`.

    "auto": the level that the model's own curve on validation frames speaks for (`level.LevelCurve`). `dt_fs` "auto": the
    time step that the stiffest bond bears (`model.time_step_fs`). `mass` (Da): of every bead; see `Model.with_mass`.
    """

    level: PositiveFloat | Literal["auto"] = "auto"
    level_t: Annotated[int, Field(ge=0, lt=1000)] | None = None
    dt_fs: PositiveFloat | Literal["auto"] = "auto"
    friction: PositiveFloat = 1.0
    mass: PositiveFloat | None = None

    @model_validator(mode="after")
    def _one_level(self) -> Self:
        if self.level != "auto" and self.level_t is not None:
            raise ValueError("give level (nm) or level_t (an index of the schedule), not both")
        return self


class Config(Section):
    """One experiment. Sections as in the TOML file."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    energy: Energy = AutoSettings()
    noise: Annotated[MixtureNoise | CosineNoise, Field(discriminator="kind")] = MixtureNoise()
    training: Training = Training()
    sampling: Sampling = Sampling()
    simulation: Simulation = Simulation()

    @model_validator(mode="after")
    def _trainable(self) -> Self:
        normalised = not isinstance(self.energy, GraphTransformerSettings)
        able = normalised and self.noise.kind == "log_uniform_mixture"
        if self.training.contrast and not able:
            raise ValueError(
                "training.contrast must be 0 unless energy.kind is an energy of ours and noise.kind log_uniform_mixture"
            )
        noiseless = normalised and not (self.training.contrast or self.training.fokker_planck)
        if self.training.objective == "forces" and not noiseless:
            raise ValueError(
                "training.objective forces needs energy.kind auto, invariant or beads, training.contrast 0 and "
                "training.fokker_planck 0"
            )
        if self.training.fokker_planck and not normalised:
            raise ValueError("training.fokker_planck must be 0 unless energy.kind is auto, invariant or beads")
        return self

    @field_validator("energy", "noise", mode="before")
    @classmethod
    def _default_kind(cls, section: Any, info: ValidationInfo) -> Any:
        """A section without a `kind` is of the default's kind."""
        default = cls.model_fields[info.field_name or ""].default
        return {"kind": default.kind, **section} if isinstance(section, dict) else section

    def to_toml(self) -> str:
        """The resolved configuration as TOML; what is None is left out."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))


def config_names() -> list[str]:
    """Names of the built-in configurations: "force_matching", "paper/alanine", ..."""
    root = files("scorefield") / "configs"
    found = [f"paper/{e.name}" for e in (root / "paper").iterdir()] + [e.name for e in root.iterdir()]
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


def load_config(name_or_file: str | Path | None = None) -> Config:
    """A built-in configuration by name, or one from a TOML file; None is the default.

    Raises InputError if there is none of that name, or a key is unknown or has a value out of range.
    """
    if name_or_file is None:
        return Config()
    path = Path(name_or_file)
    if str(name_or_file) in config_names():
        text = (files("scorefield") / "configs" / f"{name_or_file}.toml").read_text()
        return config_from(tomllib.loads(text), str(name_or_file))
    if path.is_file():
        return read_config(path)
    raise InputError(f"no configuration {str(name_or_file)!r}: give a TOML file or one of {', '.join(config_names())}")


def read_config(path: Path) -> Config:
    """The configuration in a TOML file. Raises InputError if it is missing, not TOML, or not a configuration."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"{path} is missing or cannot be read") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None
    return config_from(data, str(path))


def difference(theirs: str, ours: Config) -> str:
    """The first setting in which the TOML text `theirs` differs from `ours`, in words: "training.steps = 100, not 200"."""
    there, here = (_flat(tomllib.loads(text)) for text in (theirs, ours.to_toml()))
    key = next((k for k in [*here, *there] if here.get(k) != there.get(k)), "another order of keys")
    return f"{key} = {there.get(key, 'automatic')}, not {here.get(key, 'automatic')}"


def _flat(sections: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys."""
    found = {}
    for key, value in sections.items():
        found |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return found


def config_from(data: dict[str, Any], where: str) -> Config:
    """A configuration from plain types. Raises InputError naming the first offending key of `where`."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        words = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {key}: {words}" if key else f"{where}: {words}") from None
