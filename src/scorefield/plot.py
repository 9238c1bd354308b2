"""Figures of a report: drawn from its numbers only, returned as objects, made to be read at a given width in inches.

A figure drawn for a phone has fewer columns, not smaller text.
"""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .report import Histogram, Staying, Surface
from .words import time_unit

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, safe for colour-blind readers; one colour a candidate, in order."""

GREY = "#bdbdbd"
"""The reference's colour."""

_DEEPEST = 8.0  # kT above the reference's minimum, the end of the colour scale
_MAP = "viridis"
_MOST_RESIDUES = 6
_PANEL = 1.75  # inches, the least width of a panel whose labels can be read
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "svg.fonttype": "path",  # the reader's machine may lack the font
    "svg.hashsalt": "scorefield",  # same numbers, same file
}
"""Of every figure; use with `matplotlib.rc_context`."""


def ramachandran_figure(surfaces: Sequence[Surface], width: float = 7.2) -> Figure:
    """Free energies -ln p of (phi, psi) in kT: residues down (at most 6), reference and candidates across.

    One scale for all, zero at the reference's most probable bin; bins that no frame visited stay blank.
    """
    shown = surfaces[:_MOST_RESIDUES]
    systems = ("reference", *shown[0].candidates)
    columns = min(len(systems), max(1, int(width / _PANEL)))
    lines = -(-len(systems) // columns)
    with matplotlib.rc_context(STYLE):
        panel = min((width - 1.0) / columns, 2.3)
        figure, axes = grid(len(shown) * lines, columns, panel * columns + 1.0, panel + 0.25, extra=0.35)
        for i, surface in enumerate(shown):
            zero = -np.log(surface.reference.max())
            for j, system in enumerate(systems):
                ax = axes[i * lines + j // columns][j % columns]
                _draw_surface(ax, surface.candidates.get(system, surface.reference), zero, surface.edges)
                ax.set_title(short(system))
                ax.set_ylabel(f"{surface.label}\nψ (°)")
        _finish_grid(axes, [len(systems)] * len(shown), columns, "φ (°)", shared=True)
        # beside the first row and exactly as high
        scale = ScalarMappable(Normalize(0, _DEEPEST), _MAP)
        bar = figure.colorbar(scale, cax=axes[0][-1].inset_axes((1.06, 0, 0.06, 1)))
        bar.set_label("free energy −ln p (kT)")
    return figure


def _draw_surface(ax: Axes, p: np.ndarray, zero: float, edges: np.ndarray) -> None:
    with np.errstate(divide="ignore"):
        energy = np.where(p > 0, np.maximum(-np.log(p) - zero, 0.0), np.nan)
    ends = np.degrees(edges[[0, -1, 0, -1]])
    ax.imshow(energy.T, origin="lower", extent=tuple(ends), cmap=_MAP, vmin=0, vmax=_DEEPEST)
    ax.set_xticks([-180, -90, 0, 90, 180], ["−180", "", "0", "", "180"])
    ax.set_yticks([-180, -90, 0, 90, 180], ["−180", "", "0", "", "180"])
    ax.spines[["top", "right"]].set_visible(True)


def histogram_figure(histograms: Sequence[Histogram], quantity: str, width: float = 7.2) -> Figure:
    """Small multiples of distributions, the reference a grey area, candidates lines; `quantity` labels the x axes."""
    most = min(len(histograms), max(1, int(width / _PANEL)))
    columns = min(range(most, min(most, 3) - 1, -1), key=lambda c: -len(histograms) % c)  # no lonely last panel
    rows = -(-len(histograms) // columns)
    names = [short(name) for name in ("reference", *histograms[0].candidates)]
    legend_columns = max(1, min(len(names), int(width / (0.55 + 0.06 * max(map(len, names))))))
    with matplotlib.rc_context(STYLE):
        figure, axes = grid(
            rows, columns, min(width, 2.6 * columns), 1.45, extra=0.35 + 0.25 * -(-len(names) // legend_columns)
        )
        for k, histogram in enumerate(histograms):
            ax = axes[k // columns][k % columns]
            ax.stairs(histogram.reference, histogram.edges, fill=True, color=GREY)
            for colour, density in zip(COLOURS * 9, histogram.candidates.values(), strict=False):
                ax.stairs(density, histogram.edges, color=colour, linewidth=1.2)
            ax.set_title(histogram.label)
            ax.set_yticks([])
            ax.set_ylabel("density")
            ax.set_ylim(bottom=0)
            ax.locator_params(axis="x", nbins=4)
            ax.spines["left"].set_visible(False)
        _finish_grid(axes, [len(histograms)], columns, f"{quantity} ({histograms[0].unit})")
        figure.legend(axes[0][0].patches, names, loc="outside upper center", ncols=legend_columns, handlelength=1.4)
    return figure


def level_figure(
    levels: Sequence[float],
    excess: Sequence[float | None],
    error: Sequence[float | None],
    used: float,
    width: float = 7.2,
) -> Figure:
    """Error of the soft force against noise level in nm, `used` marked; the best level, of excess 0, lies at its error."""
    known = [(x, e, s or 0.0) for x, e, s in zip(levels, excess, error, strict=True) if e is not None]
    x, e, s = np.array(known).T
    least = max(1e-6, float(s[s > 0].min(initial=1.0)))
    with matplotlib.rc_context(STYLE):
        figure, axes = grid(1, 1, min(width, 4.2), 2.1, extra=0.3)
        ax = axes[0][0]
        low = np.minimum(s, np.maximum(e - least / 2, 0))
        ax.errorbar(10 * x, np.maximum(e, least), yerr=(low, s), color=COLOURS[0], marker="o", markersize=3, capsize=2)
        ax.axvline(10 * used, color="black", linewidth=0.8, linestyle="--")
        ax.set_xscale("log")
        ax.set_yscale("log")
        round_ones = [m * 10.0**e for e in range(-4, 2) for m in (1, 2, 5)]
        ticks = [t for t in round_ones if 9 * x.min() <= t <= 11 * x.max()]
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("noise level (Å), dashed: used")
        ax.set_ylabel("excess squared error")
    return figure


def staying_figure(simulations: dict[str, Staying], candidates: Sequence[str], width: float = 7.2) -> Figure:
    """One metric over the windows of each simulation's time with its floor, and the share of replicas left.

    `candidates` are all that have a colour, in order.
    """
    longest = max(s.edges[-1] for s in simulations.values())
    unit, size = time_unit(longest)
    with matplotlib.rc_context(STYLE):
        columns = 2 if width > 5 else 1
        figure, axes = grid(2 // columns, columns, min(width, 3.2 * columns), 1.9, extra=0.35)
        left, right = [ax for row in axes for ax in row]
        for name, s in simulations.items():
            colour = COLOURS[list(candidates).index(name) % len(COLOURS)]
            middles = (s.edges[1:] + s.edges[:-1]) / 2 / size
            left.plot(middles, s.values, color=colour, marker="o", markersize=3, label=short(name))
            left.axhline(s.floor, color=colour, linewidth=0.8, linestyle="--")
            right.plot(s.times / size, s.alive, color=colour)
        left.set_ylabel(next(iter(simulations.values())).metric.replace("_", " "))
        right.set_ylabel("replicas intact")
        right.set_ylim(0, 1.05)
        top = [v for s in simulations.values() for v in (*s.values, s.floor) if np.isfinite(v)]
        left.set_ylim(0, 1.25 * max(top))
        for ax in (left, right):
            ax.set_xlim(0, longest / size)
            ax.set_xlabel(f"time ({unit})")
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=max(1, int(width / 1.6)))
    return figure


def short(name: str) -> str:
    """A candidate's name, cut to what a title can hold."""
    return name if len(name) <= 20 else name[:19] + "…"


def grid(rows: int, columns: int, width: float, panel_height: float, extra: float) -> tuple[Figure, list]:
    """A figure of rows x columns panels, `panel_height` and `extra` height in inches, and its axes row by row."""
    figure = Figure(figsize=(width, rows * panel_height + extra), layout="constrained")
    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(wspace=0.06, hspace=0.06)  # pyright: ignore[reportCallIssue]
    return figure, figure.subplots(rows, columns, squeeze=False).tolist()


def _finish_grid(axes: list[list[Axes]], blocks: list[int], columns: int, x: str, shared: bool = False) -> None:
    """Label the outer axes, hide panels left over at the end of each block; `shared` axes keep no inner tick labels."""
    lines = len(axes) // len(blocks)
    used = [[blocks[i // lines] - (i % lines) * columns > j for j in range(columns)] for i in range(len(axes))]
    for i, row in enumerate(axes):
        for j, ax in enumerate(row):
            lowest = not any(used[below][j] for below in range(i + 1, len(axes)))
            ax.set_visible(used[i][j])
            ax.set_xlabel(x if lowest else "")
            ax.set_ylabel(ax.get_ylabel() if j == 0 else "")
            ax.tick_params(labelbottom=lowest or not shared, labelleft=j == 0 or not shared)


def svg(figure: Figure) -> bytes:
    """A figure as SVG without date or network reference."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
