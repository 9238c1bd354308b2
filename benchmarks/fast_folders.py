"""How far a dataset, or generated frames, are from the published statistics of a fast folder (arXiv 2302.00600).

python benchmarks/fast_folders.py DATASET-OR-FRAMES dff_reference.npz bba

The npz holds the published pair distance histograms and free energies along RMSD as plain arrays: NAME/testset/counts and
n_bins, NAME/valset/..., NAME/rmsd/bin_mids_A and energies_kT. They were made from all frames, 200 ps apart.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from scorefield.allatom import load_structure
from scorefield.dataset import load_dataset
from scorefield.frames import load_frames
from scorefield.metrics.shape import distance_js_to
from scorefield.observables import rmsd
from scorefield.proteins import protein
from scorefield.trajectory import Trajectory


def compare(trajectory: Trajectory, npz: Path, name: str) -> dict[str, Any]:
    """JS of pair distances to both published splits, populations of RMSD < 2 and < 4 Angstrom beside the published."""
    _, native = load_structure(protein(name).native)
    with np.load(npz, allow_pickle=False) as data:
        published = {
            split: np.split(data[f"{name}/{split}/counts"], np.cumsum(data[f"{name}/{split}/n_bins"])[:-1])
            for split in ("testset", "valset")
        }
        middles, energies = data[f"{name}/rmsd/bin_mids_A"], data[f"{name}/rmsd/energies_kT"]
    p = np.exp(-energies) / np.exp(-energies).sum()
    deviation = 10 * rmsd(trajectory, native)
    return {
        "frames": trajectory.n_frames,
        "distance_js": {split: distance_js_to(trajectory, h) for split, h in published.items()},
        "population": {f"below {c} A": float(np.mean(deviation < c)) for c in (2, 4)},
        "published_population": {f"below {c} A": float(p[middles < c].sum()) for c in (2, 4)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("npz", type=Path)
    parser.add_argument("name")
    arguments = parser.parse_args()
    is_dataset = (arguments.folder / "dataset.json").exists()
    load = (lambda path: load_dataset(path)) if is_dataset else load_frames
    print(json.dumps(compare(load(arguments.folder).trajectory, arguments.npz, arguments.name), indent=1))


if __name__ == "__main__":
    main()
