"""A verification as a folder: verify.json, and index.html, one file that needs no network."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from ..markup import cautions, figure, fill, folded
from ..storage import describe, explain_os_errors, new_folder, read_json, reading, write_json
from ..words import number
from .base import Check, Context
from .figures import (
    Details,
    drift_figure,
    extrapolation_figure,
    fokker_planck_figure,
    stability_figure,
    temperatures_figure,
)

_FIGURES: dict[str, tuple[str, Callable[[Details, float], Figure], str, str]] = {
    "stability": (
        "map",
        stability_figure,
        "Stability",
        "Short simulations over time step and noise level; framed: the model as configured. Lost: replicas with a broken "
        "bond or a number that is not finite. Configurational temperature over the thermostat’s, and mean bond width over "
        "the reference’s: 1 is right (a cell’s temperature is good to about {map_temperature_error:.2f}; the verdict is "
        "that of the longer simulation). –: nothing survived.",
    ),
    "energy_drift": (
        "energy_kT",
        drift_figure,
        "Energy drift",
        "Total energy without thermostat, grey: replicas, blue: their mean. A slope is drift; scatter about it comes from "
        "the time step, {dt_fs:g} fs.",
    ),
    "equipartition": (
        "pair_temperature",
        temperatures_figure,
        "Equipartition",
        "Configurational temperature of every bond, then of every 1-3 distance, over the thermostat’s, with standard errors. "
        "Grey: 2%.",
    ),
    "extrapolation": (
        "edges_nm",
        extrapolation_figure,
        "Distance to the training data",
        "Root mean square difference of pair distances to the nearest of {training_frames:,} {compared_with}.",
    ),
    "fokker_planck": (
        "sigma_nm",
        fokker_planck_figure,
        "Fokker-Planck residual",
        "RMS residual of ∂U/∂t = ∇²U − |∇U|² (t = σ²/2), less its mean, over the RMS of ∇²U. Dashed: the threshold; grey: "
        "the force level.",
    ),
}


def write_verification(
    context: Context, checks: Sequence[Check], path: Path, run: str = "", reproduce: Sequence[str] = ()
) -> None:
    """Write `verify.json` and `index.html` into the new folder `path`.

    `run`: the model's folder, as it was named; `reproduce`: the commands that lead here. Raises InputError if `path` exists
    or cannot be written.
    """
    content = description(context, checks, run)
    page = render(content, checks, reproduce)
    with new_folder(path) as draft, explain_os_errors(path):
        write_json(draft / "verify.json", content)
        (draft / "index.html").write_text(page, encoding="utf-8")


def description(context: Context, checks: Sequence[Check], run: str = "") -> dict[str, Any]:
    """What verify.json holds."""
    model = context.model
    return describe(
        "verification",
        molecule=model.molecule.to_json(),
        temperature_K=model.temperature,
        run=run,
        reference=context.described,
        settings={
            "level_nm": model.level,
            "dt_fs": model.dt_fs,
            "friction_per_ps": model.config.simulation.friction,
            "seed": context.seed,
        }
        | asdict(context.sizes),
        training=model.training,
        warnings=context.warnings,
        checks={check.name: _plain(check) for check in checks},
    )


def _plain(check: Check) -> dict[str, Any]:
    fields = {key: value for key, value in asdict(check).items() if key != "name"}
    return {"verdict": check.verdict} | fields


def render(content: dict[str, Any], checks: Sequence[Check], reproduce: Sequence[str] = ()) -> str:
    """The page as HTML, of what verify.json holds and the checks themselves; nothing loaded from anywhere."""
    name = content["molecule"]["name"]
    blocks = {"Settings": content["settings"], "Training": content["training"]}
    versions = content.get("versions", {})
    return fill(
        "verify.html",
        title=escape(f"{name}: how far this model can be trusted"),
        lead=escape(_lead(checks)),
        warnings=cautions(content["warnings"]),
        checks=_table(checks),
        figures="\n".join(_figures(checks, content["settings"]["level_nm"])),
        subject="\n".join(_subject(content)),
        settings="\n".join(folded(title, block) for title, block in blocks.items() if block),
        reproduce=f"<pre>{escape(chr(10).join(reproduce))}</pre>" if reproduce else "<p>No commands were recorded.</p>",
        versions=escape(", ".join(f"{package} {version}" for package, version in versions.items())),
    )


def section(folder: Path) -> str:
    """What the folder of a verification found, as a section of another page. Raises InputError if it is none."""
    content = read_json(folder / "verify.json", "verification")
    with reading(folder / "verify.json"):
        known = {field.name for field in fields(Check)}
        checks = [
            Check(name=name, **{key: value for key, value in check.items() if key in known})
            for name, check in content["checks"].items()
        ]
        figures = "\n".join(_figures(checks, content["settings"]["level_nm"]))
        return f'<h2 id="verified">As a force field</h2>\n<p>{escape(_lead(checks))}</p>\n{_table(checks)}\n{figures}'


def _lead(checks: Sequence[Check]) -> str:
    failed = ", ".join(check.title.lower() for check in checks if not check.passed)
    passed = sum(check.passed for check in checks)
    return f"{passed} of {len(checks)} checks passed" + (f"; not: {failed}." if failed else ".")


def _table(checks: Sequence[Check]) -> str:
    rows = "\n".join(_rows(check) for check in checks)
    return f"""<table class="checks"><thead><tr><th>check</th><th></th><th class="n">value</th>
