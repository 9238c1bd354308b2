"""Figures of a verification, drawn from the details of its checks only, at a given width in inches."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..plot import COLOURS, GREY, STYLE, grid

Details = dict[str, Any]
_TRUE, _FOUND = GREY, COLOURS[0]


def stability_figure(details: Details, width: float = 7.2) -> Figure:
    """Heat maps over time step (across) and level (down): lost replicas, configurational temperature, bond widths."""
    table = details["map"]
    panels = [
        ("lost", f"lost replicas of {table['replicas']}", "{:.0f}", (0, table["replicas"]), "Oranges"),
        ("temperature", "configurational T / T", "{:.2f}", (0.5, 1.5), "RdBu_r"),
        ("bond_width", "bond width / reference", "{:.2f}", (0.8, 1.2), "RdBu_r"),
    ]
    columns = 3 if width > 6 else 1
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(STYLE):
        figure, axes = grid(rows, columns, width, 2.0, extra=0.3)
        for k, (name, title, form, limits, colours) in enumerate(panels):
            ax = axes[k // columns][k % columns]
            _heat_map(ax, np.array(table[name], float), form, limits, colours)
            ax.set_title(title)
            ax.set_xticks(range(len(table["dt_fs"])), [f"{dt:g}" for dt in table["dt_fs"]])
            ax.set_yticks(range(len(table["levels_nm"])), [f"{level:.2g}" for level in table["levels_nm"]])
            ax.set_xlabel("time step (fs)" if k // columns == rows - 1 else "")
            ax.set_ylabel("level (nm)" if k % columns == 0 else "")
            own = table["dt_fs"].index(details["dt_fs"]), len(table["levels_nm"]) // 2
            ax.add_patch(Rectangle((own[0] - 0.5, own[1] - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=1.5))
    return figure


def _heat_map(ax: Axes, values: Float[np.ndarray, "l t"], form: str, limits: Sequence[float], colours: str) -> None:
    low, high = limits
    ax.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=low, vmax=high, aspect="auto", alpha=0.75)
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, form.format(value) if np.isfinite(value) else "–", ha="center", va="center", fontsize=7)
    ax.spines[["top", "right"]].set_visible(True)


def drift_figure(details: Details, width: float = 7.2) -> Figure:
    """Total energy per degree of freedom since the start, one thin line a replica, their mean thick."""
    with matplotlib.rc_context(STYLE):
        figure, axes = grid(1, 1, min(width, 5.2), 2.2, extra=0.1)
        ax, energy = axes[0][0], np.array(details["energy_kT"], float)
        ax.plot(details["time_ps"], energy.T, color=_TRUE, linewidth=0.6)
        ax.plot(details["time_ps"], energy.mean(axis=0), color=_FOUND)
        ax.set_xlabel("time (ps)")
        ax.set_ylabel("energy per degree\nof freedom (kT)")
    return figure


def temperatures_figure(details: Details, width: float = 7.2) -> Figure:
    """Configurational temperature of every bond and 1-3 distance with its standard error."""
    T, error = (np.array(details[name], float) for name in ("pair_temperature", "pair_error"))
    with matplotlib.rc_context(STYLE):
        figure, axes = grid(1, 1, min(width, 5.2), 1.9, extra=0.1)
        ax, k = axes[0][0], np.arange(len(T))
        ax.axhspan(0.98, 1.02, color=_TRUE, alpha=0.6, linewidth=0)
        ax.errorbar(k, T, error, fmt="o", color=_FOUND, markersize=3 if len(T) > 40 else 4, linewidth=1)
        if len(T) <= 20:
            ax.set_xticks(k, [f"{i + 1}–{j + 1}" for i, j in details["pairs"]], rotation=0 if len(T) < 9 else 60)
        ax.set_xlabel("pair of beads" if len(T) <= 20 else "bonds, then 1-3 pairs, in order of beads")
        ax.set_ylabel("T of the distance / T")
    return figure


def extrapolation_figure(details: Details, width: float = 7.2) -> Figure:
    """Distances to the nearest training frame: held-out frames a grey area, simulated ones a line."""
    with matplotlib.rc_context(STYLE):
        figure, axes = grid(1, 1, min(width, 5.2), 2.1, extra=0.4)
        ax, edges = axes[0][0], details["edges_nm"]
        held = ax.stairs(details["held_out"], edges, fill=True, color=_TRUE)
        found = ax.stairs(details["simulated"], edges, color=_FOUND, linewidth=1.2)
        limit = ax.axvline(details["limit_nm"], color=COLOURS[1], linestyle="--", linewidth=1)
        ax.set_xlabel("distance to the nearest training frame (nm)")
        ax.set_ylabel("density")
        ax.set_yticks([])
        names = ["held-out", "simulated", "99.9% of held-out"]
        figure.legend([held, found, limit], names, loc="outside upper center", ncols=3, handlelength=1.2)
    return figure


def fokker_planck_figure(details: Details, width: float = 7.2) -> Figure:
    """Relative residual of the heat equation against the noise level, with its threshold."""
    with matplotlib.rc_context(STYLE):
        figure, axes = grid(1, 1, min(width, 5.2), 2.1, extra=0.1)
        ax = axes[0][0]
        ax.semilogx(details["sigma_nm"], details["relative_residual"], "o-", color=_FOUND, markersize=4)
        ax.set_ylim(0, 1.1 * max(details["threshold"], *details["relative_residual"]))
        ax.axhline(details["threshold"], color=COLOURS[1], linestyle="--", linewidth=1)
        ax.axvline(details["level_nm"], color=_TRUE, linewidth=1)
        ax.set_xlabel("noise level σ (nm)")
        ax.set_ylabel("residual / Laplacian")
    return figure
