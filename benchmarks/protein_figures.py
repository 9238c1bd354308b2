"""The figures of proteins in docs/results.md, from benchmarks/results/figures/*.json and benchmarks/results/proteins.json.

    python benchmarks/protein_figures.py docs/figures

NAME-energies.png: free energies along RMSD to native, radius of gyration and slow coordinates; NAME-plane.png: over the two
slowest; NAME-contacts.png: contact probabilities; NAME-timescales.png: implied timescales; bba-frames.png: what few real
frames score.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from protein_curves import FOLDER, read_curves
from record import RESULTS

from scorefield.plot_kinetics import timescale_figure
from scorefield.plot_landscape import map_figure, plane_figure, profile_figure


def figures(found: dict[str, Any]) -> dict[str, Figure]:
    """Every figure that the curves of a report allow."""
    drawn = {}
    if found["profiles"]:
        drawn["energies"] = profile_figure(found["profiles"])
    if found["plane"] is not None:
        drawn["plane"] = plane_figure(found["plane"])
    if found["maps"]:
        drawn["contacts"] = map_figure(found["maps"][:1])
    if found["kinetics"] is not None:
        drawn["timescales"] = timescale_figure(found["kinetics"], list(found["about"]))
    return drawn


def few_frames() -> Figure:
    """Jensen-Shannon divergence of so many real frames of BBA, drawn at random, from the published histograms."""
    cells = json.loads((RESULTS / "proteins.json").read_text(encoding="utf-8"))["cells"]
    drawn = [cell for key, cell in cells.items() if key.startswith("bba/frames/")]
    numbers = sorted(int(n) for n in drawn[0] if n.isdigit())
    mean = [np.mean([cell[str(n)]["distance_js"]["testset"] for cell in drawn]) for n in numbers]
    figure, ax = plt.subplots(figsize=(4.2, 2.8), layout="constrained")
    ax.plot(numbers, mean, "o-", ms=4, color="0.4", label="real frames, drawn at random")
    for part, colour in (("samples", "#0072B2"), ("simulation", "#D55E00")):
        values = [
            cell[part]["published"]["distance_js"]["testset"]
            for key, cell in cells.items()
            if key.startswith("bba/refined/")
        ]
        ax.axhline(float(np.mean(values)), color=colour, lw=1, label=part)
    ax.set(xscale="log", yscale="log", xlabel="frames", ylabel="distance_js to published")
    ax.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    """Draw and write all."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(FOLDER.glob("*-refined-*.json")):
        name = path.stem.rsplit("-", 1)[0].removesuffix("-refined")
        for kind, figure in figures(read_curves(path)).items():
            figure.savefig(out / f"{name}-{kind}.png", dpi=150)
    few_frames().savefig(out / "bba-frames.png", dpi=150)


if __name__ == "__main__":
    main()
