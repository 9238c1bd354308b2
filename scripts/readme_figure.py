"""The README's picture: free energies of reference, samples and simulation of a finished `scorefield run`.

python scripts/readme_figure.py RUN_FOLDER docs/ala2.png
"""

import sys
from pathlib import Path

from scorefield import marginals
from scorefield.dataset import load_dataset
from scorefield.evaluate import MAXIMUM_FRAMES
from scorefield.frames import load_frames
from scorefield.plot import ramachandran_figure


def main() -> None:
    """Draw it."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    names = ("samples", "simulation")
    candidates = {name: load_frames(folder / name).trajectory.thin(MAXIMUM_FRAMES) for name in names}
    truth = load_dataset(folder / "dataset").split("test")
    ramachandran_figure(marginals.surfaces(truth, candidates), 7.2).savefig(out, dpi=130)


if __name__ == "__main__":
    main()
