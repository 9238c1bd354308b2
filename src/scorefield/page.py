"""A Report as a folder: metrics.json, and index.html, one file that needs no network."""

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path

from .markup import cautions, drawn, figure, fill, folded
from .observables import far_pairs
from .overview import Published, cards, compared, lead, measures, tolerances
from .player import player
from .plot import histogram_figure, ramachandran_figure
from .report import Histogram, Report
from .sections import JUDGED, NOT_JUDGED, kinetics_section, landscape_figures, stability_section
from .storage import explain_os_errors, new_folder, write_json


def write_report(
    report: Report,
    path: Path,
    reproduce: Sequence[str] = (),
    published: Sequence[Published] = (),
    sections: Sequence[str] = (),
) -> None:
    """Write `metrics.json`, `index.html` and the page's figures, `figures/*.svg`, into the new folder `path`.

    `reproduce`: the commands that lead to this report; `sections`: further ones of the page, as HTML. Raises InputError if
    `path` exists or cannot be written.
    """
    page = render(report, reproduce, published, sections)
    with new_folder(path) as draft, explain_os_errors(path):
        write_json(draft / "metrics.json", report.metrics)
        (draft / "index.html").write_text(page, encoding="utf-8")
        (draft / "figures").mkdir()
        for name, content in drawn(page).items():
            (draft / "figures" / f"{name}.svg").write_bytes(content)


def render(
    report: Report,
    reproduce: Sequence[str] = (),
    published: Sequence[Published] = (),
    sections: Sequence[str] = (),
) -> str:
    """The page as HTML: figures embedded, nothing loaded from anywhere."""
    return fill(
        "report.html",
        title=escape(f"{report.molecule.name}: a coarse-grained model beside its all-atom reference"),
        lead=lead(report),
        cards=cards(report),
        warnings=cautions(report.warnings),
        player=player(report),
        measures=measures(report, published),
        compared=escape(compared(report)),
        tolerances=escape(tolerances(report)),
        kinetics_judged=JUDGED if report.kinetics else NOT_JUDGED,
        shapes=_shapes(report),
        kinetics=kinetics_section(report),
        local=_local(report),
        stability=stability_section(report),
        further="\n".join(sections),
        definitions="\n".join(_definitions(report)),
        published=_published(published),
        subject="\n".join(_subject(report)),
        settings=_settings(report),
        reproduce=f"<pre>{escape(chr(10).join(reproduce))}</pre>" if reproduce else "<p>No commands were recorded.</p>",
        versions=escape(", ".join(f"{name} {version}" for name, version in report.versions.items())),
    )


def _definitions(report: Report) -> list[str]:
    found = {metric: entry for entries in report.metrics.values() for metric, entry in entries.items()}
    return [
        f"<dt>{escape(entry['title'])} <code>{escape(metric)}</code> {escape(entry['unit'])}</dt>"
        f"<dd>{escape(entry['definition'])}</dd>"
        for metric, entry in found.items()
    ]


def _shapes(report: Report) -> str:
    """Free energies, distances and contacts."""
    parts = []
    if report.surfaces:
        caption = (
            "Free energy of the backbone dihedrals, −ln p in kT on 64 × 64 bins, one colour scale, zero at the "
            "reference’s most probable bin. White: no frame fell there."
        )
        parts.append(figure(partial(ramachandran_figure, report.surfaces), "Backbone dihedrals", caption))
    parts += landscape_figures(report)
    total = len(far_pairs(report.molecule))
    parts.append(_histograms(report.distances, "Bead distances", "distance", total, "that vary most"))
    return "\n".join(parts)


def _local(report: Report) -> str:
    """Bonds and bond angles."""
    molecule, choice = report.molecule, "with the largest error"
    return _histograms(report.bonds, "Bond lengths", "length", len(molecule.bond_pairs), choice) + _histograms(
        report.angles, "Bond angles", "angle", len(molecule.angle_triples), choice
    )


def _histograms(histograms: Sequence[Histogram], title: str, quantity: str, total: int, choice: str) -> str:
    if not histograms:
        return ""
    shown = "" if len(histograms) == total else f" The {len(histograms)} of {total} {choice} are shown."
    caption = f"{title}: probability densities, the reference in grey.{shown} Beads by name and residue."
    return figure(partial(histogram_figure, histograms, quantity), title, caption)


def _published(published: Sequence[Published]) -> str:
    """The figures from the literature, those with the same note together."""
    parts = []
    for note in dict.fromkeys(p.note for p in published):
        items = "".join(
            f"<li><code>{escape(p.metric)}</code> {p.value:g}: {escape(p.label)}{f', {p.kind}' if p.kind else ''}</li>"
            for p in published
            if p.note == note
        )
        parts.append(f"<ul>{items}</ul><p class='note'>{escape(note[:1].upper() + note[1:])}.</p>")
    return f'<h2 id="published">Published figures</h2>{"".join(parts)}' if parts else ""


def _subject(report: Report) -> list[str]:
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
