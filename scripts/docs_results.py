"""Tables of `benchmarks/results/*.json` in Markdown, made when the site is built."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scorefield.systems import published

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
MET = {True: "yes", False: "no", None: ""}


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars within cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def words(value: Any) -> str:
    """A measured value: four significant figures, a range where several seeds were measured."""
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict) and {"mean", "least", "most", "seeds"} <= value.keys():
        found = words(float(value["mean"]))
        spread = f" ({words(float(value['least']))} to {words(float(value['most']))}, {value['seeds']} seeds)"
        return found + (spread if value["seeds"] > 1 else "")
    if isinstance(value, list):
        return ", ".join(words(v) for v in value)
    return str(value)


def read(name: str) -> dict[str, Any]:
    """The content of results/NAME.json."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def bars(name: str) -> str:
    """Every figure of results/NAME.json beside what it must be, and where it was measured."""
    found = read(name)
    rows = [(b["name"], words(b["value"]), words(b["bar"]), MET[b["met"]]) for b in found["bars"]]
    commands = "\n".join(dict.fromkeys(b["command"] for b in found["bars"]))
    return f"{markdown(('figure', 'measured', 'must be', 'met'), rows)}\n\n{made(name)}\n\n```text\n{commands}\n```"


def made(name: str) -> str:
    """When and where the figures of results/NAME.json were measured; older than the code, they say so by their date."""
    found = read(name)
    machine, versions = found["machine"], found["versions"]
    where = f"{machine['cpu']}, {machine['cores']} core(s), Python {versions['python']}, jax {versions.get('jax', '?')}"
    return f"*results/{name}.json, last measured on {found['date'][:10]}; {where}.*"


def curves(name: str) -> str:
    """What the figures made from results/figures/NAME.json show: how many samples, how long a simulation."""
    about = json.loads((RESULTS / "figures" / f"{name}.json").read_text(encoding="utf-8"))["about"]
    shown = "; ".join(f"{key}: {value}" if key not in value else value for key, value in about.items())
    return f"*Shown: {shown} (results/figures/{name}.json).*"


def everything() -> str:
    """All files of results, each under its name."""
    names = sorted(path.stem for path in RESULTS.glob("*.json"))
    return "\n\n".join(f"### {name}.json\n\n{bars(name)}" for name in names)


def _cells(group: str) -> list[dict[str, Any]]:
    cells = read("fidelity")["cells"]
    return [cells[key] for key in sorted(cells) if key.startswith(group)]


def _range(cells: Sequence[dict[str, Any]], take: Callable[[dict[str, Any]], float]) -> str:
    values = [take(cell) for cell in cells]
    return f"{sum(values) / len(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def peers() -> str:
    """Alanine dipeptide as the literature compares it: published rows beside ours."""
    found = {(row["label"], row["kind"], row["metric"]): f"{row['value']:g}" for row in published("ala2")}
    rows, ours = [], _cells("main/default/")
    metrics = ("dihedral_js", "pmf_error")
    for kind in ("samples", "simulation"):
        for label in dict.fromkeys(key[0] for key in found):
            rows.append((label, kind, *(found.get((label, kind, metric), "") for metric in metrics)))
        means = [_range(ours, lambda cell, k=kind, m=metric: cell[k][f"{m}_published"]) for metric in metrics]
        rows.append((f"**scorefield**, {len(ours)} trainings", kind, *means))
    table = markdown(("method", "", "Jensen-Shannon divergence of (φ, ψ)", "free-energy error (kT²)"), rows)
    return f"{table}\n\n{made('fidelity')}"


def held_out() -> str:
    """Alanine dipeptide against held-out replicas: values beside floors, mean over seeds."""
    cells = _cells("main/default/")
    titles = {
        "dihedral_js": "Jensen-Shannon divergence of (φ, ψ)",
        "pmf_error": "free-energy error (kT²)",
        "bond_w1": "bond lengths, Wasserstein-1 (Å)",
        "angle_w1": "bond angles, Wasserstein-1 (°)",
        "bond_width": "bond widths, ratio",
        "angle_width": "angle widths, ratio",
        "distance_js": "Jensen-Shannon divergence of bead distances",
        "positive_phi": "population of φ > 0",
    }
    mean = lambda kind, metric, part: sum(cell[kind][metric][part] for cell in cells) / len(cells)
    rows = [
        (
            title,
            *(f"{mean(kind, metric, 'value'):.4f}" for kind in ("samples", "simulation")),
            f"{mean('simulation', metric, 'floor'):.4f}",
        )
        for metric, title in titles.items()
        if all(metric in cell[kind] for cell in cells for kind in ("samples", "simulation"))
    ]
    table = markdown((f"{len(cells)} trainings, means", "samples", "simulation", "floor"), rows)
    return f"{table}\n\n{made('fidelity')}"
