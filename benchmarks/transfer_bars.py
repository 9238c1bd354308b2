"""The rows of `beyond.json` that are about one model of many molecules: means over the molecules held out."""

from collections.abc import Callable
from typing import Any

import numpy as np
from record import bar

COMMAND = 'python benchmarks/transfer.py DATASETS --work FOLDER --cells "{}"'
MOST_UNSEEN, MOST_RATIO, LEAST_MOLECULES = 0.03, 1.5, 5
Cells = dict[str, Any]


def transfer_rows(cells: Cells) -> list[dict[str, Any]]:
    """All rows that the cells there allow."""
    ways = {"zero": _of(cells, "zero-", ""), "alone": _of(cells, "alone-", "")}
    ways |= {f"tuned-{n}": _of(cells, "tuned-", f"-{n}") for n in (10_000, 1000)}
    rows = [*_unseen(ways["zero"]), *_ratio(ways)]
    for way, found in ways.items():
        for text, take in _TAKEN.items():
            values = {code: v for code, r in found.items() if (v := take(r)) is not None}
            if values:
                value = {"mean": round(float(np.mean(list(values.values()))), 5)} | values
                rows.append(bar(f"{way}: {text}", value, None, None, COMMAND.format(f"transfer/{way.split('-')[0]}-*")))
    return rows


def _of(cells: Cells, before: str, after: str) -> Cells:
    """Results of a way, by the molecule's code."""
    names = {key.split("/")[1]: result for key, result in cells.items() if key.startswith("transfer/")}
    return {
        name.removeprefix(before).removesuffix(after): result
        for name, result in sorted(names.items())
        if name.startswith(before) and name.endswith(after) and name.count("-") == 1 + bool(after)
    }


def _metric(candidate: str, metric: str, of: str = "value") -> Callable[[dict[str, Any]], float | None]:
    def take(result: dict[str, Any]) -> float | None:
        entry = result.get(candidate, {}).get(metric)
        return None if entry is None or entry.get(of) is None else round(float(entry[of]), 5)

    return take


_TAKEN = {
    f"{candidate} {metric}{' floor' if of == 'floor' else ''}": _metric(candidate, metric, of)
    for candidate in ("simulation", "samples")
    for metric in ("dihedral_js", "pmf_error")
    for of in ("value", "floor")
} | {f"simulation {m}": _metric("simulation", m) for m in ("bond_length", "bond_width", "angle_width", "positive_phi")}


def _unseen(found: Cells) -> list[dict[str, Any]]:
    values = [v for r in found.values() if (v := _metric("simulation", "dihedral_js")(r)) is not None]
    if len(values) < LEAST_MOLECULES:
        return []
    mean = round(float(np.mean(values)), 5)
    name = f"{len(values)} capped dipeptides never seen: simulation dihedral_js, mean"
    return [bar(name, mean, f"<= {MOST_UNSEEN}", mean <= MOST_UNSEEN, COMMAND.format("transfer/zero-*"))]


def _ratio(ways: dict[str, Cells]) -> list[dict[str, Any]]:
    take = _metric("simulation", "dihedral_js")
    both = [
        (a, b)
        for code, result in ways["tuned-10000"].items()
        if code in ways["alone"] and (a := take(result)) is not None and (b := take(ways["alone"][code])) is not None
    ]
    if not both:
        return []
    tuned, alone = np.mean(both, axis=0)
    name = f"fine-tuned on 10,000 frames over the model of one molecule: simulation dihedral_js, {len(both)} molecules"
    ratio = round(float(tuned / alone), 4)
    return [bar(name, ratio, f"<= {MOST_RATIO}", ratio <= MOST_RATIO, COMMAND.format("transfer/*"))]
