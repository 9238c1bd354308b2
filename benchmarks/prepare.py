"""`scorefield prepare` on real all-atom data: time, and whether the beads that come out are right.

    python benchmarks/prepare.py DATA_FOLDER      (holds ala2/ and pentapeptide/; see docs)

Writes benchmarks/results/prepare.json.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from record import bar, record

from scorefield.dataset import Dataset
from scorefield.observables import bond_lengths, phi_psi
from scorefield.prepare import prepare

COMMAND = "python benchmarks/prepare.py DATA_FOLDER"
CASES: dict[str, dict[str, Any]] = {
    "ala2 backbone5": {
        "files": "ala2/chain_*.dcd",
        "top": "ala2/ala2.pdb",
        "map": "backbone5",
        "interval": 1.0005,
    },
    "pentapeptide ca": {
        "files": "pentapeptide/*.xtc",
        "top": "pentapeptide/pentapeptide-impl-solv.pdb",
        "map": "ca",
        "interval": None,
    },
    "pentapeptide backbone": {
        "files": "pentapeptide/*.xtc",
        "top": "pentapeptide/pentapeptide-impl-solv.pdb",
        "map": "backbone",
        "interval": None,
    },
}


def run(data: Path, case: dict[str, Any], out: Path) -> tuple[Dataset, float]:
    """Prepare one case; the dataset and the seconds it took."""
    start = time.perf_counter()
    files = sorted(data.glob(case["files"]))
    dataset = prepare(files, data / case["top"], case["map"], 300.0, out, interval=case["interval"])
    return dataset, time.perf_counter() - start


def findings(dataset: Dataset, seconds: float) -> dict[str, Any]:
    """What came out, in numbers."""
    trajectory = dataset.trajectory
    lengths = bond_lengths(trajectory)
    report = dataset.equilibrium or {}
    found = {
        "seconds": round(seconds, 2),
        "frames_per_second": round(trajectory.n_frames / seconds),
        "n_chains": trajectory.n_chains,
        "n_frames": trajectory.n_frames,
        "interval_ps": trajectory.interval,
        "chains_by_split": {s: dataset.splits.count(s) for s in ("train", "validation", "test")},
        "bond_mean_nm": [round(float(v), 5) for v in lengths.mean(axis=0)],
        "bond_width_nm": [round(float(v), 5) for v in lengths.std(axis=0)],
        "verdict": report["verdict"],
        "warnings": report["warnings"] + dataset.provenance["warnings"],
        "coordinates": report["coordinates"],
    }
    if dataset.molecule.ramachandran:
        phi = phi_psi(trajectory)[:, :, 0]
        labels = [label for label, _ in dataset.molecule.ramachandran]
        found["phi_positive"] = {k: round(float(v), 5) for k, v in zip(labels, (phi > 0).mean(axis=0), strict=True)}
    return found


def largest_deviation(data: Path, case: dict[str, Any], dataset: Dataset, atoms: str) -> float:
    """Largest difference in nm between the first chain's bond vectors and the same atoms' as mdtraj reads them."""
    path = sorted(data.glob(case["files"]))[0]
    whole = mdtraj.load(path, top=data / case["top"])
    if whole.unitcell_vectors is not None:
        whole = whole.make_molecules_whole()
    x = whole.xyz[:, whole.topology.select(atoms)]
    mine = dataset.trajectory.positions[: len(x)]
    return float(np.abs(np.diff(x, axis=1) - np.diff(mine, axis=1)).max())


def judge(name: str, value: Any, demanded: str, ok: Callable[[Any], bool]) -> dict[str, Any]:
    """A row of the bars."""
    return bar(name, value, demanded, bool(ok(value)), COMMAND)


def main() -> None:
    """Run all cases and record them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds ala2/ and pentapeptide/")
    data = parser.parse_args().data
    # the caps' methyl carbons are called C as well in some files, hence the indices of the first data set
    atoms = {
        "ala2 backbone5": "index 4 6 8 14 16",
        "pentapeptide ca": "name CA",
        "pentapeptide backbone": "name N or name CA or name C",
    }
    results, bars = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            dataset, seconds = run(data, case, Path(folder) / name.replace(" ", "-"))
            results[name] = found = findings(dataset, seconds)
            deviation = largest_deviation(data, case, dataset, atoms[name])
            bars += [
                judge(
                    f"{name}: largest difference of bead-bead vectors from mdtraj's, nm",
                    deviation,
                    "<= 1e-6",
                    lambda v: v <= 1e-6,
                ),
                judge(
                    f"{name}: chains",
                    found["n_chains"],
                    "all files",
                    lambda v, c=case: v == len(list(data.glob(c["files"]))),
                ),
            ]
            print(f"{name}: {found['n_frames']} frames in {seconds:.1f} s; {found['verdict']}")
    print(record("prepare", bars, cases=results))


if __name__ == "__main__":
    main()
