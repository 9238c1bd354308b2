"""The rows that issue figures are read from: mean and spread over seeds of the cells of `proteins.py`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fidelity_bars import of_group
from record import bar

COMMAND = 'python benchmarks/proteins.py --work FOLDER ... --cells "{}"'
REFERENCE_FOLDED = 0.14

Cell = dict[str, Any]


def bars(cells: dict[str, Cell]) -> list[dict[str, Any]]:
    """All rows that the cells there allow."""
    rows = [
        *_bba(cells, "refined", "BBA, refined"),
        *_bba(cells, "default", "BBA"),
        *_further(cells),
        *_unfolded(cells),
    ]
    for name in ("backbone-refined", "backbone", "ca", "cb"):
        rows += _peptide(of_group(cells, f"pentapeptide/{name}"), f"pentapeptide/{name}/*")
    for steps in sorted({int(key.split("/")[1]) for key in cells if key.startswith("lysozyme/")}):
        rows += _lysozyme(of_group(cells, f"lysozyme/{steps}"), f"lysozyme/{steps}/*")
    return rows


def _row(
    name: str, values: Sequence[float], demand: str | None, good: Callable[[float], bool] | None, cells: str
) -> dict[str, Any]:
    """Mean, smallest and largest over seeds; met where every seed is good."""
    value: Any = {"mean": _short(np.mean(values)), "least": _short(min(values)), "most": _short(max(values))}
    met = None if good is None else all(map(good, values))
    return bar(name, value | {"seeds": len(values)}, demand, met, COMMAND.format(cells))


def _short(value: Any) -> float:
    return float(f"{float(value):.4g}")


def _bba(cells: dict[str, Cell], group: str, about: str) -> list[dict[str, Any]]:
    found = of_group(cells, f"bba/{group}")
    if not found:
        return []
    row = lambda name, take, demand=None, good=None: _row(
        f"{about}{name}", [take(r) for r in found], demand, good, f"bba/{group}/*"
    )
    js = lambda entry: entry["distance_js"]["testset"]
    population = lambda entry: entry["population"]["below 4 A"]
    over = lambda r, part: r[part]["tica_js"]["value"] / r[part]["tica_js"]["floor"]
    return [
        row(
            ", samples: distance_js to the published test histograms",
            lambda r: js(r["samples"]["published"]),
            "<= .008",
            lambda v: v <= 0.008,
        ),
        row(", samples: folded population", lambda r: population(r["samples"]["published"])),
        row(
            ", simulation: distance_js to the published test histograms",
            lambda r: js(r["simulation"]["published"]),
            "<= .025",
            lambda v: v <= 0.025,
        ),
        row(
            ", simulation, second half: distance_js to the published test histograms",
            lambda r: js(r["simulation"]["second_half_published"]),
        ),
        row(
            ", simulation: folded population",
            lambda r: population(r["simulation"]["published"]),
            "within .07 of .14",
            lambda v: abs(v - REFERENCE_FOLDED) <= 0.07,
        ),
        row(
            ", simulation: folded population, last quarter less third one",
            lambda r: float(np.mean(r["folded_in_time"][6:]) - np.mean(r["folded_in_time"][4:6])),
            "no trend",
        ),
        row(
            ", simulation: replicas lost of 100 x 2 ns",
            lambda r: r["simulation"]["lost"]["value"],
            "0",
            lambda v: v == 0,
        ),
        row(
            ", samples: tica_js over its floor",
            lambda r: over(r, "samples"),
            "<= 2",
            lambda v: v <= 2,
        ),
        row(", simulation: tica_js over its floor", lambda r: over(r, "simulation")),
        row(
            ": training, with refinement where there is one, minutes",
            lambda r: (r["training"]["seconds"] + r.get("refined", {}).get("seconds", 0)) / 60,
            "<= 60",
            lambda v: v <= 60,
        ),
    ]


def _further(cells: dict[str, Cell]) -> list[dict[str, Any]]:
    """What few real frames score, and the length published."""
    rows, js = [], lambda entry: entry["distance_js"]["testset"]
    for n in of_group(cells, "bba/frames")[0] if of_group(cells, "bba/frames") else ():
        if n.isdigit():
            drawn = [js(r[n]) for r in of_group(cells, "bba/frames")]
            name = f"BBA, real frames: distance_js of {n} of them to the published test histograms"
            rows.append(_row(name, drawn, None, None, "bba/frames/*"))
    paper = of_group(cells, "bba/paper")
    if paper:
        lost = [r["simulation"]["lost"]["value"] for r in paper]
        rows.append(_row("BBA: replicas lost of 100 x 12 ns", lost, "0", lambda v: v == 0, "bba/paper/*"))
    return rows


def _unfolded(cells: dict[str, Cell]) -> list[dict[str, Any]]:
    found = of_group(cells, "bba/unfolded")
    if not found:
        return []
    time = found[0]["simulation"]["settings"]["time_ps"] / 1000
    about = f"BBA from unfolded frames, 20 replicas x {time:g} ns"
    row = lambda name, take: _row(f"{about}: {name}", [take(r) for r in found], None, None, "bba/unfolded/*")
    events = lambda key: lambda r: r["simulation"]["folded_population"][key]
    return [
        row("folding events", events("folding_events")),
        row("unfolding events", events("unfolding_events")),
        row("folded population, first eighth", lambda r: r["folded_in_time"][0]),
        row("folded population, last eighth", lambda r: r["folded_in_time"][-1]),
        row("replicas lost", lambda r: r["simulation"]["lost"]["value"]),
    ]


def _peptide(found: list[Cell], cells: str) -> list[dict[str, Any]]:
    if not found:
        return []
    about, demanded = f"pentapeptide as {cells.split('/')[1]}", "backbone-refined" in cells
    rows = []

    def row(name: str, take: Callable[[Cell], float], demand: str = "", good: Callable[[float], bool] | None = None):
        there = [take(r) for r in found if name.split(":")[0] in r]
        if there:
            judged = (demand, good) if demanded and good else (None, None)
            rows.append(_row(f"{about}, {name}", there, *judged, cells))

    shape = "dihedral_js" if "dihedral_js" in found[0]["samples"] else "distance_js"
    for part in ("samples", "simulation"):
        over = lambda r, part=part: r[part][shape]["value"] / r[part][shape]["floor"]
        row(f"{part}: {shape} over its floor", over, "<= 2", (lambda v: v <= 2) if part == "simulation" else None)
    simulated = [r["simulation"] for r in found]
    row("simulation: replicas lost", lambda r: r["simulation"]["lost"]["value"])
    if all("state_populations" in s for s in simulated):
        worst = lambda r: r["simulation"]["state_populations"]["value"]
        row("simulation: populations of the metastable states, off by at most", worst, "<= .05", lambda v: v <= 0.05)
    if all("timescales" in s for s in simulated):
        scales = lambda r: r["simulation"]["timescales"]
        worst = lambda r: scales(r)["value"]
        row("simulation: timescales after one rescaling, off by a factor of", worst, "<= 2", lambda v: v <= 2)
        length = lambda r: 0.8 * r["simulation"]["settings"]["time_ps"] / scales(r)["timescales_ps"][0]
        row("simulation: length of a replica over its own slowest timescale", length)
        row("simulation: its time runs faster by", lambda r: scales(r)["time_factor"])
    return rows


def _lysozyme(found: list[Cell], cells: str) -> list[dict[str, Any]]:
    own = lambda r, part: float(np.interp(r["level_nm"], r["force_error"]["level_nm"], r["force_error"][part]))
    steps, minutes = found[0]["training"]["steps"], np.mean([r["training"]["seconds"] for r in found]) / 60
    about = f"129 beads, {steps} steps of training ({minutes:.0f} minutes)"
    rows = [
        _row(
            f"{about}: relative error of the {part.replace('_', '-')} force", [own(r, part) for r in found], *bar, cells
        )
        for part, bar in (
            ("non_bonded", ("<= .35", lambda v: v <= 0.35)),
            ("soft", (None, None)),
            ("stiff", (None, None)),
        )
    ]
    simulated = [r["simulation"] for r in found if "simulation" in r]
    if simulated:
        settings = simulated[0]["settings"]
        name = f"{about}: lost of {settings['replicas']} replicas x {settings['time_ps'] / 1000:g} ns"
        rows.append(_row(name, [s["lost"]["value"] for s in simulated], "0", lambda v: v == 0, cells))
    return rows
