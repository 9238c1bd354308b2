"""Figures of what a step costs, from benchmarks/results/speed.json and pareto.json."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from docs_results import read
from matplotlib.figure import Figure

SIDES = {
    "dff": ("published network", "tab:red", "o"),
    "scoremd": ("ScoreMD", "tab:green", "s"),
    "paper": ("ours of the published function", "tab:purple", "^"),
    "default": ("scorefield, default", "tab:blue", "D"),
}
WORK = {"langevin": "Langevin replica-steps/s", "training": "training frames/s", "samples": "samples/s"}


def speed() -> Figure:
    """Rates of every side against the length of the chain."""
    cells: dict[str, dict[str, Any]] = read("speed")["cells"]
    found = sorted(cells.values(), key=lambda cell: cell["beads"])
    figure, axes = plt.subplots(1, 3, figsize=(9.0, 3.3), layout="constrained")
    for ax, (what, title) in zip(axes, WORK.items(), strict=True):
        for side, (label, colour, marker) in SIDES.items():
            points = [(cell["beads"], cell[what][side]["per_s"]) for cell in found if side in cell[what]]
            if points:
                ax.plot(*np.transpose(points), marker=marker, ms=4, color=colour, label=label)
        beads = [cell["beads"] for cell in found]
        ax.set(xscale="log", yscale="log", title=title, xlabel="beads")
        ax.set_xticks(beads, [str(n) for n in beads], fontsize=7, rotation=45)
        ax.minorticks_off()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def pareto() -> Figure:
    """Validation loss at a middle level against the cost of a force, a panel a system, after the same training time."""
    cells = read("pareto")["cells"]
    systems = list(dict.fromkeys(name.split("/")[0] for name in cells))
    figure, axes = plt.subplots(1, len(systems), figsize=(3.4 * len(systems), 3.4), layout="constrained", squeeze=False)
    for ax, system in zip(axes[0], systems, strict=True):
        here = {k.split("/")[1]: v for k, v in cells.items() if k.startswith(f"{system}/")}
        for k, (name, cell) in enumerate(here.items()):
            point = (cell["ms_per_100"], cell["losses"]["0.03"])
            ax.plot(*point, "o", ms=5, color=f"C{k}", label=name.replace("_", " "))
        ax.set(xscale="log", title=system, xlabel="ms of one core for 100 forces")
    axes[0][0].set_ylabel("denoising loss at 0.03 nm")
    handles = {label: handle for ax in axes[0] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure
