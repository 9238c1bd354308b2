"""What one of our folders is, in plain types: for `scorefield info`."""

from collections import Counter
from pathlib import Path
from typing import Any

from .config import read_config
from .errors import InputError
from .molecule import Molecule
from .pipeline import PARTS
from .storage import read_json, reading
from .systems import run_folder

_KINDS = {
    "dataset.json": "dataset",
    "model.json": "run",
    "shared.json": "shared",
    "checkpoint.json": "checkpoint",
    "refinement.json": "refinement",
    "simulation.json": "frames",
    "state.json": "state",
    "reference.json": "reference",
    "plan.json": "plan",
    "verify.json": "verification",
    "atoms.json": "atoms",
}


def describe_folder(path: Path) -> dict[str, Any]:
    """What one of our folders is, as plain types. Raises InputError if it is none of ours, or its description damaged."""
    path = run_folder(path) if not path.exists() else path
    if not path.is_dir():
        raise InputError(f"{path} is not a folder")
    name = next((name for name in _KINDS if (path / name).exists()), None)
    if name is None and (path / "metrics.json").exists():
        return {"kind": "report", "open": str(path / "index.html")}
    if name is None:
        raise InputError(f"{path} is not a folder that scorefield wrote: no {', '.join(_KINDS)} in it")
    content = read_json(path / name, _KINDS[name])
    with reading(path / name):
        found = _plan(path, content) if name == "plan.json" else _described(content, _KINDS[name])
        if name == "state.json":
            found["state"] = f"unfinished, {content['time_ps']:g} ps so far; go on with the same command and --resume"
    if (path / "config.toml").exists():
        found["config"] = read_config(path / "config.toml").model_dump(exclude_none=True)
    return found | {"format_version": content["version"], "written_by": content.get("versions")}


def _described(content: dict[str, Any], kind: str) -> dict[str, Any]:
    if kind == "reference":
        return {"kind": "all-atom dynamics"} | {key: content[key] for key in ("settings", "done", "warnings", "openmm")}
    if kind == "refinement":
        return {"kind": "unfinished refinement; go on with the same command and --resume"} | {
            key: content[key] for key in ("course", "done", "seconds")
        }
    if kind == "shared":
        found = {"kind": "model of many molecules", "beads": f"up to {content['types']['longest']}"}
        return found | {key: content[key] for key in ("temperature_K", "map", "training")}
    molecule = Molecule.from_json(content["molecule"])
    kind = content.get("kind", "simulation" if kind == "state" else kind)
    found = {"kind": kind, "molecule": molecule.name, "beads": molecule.n_beads}
    if "chains" in content:
        found["chains"] = len(content["chains"])
        found["frames"] = sum(chain["length"] for chain in content["chains"])
        found["splits"] = dict(Counter(chain["split"] for chain in content["chains"]))
        found["verdict"] = (content["equilibrium"] or {}).get("verdict")
    if "checks" in content:
        found["checks"] = {name: check["verdict"] for name, check in content["checks"].items()}
    keys = ("temperature_K", "interval_ps", "map", "steps", "started", "lost", "settings", "training", "provenance")
    keys += ("source", "tool", "frames", "atoms", "faults")  # of all-atom structures
    return found | {key: content[key] for key in keys if content.get(key) is not None}


def _plan(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    there = [part for part in PARTS if (path / part).exists()]
    state = "finished" if there == list(PARTS) else "unfinished; go on with the same command and --resume"
    return {"kind": "output of scorefield run", "state": state, "folders": ", ".join(there), "plan": content["plan"]}
