"""The rows that issue figures are read from: mean and spread over seeds of the cells of `beyond.py`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fidelity_bars import of_group
from record import bar
from transfer_bars import transfer_rows

COMMAND = 'python benchmarks/beyond.py ala2_equilibrium.npz --work FOLDER --cells "{}"'
Cells = dict[str, Any]


def bars(cells: Cells) -> list[dict[str, Any]]:
    """All rows that the cells there allow."""
    return [*_gain(cells), *_forces(cells), *_exchange(cells), *_capacity(cells), *transfer_rows(cells)]


def _row(name: str, values: Sequence[float], cells: str) -> dict[str, Any]:
    """Mean, smallest and largest over seeds."""
    value = {
        "mean": round(float(np.mean(values)), 5),
        "least": round(float(min(values)), 5),
        "most": round(float(max(values)), 5),
        "seeds": len(values),
    }
    return bar(name, value, None, None, COMMAND.format(cells))


def _metric(result: dict[str, Any], metric: str, candidate: str = "simulation") -> float | None:
    entry = result.get(candidate, {}).get(metric)
    return None if entry is None else entry["value"]


def _mean_js(cells: Cells, objective: str, frames: int) -> float | None:
    values = [_metric(r, "dihedral_js") for r in of_group(cells, f"forces/{objective}-{frames}")]
    there = [v for v in values if v is not None]
    return float(np.mean(there)) if there else None


def _gain(cells: Cells) -> list[dict[str, Any]]:
    """Forces and noise against the better of the two, simulation JS at 10,000 frames."""
    both, *alone = (_mean_js(cells, o, 10_000) for o in ("both", "denoising", "forces"))
    if both is None or None in alone:
        return []
    ratio = both / min(v for v in alone if v is not None)
    name = "forces and denoising over the better of the two alone, simulation JS, 10,000 frames"
    return [bar(name, round(ratio, 4), "<= 0.8", ratio <= 0.8, COMMAND.format("forces/*-10000/*"))]


def _forces(cells: Cells) -> list[dict[str, Any]]:
    take: dict[str, Callable[[dict[str, Any]], float | None]] = {
        "simulation dihedral_js": lambda r: _metric(r, "dihedral_js"),
        "simulation pmf_error": lambda r: _metric(r, "pmf_error"),
        "simulation bond_width": lambda r: _metric(r, "bond_width"),
        "simulation angle_width": lambda r: _metric(r, "angle_width"),
        "population of phi > 0": lambda r: _metric(r, "positive_phi"),
        "lost of 200": lambda r: _metric(r, "lost") if "simulation" in r else 200.0,
        "samples dihedral_js": lambda r: _metric(r, "dihedral_js", "samples"),
        "squared error of the soft force on held-out labels, noise included": lambda r: r["force"]["soft"],
    }
    rows = []
    for name in dict.fromkeys(key.split("/")[1] for key in cells if key.startswith("forces/")):
        found = of_group(cells, f"forces/{name}")
        for text, of in take.items():
            values = [v for v in map(of, found) if v is not None]
            if values:
                rows.append(_row(f"{name}: {text}", values, f"forces/{name}/*"))
    return rows


def _exchange(cells: Cells) -> list[dict[str, Any]]:
    """Round trips for the same number of evaluations; plain dynamics without one counts as half of one."""
    rates = {}
    rows = []
    for way in ("plain", "ladder"):
        found = of_group(cells, f"exchange/{way}")
        if found:
            trips = [max(r["crossings"], 1) / 2 / r["evaluations"] * 1e6 for r in found]
            rates[way] = float(np.mean(trips))
            rows.append(_row(f"{way}: round trips per million evaluations", trips, f"exchange/{way}/*"))
            rows.append(_row(f"{way}: population of phi > 0", [r["population"]["mean"] for r in found], "exchange/*"))
    if len(rates) == 2:
        ratio = rates["ladder"] / rates["plain"]
        name = "exchange of levels over plain dynamics, round trips between the phi basins per evaluation"
        rows.insert(0, bar(name, round(ratio, 1), ">= 5", ratio >= 5, COMMAND.format("exchange/*")))
    return rows


def _capacity(cells: Cells) -> list[dict[str, Any]]:
    rows = []
    for cell, r in sorted(cells.items()):
        if cell.startswith("capacity/"):
            js = "dihedral_js" if "dihedral_js" in r["samples"] else "distance_js"
            value = {
                "samples": _metric(r, js, "samples"),
                "simulation": _metric(r, js),
                "lost": _metric(r, "lost") if "simulation" in r else 100,
                "roughness": r.get("roughness", {}).get("median"),
                "validation_loss": r["training"]["validation_loss"],
            }
            rows.append(bar(f"{cell}: {js}, lost of 100, roughness (kT/nm^2)", value, None, None, COMMAND.format(cell)))
    return rows
