"""A Report as a folder: metrics.json, and index.html, one file that needs no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from .markup import cautions, figure, fill, folded
from .observables import far_pairs
from .plot import histogram_figure, level_figure, ramachandran_figure
from .report import Entry, Report, judge, number, reading, summary, tolerance, with_unit
from .sections import JUDGED, NOT_JUDGED, kinetics_section, landscape_figures
from .storage import explain_os_errors, new_folder, write_json

_MARKS = {"good": "●", "fair": "◐", "poor": "○"}


@dataclass(frozen=True)
class Published:
    """A figure from the literature to show beside ours. `note` says on which data, and what keeps it from comparing."""

    metric: str
    label: str
    value: float
    note: str


def write_report(
    report: Report, path: Path, reproduce: Sequence[str] = (), published: Sequence[Published] = ()
) -> None:
    """Write `metrics.json` and `index.html` into the new folder `path`.

    `reproduce`: the commands that lead to this report. Raises InputError if `path` exists or cannot be written.
    """
    page = render(report, reproduce, published)
    with new_folder(path) as draft, explain_os_errors(path):
        write_json(draft / "metrics.json", report.metrics)
        (draft / "index.html").write_text(page, encoding="utf-8")


def render(report: Report, reproduce: Sequence[str] = (), published: Sequence[Published] = ()) -> str:
    """The page as HTML: figures embedded, nothing loaded from anywhere."""
    return fill(
        "report.html",
        title=escape(f"{report.molecule.name}: comparison with held-out reference structures"),
        lead=escape(_lead(report)),
        warnings=cautions(report.warnings),
        candidates="\n".join(_candidate(name, report) for name in report.metrics),
        tolerances=escape(_tolerances(report)),
        kinetics_judged=JUDGED if report.kinetics else NOT_JUDGED,
        figures=_figures(report),
        kinetics=kinetics_section(report),
        definitions="\n".join(_definitions(report)),
        published=_published(published),
        compared="\n".join(_compared(report)),
        settings=_settings(report),
        reproduce=f"<pre>{escape(chr(10).join(reproduce))}</pre>" if reproduce else "<p>No commands were recorded.</p>",
        versions=escape(", ".join(f"{name} {version}" for name, version in report.versions.items())),
    )


def _lead(report: Report) -> str:
    test = report.dataset["splits"]["test"]
    chains = "1 chain" if test["chains"] == 1 else f"{test['chains']} chains"
    return (
        f"{' and '.join(report.metrics)}, compared with {test['frames']:,} held-out reference frames of {chains} at "
        f"{report.dataset['temperature_K']:g} K."
    )


def _candidate(name: str, report: Report) -> str:
    """The card of one candidate: what it is, its verdict in words, and a table of all measures."""
    source, entries = report.sources[name], report.metrics[name]
    kind = "independent samples" if source.kind == "samples" else "Langevin dynamics"
    compared = max(entry["n"] for metric, entry in entries.items() if metric != "lost")
    rows = "\n".join(_row(metric, entry) for metric, entry in entries.items())
    return f"""<section class="candidate"><h3>{escape(name)} <span class="note">{kind}</span></h3>