<th class="n">threshold</th></tr></thead><tbody>
{rows}
</tbody></table>"""


def _rows(check: Check) -> str:
    """The figures, and below them what was found and why the threshold is what it is."""
    mark = '<span class="good">●&nbsp;PASS</span>' if check.passed else '<span class="poor">○&nbsp;FAIL</span>'
    unit = f" {escape(check.unit)}" if check.unit else ""
    sign = "≤" if check.bound == "at most" else "≥"
    return (
        f"<tr><td><b>{escape(check.title)}</b> <code>{escape(check.name)}</code></td><td>{mark}</td>"
        f'<td class="n">{value(check)}</td><td class="n">{sign}&nbsp;{threshold(check)}{unit}</td></tr>'
        f'<tr class="why"><td colspan="4">{escape(_sentence(check.finding))}'
        f'<br><span class="note">Threshold: {escape(check.reason)}.</span></td></tr>'
    )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."


def value(check: Check) -> str:
    """A check's value, with its standard error where it has one; a dash where it could not be had."""
    if check.value is None:
        return "–"
    return number(check.value) + ("" if check.error is None else f" ± {number(check.error, 2)}")


def threshold(check: Check) -> str:
    """A check's threshold, as a reader writes it."""
    return f"{check.threshold:g}" if check.threshold >= 1e-3 else number(check.threshold)


def _figures(checks: Sequence[Check], level: float) -> list[str]:
    drawn = []
    for check in checks:
        if check.name not in _FIGURES:
            continue
        needed, draw, title, caption = _FIGURES[check.name]
        if check.details.get(needed):
            details = check.details | {"threshold": check.threshold, "level_nm": level}
            drawn.append(figure(partial(draw, details), title, caption.format(**details)))
    return drawn


def _subject(content: dict[str, Any]) -> list[str]:
    molecule, settings = content["molecule"], content["settings"]
    rows = {
        "model": f"{content['run'] or 'a model'}, of {molecule['name']}, {len(molecule['bead_names'])} beads, "
        f"{content['temperature_K']:g} K",
        "force": f"read off at {settings['level_nm']:.4g} nm; {settings['dt_fs']:g} fs, friction "
        f"{settings['friction_per_ps']:g}/ps",
        "reference": content["reference"],
        "amount": f"{settings['samples']:,} samples; {settings['replicas']} replicas of {settings['time_ps']:g} ps; "
        f"{settings['frames']} frames for checks of single frames; {_seconds(content):.0f} s",
    }
    return [f"<tr><th>{escape(key)}</th><td>{escape(text)}</td></tr>" for key, text in rows.items()]


def _seconds(content: dict[str, Any]) -> float:
    return sum(check["seconds"] or 0.0 for check in content["checks"].values())


def check_table(checks: Sequence[Check]) -> Table:
    """The checks as a table for the terminal, one row each."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("check", "", "value", "threshold"):
        table.add_column(column, no_wrap=True, justify="right" if column in ("value", "threshold") else "left")
    table.add_column("found")
    for check in checks:
        style = "green" if check.passed else "red"
        bound = "<=" if check.bound == "at most" else ">="
        row = (check.name, f"[{style}]{check.verdict}[/]", value(check), f"{bound} {threshold(check)}", check.finding)
        table.add_row(*row)
    return table
