"""Configurations: TOML files checked by pydantic, lengths in nm, times in ps unless the name says fs.

Every number has a default that works for any molecule; those that depend on the data's size are None and are filled in
from the training frames by `energy.build`.
"""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from .errors import InputError

Fraction = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InvariantSettings(_Section):
    """The default energy: baseline, noise-aware prior, and a residual MLP on exact invariants."""

    kind: Literal["invariant"] = "invariant"
    width: PositiveInt = 128
    depth: PositiveInt = 3


class GraphTransformerSettings(_Section):
    """The paper's network, conservative or direct; `std` of the data in nm (None: of the training frames)."""

    kind: Literal["graph_transformer", "graph_transformer_direct"]
    hidden: PositiveInt
    layers: PositiveInt
    std: PositiveFloat | None = None


class CosineNoise(_Section):
    """The paper's 1000 levels; half of the draws from t < `threshold`."""

    kind: Literal["cosine"]
    threshold: PositiveInt = 100


class MixtureNoise(_Section):
    """A fraction of draws log-uniform in [sigma_min, sigma_split], the rest up to sigma_max (None: 12 x the spread)."""

    kind: Literal["log_uniform_mixture"] = "log_uniform_mixture"
    sigma_min: PositiveFloat = 0.0015
    sigma_split: PositiveFloat = 0.03
    sigma_max: PositiveFloat | None = None
    fraction_small: Fraction = 0.6


class Training(_Section):
    """Adam with warm-up and cosine decay, gradient clipping at norm 1, exponential average of the weights."""

    steps: PositiveInt = 40_000
    batch: PositiveInt = 256
    learning_rate: PositiveFloat = 4e-3
    final_learning_rate: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["cosine"] = "cosine"
    warmup: Annotated[int, Field(ge=0)] = 200
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    rotate: bool = False


class Sampling(_Section):
    """`steps` levels of the sampler: `heun` costs 2 steps - 1 evaluations, `ancestral` one a level of the schedule."""

    sampler: Literal["heun", "ancestral"] = "heun"
    steps: PositiveInt = 25
    sigma_min: PositiveFloat = 0.0008


class Simulation(_Section):
    """Langevin dynamics; the force level either as `level` in nm or as the paper's index `level_t`."""

    level: PositiveFloat = 0.003
    level_t: int | None = None
    dt_fs: PositiveFloat = 2.0
    friction: PositiveFloat = 1.0
    mass: PositiveFloat | None = None


class Config(_Section):
    """One experiment. Sections as in the TOML file."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    energy: Annotated[InvariantSettings | GraphTransformerSettings, Field(discriminator="kind")] = InvariantSettings()
    noise: Annotated[MixtureNoise | CosineNoise, Field(discriminator="kind")] = MixtureNoise()
    training: Training = Training()
    sampling: Sampling = Sampling()
    simulation: Simulation = Simulation()

    def to_toml(self) -> str:
        """The resolved configuration as TOML; what is None is left out."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))


def config_names() -> list[str]:
    """Names of the built-in configurations: "default", "paper/alanine", ..."""
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
    elif path.is_file():
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{path} cannot be read as text") from None
    else:
        raise InputError(
            f"no configuration {str(name_or_file)!r}: give a TOML file or one of {', '.join(config_names())}"
        )
    try:
        return config_from(tomllib.loads(text), str(name_or_file))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{name_or_file} is not valid TOML: {error}") from None


def config_from(data: dict[str, Any], where: str) -> Config:
    """A configuration from plain types. Raises InputError naming the first offending key of `where`."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{where}: {key}: {first['msg']}") from None