<p>{_text(summary(entries))}</p>
<div class="scroll"><table><thead><tr><th>measure</th><th class="n">value</th><th class="n">floor</th>
<th>how it compares</th></tr></thead><tbody>
{rows}
</tbody></table></div>
<p class="note">{compared:,} of {source.n_frames:,} frames compared, thinned evenly; as many for the floor.</p>
</section>"""


def _row(metric: str, entry: Entry) -> str:
    verdict = judge(entry)
    error = f" ± {number(entry['error'], 2)}" if "error" in entry else ""
    return (
        f"<tr><td>{escape(entry['title'])} <code>{escape(metric)}</code></td>"
        f'<td class="n">{with_unit(entry["value"], entry["unit"])}{error}</td>'
        f'<td class="n">{number(entry["floor"])}</td>'
        f'<td><span class="{verdict}">{_MARKS[verdict]} {verdict}</span> {_text(reading(entry))}</td></tr>'
    )


def _text(words: str) -> str:
    """Escaped, and no line break within "1.2 × floor"."""
    return escape(words).replace(" × ", "&nbsp;×&nbsp;")


def _tolerances(report: Report) -> str:
    entries = [entry for entries in report.metrics.values() for entry in entries.values() if entry["tolerance"] > 0]
    return "; ".join(dict.fromkeys(f"{entry['title']}: {tolerance(entry)}" for entry in entries))


def _definitions(report: Report) -> list[str]:
    found = {metric: entry for entries in report.metrics.values() for metric, entry in entries.items()}
    return [
        f"<dt>{escape(entry['title'])} <code>{escape(metric)}</code> {escape(entry['unit'])}</dt>"
        f"<dd>{escape(entry['definition'])}</dd>"
        for metric, entry in found.items()
    ]


def _figures(report: Report) -> str:
    parts = []
    if report.surfaces:
        parts.append(
            figure(
                lambda width: ramachandran_figure(report.surfaces, width),
                "Backbone dihedrals",
                "Free energy of the backbone dihedrals, −ln p in kT on 64 × 64 bins, one colour scale, zero at the "
                "reference’s most probable bin. White: no frame fell there.",
            )
        )
    for histograms, title, quantity, total, choice in (
        (report.bonds, "Bond lengths", "length", len(report.molecule.bond_pairs), "with the largest error"),
        (report.angles, "Bond angles", "angle", len(report.molecule.angle_triples), "with the largest error"),
        (report.distances, "Bead distances", "distance", len(far_pairs(report.molecule)), "that vary most"),
    ):
        if histograms:
            shown = "" if len(histograms) == total else f" The {len(histograms)} of {total} {choice} are shown."
            caption = f"{title}: probability densities, the reference in grey.{shown} Beads by name and residue."
            parts.append(figure(partial(histogram_figure, histograms, quantity), title, caption))
    parts += landscape_figures(report)
    parts += [_levels(name, source.settings) for name, source in report.sources.items()]
    return "\n".join(parts)


def _levels(name: str, settings: dict[str, Any]) -> str:
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


def _published(published: Sequence[Published]) -> str:
    items = "".join(
        f"<li>{escape(p.label)}: <code>{escape(p.metric)}</code> {p.value:g} ({escape(p.note)})</li>" for p in published
    )
    return f"<h2>Published figures</h2><ul>{items}</ul>" if items else ""


def _compared(report: Report) -> list[str]:
    dataset = report.dataset
    splits = ", ".join(f"{s} {c['frames']:,} frames in {c['chains']} chains" for s, c in dataset["splits"].items())
    interval = "" if dataset["interval_ps"] is None else f", a frame every {dataset['interval_ps']:g} ps"
    rows = {
        "molecule": f"{report.molecule.name}, {report.molecule.n_beads} beads (map {dataset['map']})",
        "reference": f"{splits}; {dataset['temperature_K']:g} K{interval}",
    }
    if (dataset["equilibrium"] or {}).get("verdict"):
        rows["equilibrium"] = str(dataset["equilibrium"]["verdict"])
    for name, s in report.sources.items():
        what = f"{s.started:,} started, {s.lost:,} lost; {s.n_frames:,} frames at {s.temperature:g} K"
        rows[name] = what + ("" if s.interval is None else f", a frame every {s.interval:g} ps")
    return [f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in rows.items()]


def _settings(report: Report) -> str:
    blocks = {f"Settings of {name}": source.settings for name, source in report.sources.items()}
    blocks["Provenance of the reference"] = report.dataset["provenance"]
    blocks["Equilibrium of the reference, as found when it was prepared"] = report.dataset["equilibrium"] or {}
    return "\n".join(folded(title, content) for title, content in blocks.items() if content)
