"""Tables and plots of `results/fidelity.json`, for the documentation.

    python benchmarks/fidelity_tables.py --out FOLDER

Prints Markdown tables of the method's parts and of the two kinds of network, and writes FOLDER/data_efficiency.png. Figures
are means over seeds, with their range.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from fidelity_bars import of_group
from record import RESULTS

Cells = dict[str, Any]
COLUMNS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "i.i.d. JS / floor": lambda r: _over_floor(r, "samples", "dihedral_js"),
    "simulation JS / floor": lambda r: _over_floor(r, "simulation", "dihedral_js"),
    "simulation JS, as published": lambda r: r.get("simulation", {}).get("dihedral_js_published"),
    "PMF error, as published (kT²)": lambda r: r.get("simulation", {}).get("pmf_error_published"),
    "bond W1 (Å)": lambda r: _value(r, "bond_w1"),
    "bond width": lambda r: _value(r, "bond_width"),
    "angle width": lambda r: _value(r, "angle_width"),
    "population of φ > 0": lambda r: _value(r, "positive_phi"),
    "lost of 200": lambda r: _value(r, "lost") if "simulation" in r else 200.0,
    "level (nm)": lambda r: r["level_nm"],
    "training steps": lambda r: r["training"]["steps"],
}


def _over_floor(result: dict[str, Any], candidate: str, metric: str) -> float | None:
    entry = result.get(candidate, {}).get(metric)
    return entry and entry["value"] / entry["floor"]


def _value(result: dict[str, Any], metric: str) -> float | None:
    return result.get("simulation", {}).get(metric, {}).get("value")


def names(cells: Cells, group: str) -> list[str]:
    """The names of a group's cells, in the order they were computed in."""
    return list(dict.fromkeys(key.split("/")[1] for key in cells if key.startswith(f"{group}/")))


def table(cells: Cells, group: str) -> str:
    """One row for each name of `group`."""
    rows = [["", *COLUMNS, "seeds"], ["---"] * (len(COLUMNS) + 2)]
    for name in names(cells, group):
        found = of_group(cells, f"{group}/{name}")
        rows.append(
            [
                name.replace("_", "-"),
                *(_summary([take(r) for r in found]) for take in COLUMNS.values()),
                str(len(found)),
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _summary(values: Sequence[float | None]) -> str:
    there = [v for v in values if v is not None]
    if not there:
        return "–"
    mean = f"{sum(there) / len(there):.3g}"
    return mean if min(there) == max(there) else f"{mean} ({min(there):.3g}–{max(there):.3g})"


def data_efficiency(cells: Cells, path: Path) -> None:
    """JS of samples and simulation and PMF error against the number of training frames, every seed a point."""
    found = [r for key, r in cells.items() if key.startswith(("data/", "main/")) and "simulation" in r]
    panels = {"dihedral_js": "dihedral JS divergence", "pmf_error": "PMF error, kT²"}
    figure, axes = plt.subplots(1, len(panels), figsize=(8, 3.2), layout="constrained")
    for axis, (metric, title) in zip(axes, panels.items(), strict=True):
        for candidate, colour in (("samples", "tab:blue"), ("simulation", "tab:orange")):
            n = [r["training"]["train_frames"] for r in found]
            axis.plot(n, [r[candidate][metric]["value"] for r in found], "o", ms=4, color=colour, label=candidate)
        axis.plot(n, [r["simulation"][metric]["floor"] for r in found], "_", color="0.5", label="floor")
        axis.set(xscale="log", yscale="log", xlabel="training frames", ylabel=title)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the tables, write the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    cells = json.loads((RESULTS / "fidelity.json").read_text())["cells"]
    for group in ("main", "method", "field"):
        if names(cells, group):
            print(f"\n{group}\n\n{table(cells, group)}")
    if names(cells, "data"):
        data_efficiency(cells, out / "data_efficiency.png")


if __name__ == "__main__":
    main()
