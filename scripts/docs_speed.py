"""The figure of what a step, a training frame and a sample cost, from benchmarks/results/speed.json."""

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
