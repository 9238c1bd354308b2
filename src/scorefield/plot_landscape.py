"""Figures of free energies, contacts and distances; see `plot` for how figures are made."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .plot import COLOURS, GREY, STYLE, grid, short
from .report import PairMap, Plane, Profile

_DEEPEST = 8.0  # kT, the end of scales
_PANEL = 2.2  # inches, the width of a panel at most, and
_NARROW = 1.4  # at least
_INK = "#404040"


def profile_figure(profiles: Sequence[Profile], width: float = 7.2) -> Figure:
    """Free energies -ln p in kT along single coordinates, the reference with a standard error; zero at its minimum."""
    columns = min(len(profiles), max(1, int(width / 1.75)), 4)
    rows = -(-len(profiles) // columns)
    names = ["reference", *(short(name) for name in profiles[0].candidates)]
    with matplotlib.rc_context(STYLE):
        figure, axes = grid(rows, columns, min(width, 2.9 * columns), 1.75, extra=0.35)
        for k in range(rows * columns):
            ax = axes[k // columns][k % columns]
            ax.set_visible(k < len(profiles))
            if k < len(profiles):
                _draw_profile(ax, profiles[k])
                ax.set_ylabel("free energy (kT)" if k % columns == 0 else "")
        handles, _ = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=max(1, int(width / 1.6)), handlelength=1.4)
    return figure


def _draw_profile(ax: Axes, profile: Profile) -> None:
    middles = (profile.edges[1:] + profile.edges[:-1]) / 2
    zero = -np.log(profile.reference.max())
    energy = lambda p: np.where(p > 0, -np.log(np.where(p > 0, p, 1)) - zero, np.nan)
    floor = np.where(profile.low > 0, profile.low, 1e-12)
    ax.fill_between(middles, energy(profile.high), energy(floor), color=GREY, alpha=0.6, linewidth=0)
    ax.plot(middles, energy(profile.reference), color=_INK, linewidth=1.4, label="reference")
    for colour, (name, p) in zip(COLOURS * 9, profile.candidates.items(), strict=False):
        ax.plot(middles, energy(p), color=colour, linewidth=1.1, label=name)
    ax.set_ylim(-0.4, _DEEPEST)
    ax.set_xlabel(f"{profile.label} ({profile.unit})" if profile.unit else profile.label)
    ax.locator_params(axis="x", nbins=5)


def plane_figure(plane: Plane, width: float = 7.2) -> Figure:
    """Free energies -ln p in kT over two coordinates, one scale; white: no frame. Contours of the reference on all."""
    systems = ("reference", *plane.candidates)
    columns = min(len(systems), max(1, int((width - 0.9) / _NARROW)))
    rows = -(-len(systems) // columns)
    with matplotlib.rc_context(STYLE):
        panel = min((width - 0.9) / columns, _PANEL)
        figure, axes = grid(rows, columns, panel * columns + 0.9, panel + 0.2, extra=0.2)
        zero = -np.log(plane.reference.max())
        for k in range(rows * columns):
            ax = axes[k // columns][k % columns]
            ax.set_visible(k < len(systems))
            if k < len(systems):
                _draw_plane(ax, plane, systems[k], zero)
                ax.set_xlabel(plane.labels[0] if k + columns >= len(systems) else "")
                ax.set_ylabel(plane.labels[1] if k % columns == 0 else "")
        bar = figure.colorbar(ScalarMappable(Normalize(0, _DEEPEST), "viridis"), cax=_beside(axes[0][columns - 1]))
        bar.set_label("free energy −ln p (kT)")
    return figure


def _beside(ax: Axes) -> Axes:
    return ax.inset_axes((1.06, 0, 0.06, 1))


def _draw_plane(ax: Axes, plane: Plane, system: str, zero: float) -> None:
    p = plane.candidates.get(system, plane.reference)
    energy = np.where(p > 0, np.maximum(-np.log(np.where(p > 0, p, 1)) - zero, 0), np.nan)
    ends = (plane.edges[0][0], plane.edges[0][-1], plane.edges[1][0], plane.edges[1][-1])
    ax.imshow(energy.T, origin="lower", extent=ends, cmap="viridis", vmin=0, vmax=_DEEPEST, aspect="auto")
    ax.set_title(short(system))
    ax.locator_params(nbins=4)


def map_figure(maps: Sequence[PairMap], width: float = 7.2) -> Figure:
    """One panel a map and candidate: the reference above the diagonal, the candidate below it; a row a map at least."""
    names = list(maps[0].candidates)
    columns = min(len(names), max(1, int((width - 0.9) / _NARROW)))
    lines = -(-len(names) // columns)
    with matplotlib.rc_context(STYLE):
        panel = min((width - 0.9) / columns, 2.6)
        figure, axes = grid(lines * len(maps), columns, panel * columns + 0.9, panel + 0.2, extra=0.2)
        for i, each in enumerate(maps):
            for k in range(lines * columns):
                ax = axes[i * lines + k // columns][k % columns]
                ax.set_visible(k < len(names))
                if k < len(names):
                    _draw_map(ax, each, names[k])
                    ax.set_ylabel("bead" if k % columns == 0 else "")
            scale = ScalarMappable(Normalize(0, _most(each)), _colours(each))
            figure.colorbar(scale, cax=_beside(axes[i * lines][columns - 1])).set_label(each.label)
    return figure


def _most(each: PairMap) -> float:
    return float(np.nanmax(each.reference)) if each.most is None else each.most


def _colours(each: PairMap) -> str:
    return "viridis" if each.most is None else "Blues"


def _draw_map(ax: Axes, each: PairMap, name: str) -> None:
    n, first = len(each.residues), each.residues[0]
    both = np.where(np.triu(np.ones((n, n), bool)), each.reference, each.candidates[name])
    ends = (first - 0.5, first + n - 0.5, first - 0.5, first + n - 0.5)
    ax.imshow(both.T, origin="lower", extent=ends, cmap=_colours(each), vmin=0, vmax=_most(each))
    ax.plot(ends[:2], ends[2:], color=_INK, linewidth=0.6)
    ax.set_title(f"reference ◤ ◢ {short(name)}")
    ax.set_xlabel("bead")
