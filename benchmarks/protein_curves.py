"""What figures of a protein's results are drawn from: free energies, contacts and kinetics of a report, as small JSON files.

    python benchmarks/protein_curves.py --data DATASET --run RUN --name bba --samples 20000 --replicas 100 --time-ps 2000

`proteins` writes one for each cell that it computes, `results/figures/GROUP-NAME-SEED.json`; `protein_figures` draws
them. Histograms, means and counts only, no frame.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from record import RESULTS

from scorefield.dataset import load_dataset
from scorefield.evaluate import evaluate
from scorefield.model import load_model
from scorefield.report import Course, Kinetics, PairMap, Plane, Profile, Report
from scorefield.simulate import sample, simulate
from scorefield.starts import choose_starts

FOLDER = RESULTS / "figures"
_PLANE = 50  # bins a side that the plane is kept on


def curves(report: Report) -> dict[str, Any]:
    """Profiles, plane, maps and kinetics of a report, rounded, as plain data; `about` each candidate in words."""
    plane = None if report.plane is None else _coarser(report.plane)
    about = {
        name: f"{s.n_frames:,} samples" if s.kind == "samples" else f"{s.started} replicas x {_length(s.settings)}"
        for name, s in report.sources.items()
    }
    found = {"profiles": report.profiles, "plane": plane, "maps": report.maps, "kinetics": report.kinetics}
    return {"about": about} | {key: _plain(value) for key, value in found.items()}


def _length(settings: dict[str, Any]) -> str:
    return f"{float(settings['time_ps']) / 1000:.3g} ns" if "time_ps" in settings else "unknown length"


def _coarser(plane: Plane) -> Plane:
    """The plane on `_PLANE` bins a side, each the sum of two by two; the last, odd row and column go to their neighbours."""

    def summed(p: Float[np.ndarray, "b b"]) -> Float[np.ndarray, "k k"]:
        edges = np.linspace(0, len(p) - len(p) % _PLANE, _PLANE + 1).astype(int)[:-1]
        return np.add.reduceat(np.add.reduceat(p, edges, axis=0), edges, axis=1)

    ends = tuple(np.linspace(e[0], e[-1], _PLANE + 1) for e in plane.edges)
    return Plane(plane.labels, ends, summed(plane.reference), {k: summed(p) for k, p in plane.candidates.items()})


def _plain(value: Any) -> Any:
    """Nested plain data of dataclasses and arrays: numbers to four figures, None for NaN."""
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(f"{value:.4g}")
    return int(value) if isinstance(value, np.integer) else value


def write_curves(report: Report, name: str) -> Path:
    """Write results/figures/NAME.json."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(curves(report), separators=(",", ":")) + "\n")
    return path


def read_curves(path: Path) -> dict[str, Any]:
    """What `write_curves` wrote, as the report's own classes under the keys of `curves`."""
    found = json.loads(path.read_text(encoding="utf-8"))
    several = lambda kind, key: tuple(kind(**_arrays(v)) for v in found[key])
    plane, kinetics = found["plane"], found["kinetics"]
    if kinetics is not None:
        course = lambda v: None if v is None else Course(**_arrays(v))
        moving = {name: course(v) for name, v in kinetics["candidates"].items()}
        ends = course(kinetics["reference"]), course(kinetics["floor"])
        kinetics = Kinetics(kinetics["lag"], *ends, moving)  # pyright: ignore[reportArgumentType] (a reference is there)
    return {
        "about": found["about"],
        "profiles": several(Profile, "profiles"),
        "maps": several(PairMap, "maps"),
        "plane": None if plane is None else Plane(**_arrays(plane)),
        "kinetics": kinetics,
    }


def _arrays(values: dict[str, Any]) -> dict[str, Any]:
    """Lists of numbers as arrays, None as NaN."""

    def one(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: one(v) for key, v in value.items()}
        if isinstance(value, list) and not any(isinstance(v, str) for v in value):
            return np.array(value, float)
        return value

    return {key: one(value) for key, value in values.items()}


def main() -> None:
    """The curves of a trained model's samples and simulation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--time-ps", type=float, default=2000.0)
    asked = parser.parse_args()
    model = load_model(asked.run)
    samples = sample(model, asked.samples, 0)
    starts = choose_starts(samples.trajectory.positions, asked.replicas, 0)
    made = simulate(model, starts, asked.time_ps, save_ps=max(1.0, asked.time_ps / 200), seed=1)
    print(write_curves(evaluate(load_dataset(asked.data), {"samples": samples, "simulation": made}), asked.name))


if __name__ == "__main__":
    main()
