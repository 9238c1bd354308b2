"""Sections of the report's page that a molecule has or has not: free energies, contacts, kinetics, stability."""

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import Any

from .markup import figure
from .plot import level_figure, staying_figure
from .plot_kinetics import chapman_kolmogorov_figure, timescale_figure, transition_figure
from .plot_landscape import map_figure, plane_figure, profile_figure
from .report import Kinetics, Report
from .words import number, span

NOT_JUDGED = "Nothing on this page judges kinetics."
JUDGED = (
    "So timescales and transitions are compared after all times of a simulation were multiplied by one factor, stated "
    "below; what remains is whether its motions keep their order and their ratios."
)


def landscape_figures(report: Report) -> list[str]:
    """Figures of free energies and contacts."""
    parts = []
    if report.profiles:
        caption = (
            "Free energy −ln p in kT along single coordinates, zero at the reference’s minimum. Dark: the reference, with a "
            "standard error (bootstrap over chains)."
        )
        parts.append(figure(partial(profile_figure, report.profiles), "Free energies", caption))
    if report.plane:
        caption = (
            "Free energy −ln p in kT of the two slowest coordinates (TICA, fitted on the reference, 101 × 101 bins on its "
            "range). White: no frame fell there."
        )
        parts.append(figure(partial(plane_figure, report.plane), "Slow coordinates", caption))
    if report.maps:
        caption = (
            "Of two beads at least three apart along the chain: the probability that they are nearer than 8 Å, and their "
            "mean distance. The reference above the diagonal, the candidate below it."
        )
        parts.append(figure(partial(map_figure, report.maps), "Contacts and distances", caption))
    return parts


def stability_section(report: Report) -> str:
    """The noise level that the force was read off at, and whether simulations keep what they start with."""
    parts = []
    if report.staying:
        title = next(iter(report.staying.values())).title
        floors = min(s.floor for s in report.staying.values())
        caption = (
            f"{title} of all replicas, window by window of their time: a curve that rises leaves the reference, one that "
            f"stays at the floor (dashed, {number(floors)}: as many true frames) does not. Beside it, the share of replicas "
            "that are still intact."
        )
        draw = partial(staying_figure, report.staying, list(report.sources))
        parts.append(figure(draw, "Does the simulation stay?", caption))
    parts += [_level(name, source.settings) for name, source in report.sources.items()]
    found = "\n".join(part for part in parts if part)
    return f'<h2 id="force">Stability and noise level of the force</h2>\n{found}' if found else ""


def _level(name: str, settings: dict[str, Any]) -> str:
    """The curve that a simulation's noise level was chosen by."""
    curve = settings.get("force_level")
    if not curve or len(curve["levels_nm"]) < 2 or all(value is None for value in curve["excess"]):
        return ""
    used = settings["level_nm"]
    draw = partial(level_figure, curve["levels_nm"], curve["excess"], curve["error"], used)
    caption = (
        f"Noise level of the force of {name}: squared error of the soft force beyond that of the best level, relative to the "
        "squared force, on validation frames (Hyvärinen’s objective; no test data). Larger levels blur the force, smaller "
        f"ones are learned less well. Chosen {10 * curve['chosen_nm']:.3g} Å, used {10 * used:.3g} Å."
    )
    return figure(draw, "Noise level of the force", caption)


def kinetics_section(report: Report) -> str:
    """Markov models on the reference's states: a table and figures; nothing where there is nothing to compare."""
    kinetics = report.kinetics
    if kinetics is None:
        return ""
    names = list(report.sources)
    timescales = (
        "Implied timescales of the slow processes against the lag of the Markov model; dashed: the lag used. In the grey "
        "region a process is faster than the lag. Curves that stay level speak for the model. Times of candidates are "
        "multiplied by their factor."
    )
    test = (
        "Chapman-Kolmogorov test: the chance to be in a metastable set again after some lags, predicted by the model at "
        "one lag (lines) and estimated anew at each (points)."
    )
    transitions = (
        f"Chance to go from one metastable set to another within {span(kinetics.lag)}, after rescaling; the sets are the "
        "reference’s, numbered by falling population."
    )
    return "\n".join(
        (
            '<h2 id="kinetics">Kinetics</h2>',
            _table(kinetics),
            figure(partial(timescale_figure, kinetics, names), "Implied timescales", timescales),
            figure(partial(chapman_kolmogorov_figure, kinetics, names), "Chapman-Kolmogorov test", test),
            figure(partial(transition_figure, kinetics, names), "Transitions", transitions),
            _passages(kinetics),
        )
    )


def _table(kinetics: Kinetics) -> str:
    courses = list(kinetics.courses().items())
    rows = [("time factor", [f"{number(c.factor)}" for _, c in courses])]
    for k in range(kinetics.reference.used.size):
        ratios = [f", {number(c.used[k] / courses[0][1].used[k], 2)} of the reference's" for _, c in courses[1:]]
        times = [f"{span(c.used[k])} ± {100 * c.errors[k]:.0f}%" for _, c in courses]
        rows.append((f"timescale {k + 1}", [a + b for a, b in zip(times, ["", *ratios], strict=True)]))
    for k in range(kinetics.reference.populations.size):
        words = [f"{c.populations[k]:.3f}, entered {c.entries[k]:,} times" for _, c in courses]
        rows.append((f"population of set {k + 1}", words))
    note = (
        "All times of a candidate are multiplied by its time factor: its own clock runs faster by that. Other chains are "
        "true frames that are not the reference’s: how far they are off, their factor from 1, is the least that can be "
        f"told. Timescales of Markov models at a lag of {span(kinetics.lag)}, standard errors by bootstrap over chains."
    )
    return f"{_rows(['', *(name for name, _ in courses)], rows)}<p class='note'>{note}</p>"


def _passages(kinetics: Kinetics) -> str:
    courses, n = list(kinetics.courses().items()), kinetics.reference.populations.size
    rows = [
        (f"set {a + 1} to set {b + 1}", [span(c.passage_times[a, b]) for _, c in courses])
        for a in range(n)
        for b in range(n)
        if a != b
    ]
    head = ["mean first-passage time", *(name for name, _ in courses)]
    return (
        f"{_rows(head, rows)}<p class='note'>From equilibrium within the first set; times of candidates rescaled.</p>"
    )


def _rows(head: Sequence[str], rows: Sequence[tuple[str, list[str]]]) -> str:
    top = "".join(f"<th{' class=n' if k else ''}>{escape(h)}</th>" for k, h in enumerate(head))
    body = "\n".join(
        f"<tr><td>{escape(title)}</td>{''.join(f'<td class=n>{escape(v)}</td>' for v in values)}</tr>"
        for title, values in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
