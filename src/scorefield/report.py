"""`Report`: what an evaluation found, as numbers with their bins beside them, and how its values read.

A metric's entry is a dictionary, the same here and in metrics.json:
value, floor      the candidate's and what true frames of independent chains score in its place, same number of frames
n, n_reference    frames of the candidate (and of the floor) and of the reference that went into it
ideal, tolerance  a perfect candidate's value; the deviation from it that does not matter, whatever the floor
definition, title, question, topic, unit
error, ideal_error   standard errors of value and ideal, where they can be had
warnings          what speaks against these numbers, where anything does: of the reference, and of the candidate
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from rich import box
from rich.table import Table

from .frames import Kind
from .molecule import Molecule
from .words import joined, number, with_unit

Entry = dict[str, Any]
Verdict = Literal["good", "fair", "poor"]

OTHERS = "other chains"
"""The name of what the floor is made of."""

_WORSE: tuple[Verdict, ...] = ("good", "fair", "poor")

GOOD_RATIO = 1.5
"""A deviation up to this many floors is as good as new reference data, up to twice as many is fair."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Joint (phi, psi) probabilities of one residue on the bins between `edges` (rad), phi first."""

    label: str
    edges: Float[np.ndarray, " b+1"]
    reference: Float[np.ndarray, "b b"]
    candidates: dict[str, Float[np.ndarray, "b b"]]


@dataclass(frozen=True, eq=False)
class Histogram:
    """Probability densities of one coordinate, in 1/`unit`, on the bins between `edges` (`unit`).

    What lies outside the edges is not drawn, but counts: a density then integrates to less than 1.
    """

    label: str
    unit: str
    edges: Float[np.ndarray, " b+1"]
    reference: Float[np.ndarray, " b"]
    candidates: dict[str, Float[np.ndarray, " b"]]


@dataclass(frozen=True, eq=False)
class Profile:
    """Probabilities of one coordinate on the bins between `edges` (`unit`), drawn as free energies -ln p.

    `low` and `high`: the reference's, less and more a standard error. What lies outside the edges is not drawn.
    """

    label: str
    unit: str
    edges: Float[np.ndarray, " b+1"]
    reference: Float[np.ndarray, " b"]
    low: Float[np.ndarray, " b"]
    high: Float[np.ndarray, " b"]
    candidates: dict[str, Float[np.ndarray, " b"]]


@dataclass(frozen=True, eq=False)
class Plane:
    """Joint probabilities of two coordinates `labels` on the bins between `edges`, first coordinate first."""

    labels: tuple[str, str]
    edges: tuple[Float[np.ndarray, " b+1"], Float[np.ndarray, " b+1"]]
    reference: Float[np.ndarray, "b b"]
    candidates: dict[str, Float[np.ndarray, "b b"]]


@dataclass(frozen=True, eq=False)
class PairMap:
    """One number of every pair of beads, symmetric, such as the probability of a contact; NaN for pairs |i - j| < 3.

    `label` says what (with its unit), `most` is the end of its scale, None for the reference's largest; `residues` numbers
    the beads.
    """

    label: str
    most: float | None
    residues: tuple[int, ...]
    reference: Float[np.ndarray, "n n"]
    candidates: dict[str, Float[np.ndarray, "n n"]]


@dataclass(frozen=True, eq=False)
class Course:
    """How one trajectory moves between metastable sets; all times in ps and multiplied by `factor`.

    `lags` and implied `timescales` at them (NaN: none), with their relative standard error at the lag used;
    `transitions` T_AB at the reference's lag; `predicted` and `estimated` T_AA at 1, 2 ... times it
    (Chapman-Kolmogorov test); `passage_times`; `entries` into each set.
    """

    factor: float
    lags: Float[np.ndarray, " l"]
    timescales: Float[np.ndarray, "l k"]
    used: Float[np.ndarray, " k"]
    errors: Float[np.ndarray, " k"]
    transitions: Float[np.ndarray, "s s"]
    predicted: Float[np.ndarray, "m s"]
    estimated: Float[np.ndarray, "m s"]
    passage_times: Float[np.ndarray, "s s"]
    populations: Float[np.ndarray, " s"]
    entries: Int[np.ndarray, " s"]


@dataclass(frozen=True, eq=False)
class Kinetics:
    """Reference and candidates on the reference's metastable sets, at its `lag` in ps; `floor`: true frames of others."""

    lag: float
    reference: Course
    floor: Course | None
    candidates: dict[str, Course]

    def courses(self) -> dict[str, Course]:
        """All of them by name."""
        floor = {} if self.floor is None else {OTHERS: self.floor}
        return {"reference": self.reference} | floor | self.candidates


@dataclass(frozen=True, eq=False)
class Movie:
    """Frames to look at, superposed on one structure; `positions` in nm.

    `interval` in ps between them, None where they are independent; `rmsd` in nm of each to the native structure, or None.
    """

    positions: Float[np.ndarray, "f n 3"]
    interval: float | None
    rmsd: Float[np.ndarray, " f"] | None


@dataclass(frozen=True, eq=False)
class Staying:
    """How one simulation keeps what it starts with: one value of `metric` a window of time, all replicas together.

    `edges` of the windows in ps; `values` of a window's frames, NaN where there are too few; `floor` of as many true frames;
    `alive`: the share of replicas that reached each of `times` (ps).
    """

    metric: str
    title: str
    edges: Float[np.ndarray, " w+1"]
    values: Float[np.ndarray, " w"]
    floor: float
    times: Float[np.ndarray, " t"]
    alive: Float[np.ndarray, " t"]


