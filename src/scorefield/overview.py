"""The first part of a report's page: what was trained, on what, and whether it can be trusted, measure by measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .frames import Kind
from .report import Entry, Report, Source, judge, reading, summary, tolerance, topics
from .words import number, seconds, span, with_unit

MARKS = {"good": "●", "fair": "◐", "poor": "○"}
ANSWERS = {"good": "yes", "fair": "nearly", "poor": "no"}


@dataclass(frozen=True)
class Published:
    """A figure from the literature to show beside ours. `note` says on which data, and what keeps it from comparing.

    `kind`: of which candidates it is, None for all.
    """

    metric: str
    label: str
    value: float
    note: str
    kind: Kind | None = None


def lead(report: Report) -> str:
    """What was trained, on what, and what it is compared with."""
    dataset, test = report.dataset, report.dataset["splits"]["test"]
    chains = "1 chain" if test["chains"] == 1 else f"{test['chains']} chains"
    return (
        f"{_trained(report)} Compared here with {test['frames']:,} all-atom reference frames of {chains} that took no "
        f"part in training, as {report.molecule.n_beads} beads (map {dataset['map']}) at {dataset['temperature_K']:g} K."
    )


def _trained(report: Report) -> str:
    """The model, where all candidates name the same one."""
    abouts = [source.settings.get("model") for source in report.sources.values()]
    about, name = abouts[0], escape(report.molecule.name)
    if not isinstance(about, dict) or any(other != about for other in abouts):
        return f"Coarse-grained structures of {name}: {', '.join(report.sources)}."
    words = f"One coarse-grained model of {name}"
    if "parameters" in about:
        words += f" ({about['parameters']:,} parameters)"
    if "train_frames" in about:
        words += f", trained on {about['train_frames']:,} frames"
    if "seconds" in about:
        words += f" in {seconds(about['seconds'])}"
    return words + "."


def cards(report: Report) -> str:
    """One card a candidate: what it is, whether it can be trusted, and the worst verdict of every topic."""
    return "\n".join(_card(name, report.sources[name], entries) for name, entries in report.metrics.items())


def _card(name: str, source: Source, entries: dict[str, Entry]) -> str:
    tiles = "".join(f'<li class="{mark}">{MARKS[mark]} {escape(topic)}</li>' for topic, mark in topics(entries).items())
    return (
        f'<section class="card"><h3>{escape(name)}</h3><p class="note">{escape(what(source))}</p>'
        f'<ul class="topics">{tiles}</ul><p><b>Can it be trusted?</b> {_text(summary(entries))}</p></section>'
    )


def what(source: Source) -> str:
    """A candidate in a few words: what it is, and how much."""
    if source.kind == "samples":
        return f"{source.n_frames:,} independent samples by denoising"
    time = "" if source.interval is None else f", {span(source.n_frames * source.interval)} in all"
    return f"Langevin dynamics, {source.started:,} replicas{time}"


def measures(report: Report, published: Sequence[Published] = ()) -> str:
    """A table of all measures: question, verdict and value of every candidate, published figures."""
    names = list(report.metrics)
    found = {metric: entry for entries in report.metrics.values() for metric, entry in entries.items()}
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for metric, entry in found.items():
        figures = [p for p in published if p.metric == metric]
        cells = "".join(
            _cell(name, report.metrics[name].get(metric), [p for p in figures if p.kind == report.sources[name].kind])
            for name in names
        )
        rows.append(
            f"<tr><td>{escape(entry['question'])}<br><span class='note'>{escape(entry['title'])} "
            f"<code>{escape(metric)}</code>{_cited([p for p in figures if p.kind is None])}</span></td>{cells}</tr>"
        )
    body, first = "\n".join(rows), "<th>compared with the reference</th>"
    head = f"<thead><tr>{first}{head}</tr></thead>"
    return f'<div class="scroll"><table class="measures">{head}<tbody>\n{body}\n</tbody></table></div>'


def _cell(name: str, entry: Entry | None, published: Sequence[Published]) -> str:
    if entry is None:
        return f'<td data-of="{escape(name)}"></td>'
    verdict = judge(entry)
    error = f" ± {number(entry['error'], 2)}" if "error" in entry else ""
    return (
        f'<td data-of="{escape(name)}"><span class="{verdict}">{MARKS[verdict]} {ANSWERS[verdict]}</span> '
        f"{with_unit(entry['value'], entry['unit'])}{error}<br>"
        f'<span class="note">{_text(reading(entry))}; floor {number(entry["floor"])}{_events(entry)}{_cited(published)}'
        "</span></td>"
    )


def _events(entry: Entry) -> str:
    """How often chains folded and unfolded, where a metric counts that, in a line of its own."""
    told = [
        f"{title}folded {entry[f'{prefix}folding_events']:,}, unfolded {entry[f'{prefix}unfolding_events']:,} times in "
        f"{span(1000 * entry[f'{prefix}time_ns'])}"
        for prefix, title in (("", ""), ("reference_", "reference "))
        if f"{prefix}folding_events" in entry
    ]
    return f"<br>{'; '.join(told).strip()}" if "folding_events" in entry else ""


def _cited(published: Sequence[Published]) -> str:
    """Figures from the literature in a line of its own."""
    words = ", ".join(f"{p.value:g} ({escape(p.label)})" for p in published)
    return f"<br>published: {words}" if words else ""


def _text(words: str) -> str:
    """Escaped, and no line break within "1.2 × floor"."""
    return escape(words).replace(" × ", "&nbsp;×&nbsp;")


def tolerances(report: Report) -> str:
    """The deviations that do not matter, of every measure that has one."""
    entries = [entry for entries in report.metrics.values() for entry in entries.values() if entry["tolerance"] > 0]
    return "; ".join(dict.fromkeys(f"{entry['title']}: {tolerance(entry)}" for entry in entries))


def compared(report: Report) -> str:
    """How many frames went into the numbers."""
    parts = [
        f"{name} {max(e['n'] for metric, e in entries.items() if metric != 'lost'):,} of "
        f"{report.sources[name].n_frames:,} frames"
        for name, entries in report.metrics.items()
    ]
    return f"Compared, thinned evenly: {', '.join(parts)}; as many for the floor."
