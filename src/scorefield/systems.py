"""Built-in datasets, one pair of files each in `scorefield/data`: NAME.json describes, NAME.npz holds positions; and models.

Positions are int16 in units of `resolution_nm`, so the rounding (at most half of that) is far below any width.
A trained model of a system, where there is one, is a RUN folder in `scorefield/data/models`.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import Dataset, load_dataset
from .errors import InputError
from .molecule import Molecule
from .trajectory import Trajectory

_DATA = files("scorefield") / "data"
_MODELS = Path(str(_DATA)) / "models"


def systems() -> dict[str, str]:
    """What is built in: name and one-line description. Raises nothing."""
    names = sorted(entry.name.removesuffix(".npz") for entry in _DATA.iterdir() if entry.name.endswith(".npz"))
    return {name: str(_description(name)["description"]) for name in names}


def models() -> list[str]:
    """Names of the built-in systems that come with a trained model."""
    return sorted(folder.name for folder in _MODELS.iterdir() if folder.is_dir())


def run_folder(run: Path | str) -> Path:
    """The RUN folder `run`; where there is no such path, that of the built-in model of this name.

    Raises InputError if `run` holds the output of `scorefield run`, whose model is one folder deeper.
    """
    path = Path(run)
    if not path.exists() and str(run) in models():
        return _MODELS / str(run)
    if (path / "plan.json").exists() and (path / "run").exists():
        raise InputError(f"{path} is all of a `scorefield run`; its model is {path / 'run'}: give that")
    return path


def dataset_of(data: Path | str) -> Dataset:
    """The DATASET folder `data`; where there is none, the built-in dataset of this name. Raises as `load_dataset`."""
    if str(data) in systems() and not (Path(data) / "dataset.json").exists():
        return load_system(str(data))
    return load_dataset(data)


def load_system(name: str) -> Dataset:
    """The built-in dataset `name`, positions (n_frames, n_beads, 3) in nm.

    Raises InputError if there is none of that name.
    """
    data = _description(name)
    chains = data["chains"]
    with (_DATA / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        positions = arrays["positions"].astype(np.float32) * np.float32(data["resolution_nm"])
    positions -= positions.mean(axis=1, keepdims=True)
    trajectory = Trajectory(
        Molecule.from_json(data["molecule"]),
        positions,
        tuple(c["length"] for c in chains),
        float(data["temperature_K"]),
        data["interval_ps"],
    )
    return Dataset(
        trajectory,
        tuple(c["split"] for c in chains),
        tuple(c["source"] for c in chains),
        data["map"],
        data["provenance"],
        data["equilibrium"],
    )


def _description(name: str) -> dict[str, Any]:
    file = _DATA / f"{name}.json"
    if "/" in name or not file.is_file():
        raise InputError(f"no built-in system {name!r}; there are: {', '.join(systems())}")
    return json.loads(file.read_text())


def published(name: str) -> list[dict[str, Any]]:
    """Figures from the literature for the built-in system `name`; none for any other molecule. Raises nothing."""
    return _description(name).get("published", []) if name in systems() else []
