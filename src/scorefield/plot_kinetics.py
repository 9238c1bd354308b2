"""Figures of Markov models: implied timescales, Chapman-Kolmogorov tests, transition matrices; see `plot`."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .plot import COLOURS, STYLE, grid, short
from .report import OTHERS, Course, Kinetics
from .words import time_unit

_INK = "#404040"


def timescale_figure(kinetics: Kinetics, names: Sequence[str] = (), width: float = 7.2) -> Figure:
    """Implied timescales against the lag, one panel a process; candidates' times multiplied by their factor."""
    courses, n = _courses(kinetics, names), kinetics.reference.used.size
    columns = min(n, max(1, int(width / 1.75)))
    with matplotlib.rc_context(STYLE):
        figure, axes = grid(-(-n // columns), columns, min(width, 2.9 * columns), 1.75, extra=0.35)
        unit, divisor = time_unit(kinetics.reference.used.max())
        for k in range(n):
            ax = axes[k // columns][k % columns]
            for colour, name, course in courses:
                ax.plot(course.lags / divisor, course.timescales[:, k] / divisor, color=colour, label=name, marker=".")
            top = np.array(ax.get_xlim())
            ax.fill_between(top, 0 * top, top, color="#eeeeee", linewidth=0, zorder=0)  # faster than the lag
            ax.axvline(kinetics.lag / divisor, color="black", linewidth=0.7, linestyle="--")
            ax.set_xlim(0, top[1])
            ax.set_ylim(bottom=0)
            ax.set_title(f"process {k + 1}")
            ax.set_xlabel(f"lag ({unit})")
            ax.set_ylabel(f"timescale ({unit})" if k % columns == 0 else "")
        for ax in [a for row in axes for a in row][n:]:
            ax.set_visible(False)
        _legend(figure, axes[0][0], width)
    return figure


def chapman_kolmogorov_figure(kinetics: Kinetics, names: Sequence[str] = (), width: float = 7.2) -> Figure:
    """The chance to be in each metastable set again after multiples of the lag: predicted (lines), estimated (points)."""
    courses, n = _courses(kinetics, names), len(kinetics.reference.populations)
    columns = min(n, max(1, int(width / 1.75)))
    with matplotlib.rc_context(STYLE):
        figure, axes = grid(-(-n // columns), columns, min(width, 2.6 * columns), 1.6, extra=0.35)
        for k in range(n):
            ax = axes[k // columns][k % columns]
            for colour, name, course in courses:
                steps = np.arange(len(course.predicted) + 1)
                ax.plot(steps, [1, *course.predicted[:, k]], color=colour, label=name)
                ax.plot(steps[1:], course.estimated[:, k], "o", color=colour, markersize=3)
            ax.set_ylim(0, 1.05)
            ax.set_title(f"set {k + 1}")
            ax.set_xlabel("time (lags)")
            ax.set_ylabel("chance to be in it" if k % columns == 0 else "")
        for ax in [a for row in axes for a in row][n:]:
            ax.set_visible(False)
        _legend(figure, axes[0][0], width)
    return figure


def transition_figure(kinetics: Kinetics, names: Sequence[str] = (), width: float = 7.2) -> Figure:
    """Transition probabilities between the metastable sets at one lag, as numbers on a colour scale."""
    courses, n = _courses(kinetics, names), len(kinetics.reference.populations)
    columns = min(len(courses), max(1, int(width / 1.75)))
    rows = -(-len(courses) // columns)
    with matplotlib.rc_context(STYLE):
        panel = min(width / columns, 2.6)
        figure, axes = grid(rows, columns, panel * columns, panel, extra=0.1)
        for k in range(rows * columns):
            ax = axes[k // columns][k % columns]
            ax.set_visible(k < len(courses))
            if k < len(courses):
                _draw_matrix(ax, courses[k][2].transitions, n)
                ax.set_title(courses[k][1])
                ax.set_ylabel("from set" if k % columns == 0 else "")
                ax.set_xlabel("to set")
    return figure


def _draw_matrix(ax: Axes, matrix: np.ndarray, n: int) -> None:
    ax.imshow(np.sqrt(matrix.clip(0)), cmap="Blues", vmin=0, vmax=1)  # the root: small chances are what matters
    for i in range(n):
        for j in range(n):
            colour = "white" if matrix[i, j] > 0.45 else "black"
            text = f"{matrix[i, j]:.3f}" if matrix[i, j] >= 5e-4 else "<.0005" if matrix[i, j] > 1e-9 else "0"
            ax.text(j, i, text.replace("0.", ".", 1), ha="center", va="center", color=colour, fontsize=7)
    ax.set_xticks(range(n), [str(k + 1) for k in range(n)])
    ax.set_yticks(range(n), [str(k + 1) for k in range(n)])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _courses(kinetics: Kinetics, names: Sequence[str]) -> list[tuple[str, str, Course]]:
    """Colour, name and course of the reference, other chains and all candidates; `names` are all that have a colour."""
    order = list(names or kinetics.candidates)
    colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(order)}
    found = [(_INK, "reference", kinetics.reference)]
    found += [] if kinetics.floor is None else [("#9a9a9a", OTHERS, kinetics.floor)]
    return found + [(colours[name], short(name), course) for name, course in kinetics.candidates.items()]


def _legend(figure: Figure, ax: Axes, width: float) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=max(1, int(width / 1.6)), handlelength=1.4)
