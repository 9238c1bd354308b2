"""SHARED folders: a trained model of many molecules, and the model of one molecule that it makes.

config.toml          the configuration as resolved
shared.safetensors   the weights that all molecules share
shared.json          what was fitted by types of beads, temperature, map, what it was trained on, hashes
log.jsonl, checkpoint.*   as in a RUN folder
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .allatom import load_structure
from .config import Config, TransferableSettings, read_config
from .dataset import load_dataset
from .energy.build import empty_normaliser, parts_of, shared_network
from .energy.chain import ChainNetwork
from .energy.transferable import TransferableEnergy
from .energy.types import Types
from .errors import InputError
from .level import LevelCurve
from .mapping import NAMED_MAPS, bead_map
from .model import SHARED, Model, Physical, load_model
from .molecule import Molecule
from .storage import describe, explain_os_errors, read_json, reading, sha256, temperature_in, write_json, write_text
from .systems import run_folder
from .tensors import load_tree, save_tree


class Weights(eqx.Module):
    """What all molecules share."""

    network: ChainNetwork
    normaliser: Float[Array, "g k"]


@dataclass(frozen=True, eq=False)
class SharedModel:
    """One model of many molecules: `of` gives that of any molecule of such beads, seen in training or not.

    `types`: what was fitted by types of beads; `temperature` in K; `map`: what made the beads; `levels` as in `Model`.
    """

    weights: Weights
    types: Types
    temperature: float
    map: str
    config: Config
    training: dict[str, Any]
    levels: LevelCurve

    def of(self, molecule: Molecule) -> Model:
        """The model of `molecule`.

        Raises InputError if that is no chain, is longer than those of the training, or has beads or residues that it does
        not know.
        """
        parts = parts_of(self.config, self.types, molecule)
        score = TransferableEnergy(parts, self.weights.network, self.weights.normaliser)
        physical = Physical(float(parts.spread), *self.types.bonds(molecule))
        seen = {"seen": molecule.name in self.training.get("molecules", [])}
        return Model(score, molecule, self.temperature, self.config, physical, self.training | seen, self.levels)

    def read_molecule(self, path: Path) -> Molecule:
        """The molecule of a DATASET folder, or of a PDB file of atoms or of beads. Raises InputError if it is neither."""
        if (path / "dataset.json").exists():
            return load_dataset(path, verify_hashes=False).molecule
        if not path.is_file():
            raise InputError(f"--molecule {path}: give a DATASET folder, or a PDB file of the molecule")
        topology, _ = load_structure(path)
        if self.map not in NAMED_MAPS:
            raise InputError(f"beads of the map {self.map!r} cannot be read off a structure; give a DATASET folder")
        return bead_map(self.map, topology, path.stem).molecule


def save_shared(model: SharedModel, path: Path) -> None:
    """Write `config.toml`, `shared.safetensors` and `shared.json` into the existing folder `path`."""
    save_tree(path / "shared.safetensors", model.weights)
    write_text(path / "config.toml", model.config.to_toml())
    content = describe(
        "shared",
        types=model.types.to_json(),
        temperature_K=model.temperature,
        map=model.map,
        training=model.training,
        force_level=model.levels.to_json(),
        sha256={"shared.safetensors": sha256(path / "shared.safetensors")},
    )
    write_json(path / SHARED, content)


def load_shared(path: Path | str) -> SharedModel:
    """Read a SHARED folder. Raises InputError if it is missing, unfinished, damaged or not what its description says."""
    path = Path(path)
    data = read_json(path / SHARED, "shared")
    config = read_config(path / "config.toml")
    with reading(path / SHARED):
        types, levels = Types.from_json(data["types"]), LevelCurve.from_json(data["force_level"])
        temperature, training, map = temperature_in(data), dict(data["training"]), str(data["map"])
        digest = data["sha256"]["shared.safetensors"]
        if not 0 < temperature < math.inf:
            raise ValueError("the temperature must be finite and positive")
        if not isinstance(config.energy, TransferableSettings):
            raise ValueError(f"an energy of the kind {config.energy.kind!r}")
    with explain_os_errors(path / "shared.safetensors"):
        if sha256(path / "shared.safetensors") != digest:
            raise InputError(f"{path}/shared.safetensors has changed since it was written (sha256 differs)")
    empty = eqx.filter_eval_shape(lambda: Weights(shared_network(config, jax.random.key(0)), empty_normaliser()))
    weights = load_tree(path / "shared.safetensors", empty)
    return SharedModel(weights, types, temperature, map, config, training, levels)


def is_shared(path: Path | str) -> bool:
    """Whether a folder holds a model of many molecules."""
    return (Path(path) / SHARED).exists()


def model_for(path: Path | str, molecule: Path | Molecule | None) -> Model:
    """The model in a RUN folder, or that of `molecule` (DATASET folder, PDB file) of a SHARED folder.

    Raises InputError if a SHARED folder comes without a molecule, a RUN folder with one, or as `load_model` and
    `SharedModel.of` do.
    """
    if not is_shared(path):
        if isinstance(molecule, Path):
            raise InputError(f"{run_folder(path)} is a model of one molecule: leave --molecule away")
        return load_model(path)
    if molecule is None:
        return load_model(path)  # which says what is missing
    shared = load_shared(path)
    return shared.of(shared.read_molecule(molecule) if isinstance(molecule, Path) else molecule)