@dataclass(frozen=True)
class Source:
    """What a candidate is. `interval` in ps or None, `temperature` in K; `settings` as its folder states them."""

    kind: Kind
    n_frames: int
    n_chains: int
    temperature: float
    interval: float | None
    started: int
    lost: int
    settings: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Report:
    """The comparison of every candidate with one reference.

    `metrics` maps candidate to metric to entry (above), exactly as metrics.json holds it. `bonds` and `angles` hold the
    worst, `distances` the most variable where a molecule has too many to draw. `movies` has those of "reference" and of
    every candidate, and of "native" where that structure is known; `staying` those candidates that are simulations.
    """

    molecule: Molecule
    dataset: dict[str, Any]
    sources: dict[str, Source]
    metrics: dict[str, dict[str, Entry]]
    surfaces: tuple[Surface, ...]
    bonds: tuple[Histogram, ...]
    angles: tuple[Histogram, ...]
    distances: tuple[Histogram, ...]
    profiles: tuple[Profile, ...]
    plane: Plane | None
    maps: tuple[PairMap, ...]
    kinetics: Kinetics | None
    staying: dict[str, Staying]
    movies: dict[str, Movie]
    warnings: tuple[str, ...]
    versions: dict[str, str]


def judge(entry: Entry) -> Verdict:
    """Good: the deviation from the ideal is at most 1.5 floors, or too small to matter; fair: at most twice that."""
    deviation = abs(entry["value"] - entry["ideal"])
    allowed = max(GOOD_RATIO * abs(entry["floor"] - entry["ideal"]), entry["tolerance"])
    return "good" if deviation <= allowed else "fair" if deviation <= 2 * allowed else "poor"


def ratio(entry: Entry) -> float | None:
    """value / floor of a metric whose ideal is 0; None where that says nothing."""
    return entry["value"] / entry["floor"] if entry["ideal"] == 0 and entry["floor"] > 0 else None


def reading(entry: Entry) -> str:
    """How far off a value is, in a few words: "1.20 × floor", "+3.0%"."""
    times = ratio(entry)
    if times is not None:
        # where the floor is tiny, "good" needs its reason
        excused = times > GOOD_RATIO and judge(entry) == "good"
        reason = f", within {tolerance(entry)}" if excused else ""
        return (f"{times:.2f} × floor" if times < 10 else f"{times:.0f} × floor") + reason
    if entry["ideal"] == 0:
        return "none" if entry["value"] == 0 else with_unit(entry["value"], entry["unit"])
    deviation = f"{100 * (entry['value'] / entry['ideal'] - 1):+.1f}%"
    if entry["ideal"] == 1:
        return deviation
    error = f" ± {number(entry['ideal_error'], 2)}" if "ideal_error" in entry else ""
    return f"{deviation}; reference {number(entry['ideal'])}{error}"


def tolerance(entry: Entry) -> str:
    """The deviation that does not matter, in words."""
    return (
        "2 standard errors of the reference"
        if "ideal_error" in entry
        else joined(f"{entry['tolerance']:g}", entry["unit"])
    )


def summary(entries: dict[str, Entry]) -> str:
    """Whether one candidate can be trusted, in a sentence or two."""
    marks = {name: judge(entry) for name, entry in entries.items()}
    good = sum(mark == "good" for mark in marks.values())
    if good == len(marks):
        care = ", with the cautions below" if any(entry.get("warnings") for entry in entries.values()) else ""
        return f"Yes{care}: as good as new reference data on all {len(marks)} measures."
    start = "Not in everything" if "poor" in marks.values() else "Largely"
    parts = [f"{start}: as good as new reference data on {good} of {len(marks)} measures."]
    for verdict, words in (("poor", "Off"), ("fair", "Nearly right")):
        named = [f"{e['title']} ({reading(e)})" for name, e in entries.items() if marks[name] == verdict]
        if named:
            parts.append(f"{words}: {', '.join(named)}.")
    return " ".join(parts)


def topics(entries: dict[str, Entry]) -> dict[str, Verdict]:
    """The worst verdict of every topic that these measures have, in their order."""
    found: dict[str, Verdict] = {}
    for entry in entries.values():
        before = found.get(entry["topic"], "good")
        found[entry["topic"]] = _WORSE[max(_WORSE.index(before), _WORSE.index(judge(entry)))]
    return found


def metric_table(report: Report) -> Table:
    """The metrics as a table for the terminal: one row a metric; value, floor and verdict of every candidate."""
    table = Table(
        title=f"{report.molecule.name}: value, floor and how they compare", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("metric", no_wrap=True)
    for name in report.metrics:
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("floor", justify="right", style="dim", no_wrap=True)
        table.add_column("", no_wrap=True)
    units = {metric: entry["unit"] for entries in report.metrics.values() for metric, entry in entries.items()}
    for metric, unit in units.items():
        cells = [cell for entries in report.metrics.values() for cell in _cells(entries.get(metric))]
        table.add_row(f"{metric} ({unit})" if unit else metric, *cells)
    return table


def _cells(entry: Entry | None) -> tuple[str, str, str]:
    if entry is None:
        return "", "", ""
    mark, times = judge(entry), ratio(entry)
    style = {"good": "green", "fair": "yellow", "poor": "red"}[mark]
    short = f" {number(times)} x" if times is not None else ""
    if entry["ideal"] != 0:
        short = f" {100 * (entry['value'] / entry['ideal'] - 1):+.0f}%"
    return number(entry["value"]), number(entry["floor"]), f"[{style}]{mark}{short}[/]"
