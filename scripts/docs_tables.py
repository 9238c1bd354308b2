"""Tables of groups of cells of `benchmarks/results/fidelity.json` in Markdown: a row a name, mean over seeds and range."""

from collections.abc import Callable, Sequence
from typing import Any

from docs_results import made, markdown, read

Cell = dict[str, Any]
LOST_ALL = 200.0  # replicas of a cell without a simulation
COLUMNS: dict[str, Callable[[Cell], float | None]] = {
    "samples, JS of (φ, ψ) / floor": lambda cell: _over_floor(cell, "samples", "dihedral_js"),
    "simulation, JS of (φ, ψ) / floor": lambda cell: _over_floor(cell, "simulation", "dihedral_js"),
    "free-energy error / floor": lambda cell: _over_floor(cell, "simulation", "pmf_error"),
    "bond width": lambda cell: _value(cell, "bond_width"),
    "angle width": lambda cell: _value(cell, "angle_width"),
    "bond lengths W1 / floor": lambda cell: _over_floor(cell, "simulation", "bond_w1"),
    "lost of 200": lambda cell: _value(cell, "lost") if "simulation" in cell else LOST_ALL,
    "validation loss": lambda cell: cell["training"]["validation_loss"],
    "training steps": lambda cell: cell["training"]["steps"],
}


def group(name: str) -> str:
    """The cells NAME/*/SEED of fidelity.json."""
    cells = read("fidelity")["cells"]
    found: dict[str, list[Cell]] = {}
    for key in sorted(cells):
        first, row, _ = key.split("/")
        if first == name:
            found.setdefault(row.replace("_", "-"), []).append(cells[key])
    rows = [
        (row, *(_summary([take(cell) for cell in of_row]) for take in COLUMNS.values()))
        for row, of_row in sorted(found.items(), key=lambda item: (item[0].count("+"), item[0]))
    ]
    seeds = ", ".join(sorted({str(len(of_row)) for of_row in found.values()}))
    return f"{markdown((f'{seeds} seeds', *COLUMNS), rows)}\n\n{made('fidelity')}"


def _over_floor(cell: Cell, candidate: str, metric: str) -> float | None:
    entry = cell.get(candidate, {}).get(metric)
    return entry and entry["value"] / entry["floor"]


def _value(cell: Cell, metric: str) -> float | None:
    return cell.get("simulation", {}).get(metric, {}).get("value")


def _summary(values: Sequence[float | None]) -> str:
    there = [v for v in values if v is not None]
    if not there:
        return "–"
    mean, least, most = (f"{v:,.0f}" if v >= 1000 else f"{v:.3g}" for v in (sum(there) / len(there), *_ends(there)))
    return mean if least == most else f"{mean} ({least} to {most})"


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)
