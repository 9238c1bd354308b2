"""The rows that issue figures are read from: mean and spread over seeds of the cells of `fidelity.py`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from record import bar

COMMAND = 'python benchmarks/fidelity.py ala2_equilibrium.npz --work FOLDER --cells "{}"'


def bars(cells: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows that the cells there allow."""
    main = of_group(cells, "main/default")
    return [
        *_main(main),
        *_dt(cells),
        *_table(cells, "method"),
        *_table(cells, "data"),
        *_table(cells, "field"),
        *_long(cells),
        *_conformer(cells),
    ]


def of_group(cells: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
    """The results of all seeds of GROUP/NAME."""
    return [result for name, result in sorted(cells.items()) if name.rsplit("/", 1)[0] == prefix]


def _row(
    name: str, values: Sequence[float], demand: str | None, good: Callable[[float], bool] | None, cells: str
) -> dict[str, Any]:
    """Mean, smallest and largest over seeds; met where the mean is good."""
    mean = float(np.mean(values))
    value = {
        "mean": round(mean, 5),
        "least": round(min(values), 5),
        "most": round(max(values), 5),
        "seeds": len(values),
    }
    return bar(name, value, demand, None if good is None else bool(good(mean)), COMMAND.format(cells))


def _ratio(result: dict[str, Any], candidate: str, metric: str) -> float:
    entry = result[candidate][metric]
    return entry["value"] / entry["floor"]


def _main(main: list[dict[str, Any]]) -> list[dict[str, Any]]:
    main = [result for result in main if "simulation" in result]
    if not main:
        return []
    row = lambda name, take, demand, good: _row(name, [take(r) for r in main], demand, good, "main/*")
    rows = []
    for candidate in ("simulation", "samples"):
        rows.append(
            row(
                f"{candidate} dihedral_js over its floor",
                lambda r, c=candidate: _ratio(r, c, "dihedral_js"),
                "<= 1.3",
                lambda v: v <= 1.3,
            )
        )
        against = lambda r, c=candidate: r[c]["dihedral_js_published"]
        rows.append(
            row(
                f"{candidate} dihedral_js as published, against the training frames",
                against,
                "beside .0086 / .0079",
                None,
            )
        )
        against = lambda r, c=candidate: r[c]["pmf_error_published"]
        demanded = ("<= 0.094", lambda v: v <= 0.094) if candidate == "simulation" else (None, None)
        rows.append(row(f"{candidate} pmf_error as published, kT^2", against, *demanded))
    for metric in ("bond_w1", "angle_w1"):
        over = lambda r, m=metric: _ratio(r, "simulation", m)
        rows.append(row(f"simulation {metric} over its floor", over, "<= 2", lambda v: v <= 2))
    for metric in ("bond_width", "angle_width"):
        width = lambda r, m=metric: r["simulation"][m]["value"]
        rows.append(row(f"simulation {metric}", width, ".98-1.02", lambda v: 0.98 <= v <= 1.02))
    minutes = lambda r: r["training"]["seconds"] / 60
    rows.append(row("training, minutes", minutes, "<= 5", lambda v: v <= 5))
    rows.append(
        row(
            "lost of 200 replicas x 800 ps at the automatic time step",
            lambda r: r["simulation"]["lost"]["value"],
            "0",
            lambda v: v == 0,
        )
    )
    return rows


def _dt(cells: dict[str, Any]) -> list[dict[str, Any]]:
    found = of_group(cells, "dt/5fs")
    if not found:
        return []
    lost = [r["simulation"]["lost"]["value"] if "simulation" in r else 200 for r in found]
    return [_row("lost of 200 replicas x 200 ps at 5 fs", lost, "0", lambda v: v == 0, "dt/*")]


def _long(cells: dict[str, Any]) -> list[dict[str, Any]]:
    found = of_group(cells, "long/1ns")
    return (
        [_row("lost of 1,000 replicas x 1 ns at 2 fs", [r["lost"] for r in found], "0", lambda v: v == 0, "long/*")]
        if found
        else []
    )


def _table(cells: dict[str, Any], group: str) -> list[dict[str, Any]]:
    """One row for each NAME of a group: what a table or a plot shows."""
    rows = []
    for name in dict.fromkeys(key.split("/")[1] for key in cells if key.startswith(f"{group}/")):
        found = of_group(cells, f"{group}/{name}")
        for candidate in ("samples", "simulation"):
            there = [r for r in found if candidate in r]
            for metric in ("dihedral_js", "pmf_error", "bond_w1"):
                if there:
                    ratios = [_ratio(r, candidate, metric) for r in there]
                    rows.append(
                        _row(
                            f"{group} {name}: {candidate} {metric} over its floor",
                            ratios,
                            None,
                            None,
                            f"{group}/{name}/*",
                        )
                    )
        lost = [r["simulation"]["lost"]["value"] if "simulation" in r else 200 for r in found]
        rows.append(_row(f"{group} {name}: lost of 200", lost, None, None, f"{group}/{name}/*"))
    return rows


def _conformer(cells: dict[str, Any]) -> list[dict[str, Any]]:
    """The population of phi > 0 against those of the data: the difference in standard errors of the reference.

    Demanded of the worst seed, against the training chains: of others no model can know.
    """
    rows = []
    for name, words in (("20ns", "from one conformer"), ("ladder", "from one conformer, with exchange of levels")):
        found = of_group(cells, f"conformer/{name}")
        if not found:
            continue
        row = lambda text, values, demand=None, met=None, words=words, name=name: (
            _row(f"{words}: {text}", values, demand, None, f"conformer/{name}/*") | {"met": met}
        )
        rows.append(row("population of phi > 0", [r["population"]["mean"] for r in found]))
        rows.append(row("its own error, over replicas", [r["population"]["error"] for r in found]))
        for split, of in (("all", "all"), ("train", "the training"), ("test", "the held-out")):
            reference = [r["reference"][split] for r in found]
            off = [(r["population"]["mean"] - c["mean"]) / c["error"] for r, c in zip(found, reference, strict=True)]
            demanded = ("within 1, every seed", max(map(abs, off)) <= 1) if split == "train" else (None, None)
            rows.append(row(f"off {of} chains, in their errors", off, *demanded))
        lengths = [r.get("time_ps", 20_000) / r["autocorrelation_ps"] for r in found]
        rows.append(row("length in autocorrelation times", lengths, ">= 10, every seed", min(lengths) >= 10))
    return rows
