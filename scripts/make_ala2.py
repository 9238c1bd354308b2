"""Make the built-in dataset `ala2` (src/scorefield/data/ala2.npz and ala2.json) from the full equilibrium set.

    python scripts/make_ala2.py PATH/ala2_equilibrium.npz

60,000 frames of replicas 0-31 (28-31 for validation) and 30,000 of the held-out replicas 32-63,
evenly thinned within each replica, superposed on one structure (rotations carry no information and would cost space).
"""

import argparse
import json
from pathlib import Path

import numpy as np

from scorefield.dataset import Split
from scorefield.equilibrium import equilibrium_report
from scorefield.geometry import superpose
from scorefield.molecule import Molecule
from scorefield.observables import phi_psi
from scorefield.storage import sha256
from scorefield.trajectory import Trajectory

MOLECULE = Molecule(
    name="ala2",
    bead_names=("C", "N", "CA", "C", "N"),
    residue_names=("ACE", "ALA", "ALA", "ALA", "NME"),
    residue_ids=(1, 2, 2, 2, 3),
    masses=(12.011, 14.007, 12.011, 12.011, 14.007),
    bonds=((0, 1), (1, 2), (2, 3), (3, 4)),
)
RESOLUTION = 1e-4  # nm
FRAMES = {"training": (range(32), 60_000), "held out": (range(32, 64), 30_000)}
PROVENANCE = (
    "Alanine dipeptide (ACE-ALA-NME), all-atom Langevin dynamics made for this project: ff14SB with GBSA-OBC2 "
    "implicit solvent, 300 K, flexible bonds, hydrogens of 3 Da, BAOAB 1.5 fs, friction 1/ps; energies equal "
    "OpenMM's to 1e-5. 64 independent replicas with a known bias on phi that speeds up its crossings about 70 "
    "times, then thinned by rejection with probability proportional to exp(bias/kT): every frame is an unbiased "
    "equilibrium draw, in time order within a replica (0.5 ps or more apart), kinetics lost. Beads are the atoms "
    "C N CA C N. Here thinned evenly within each replica, superposed on the first frame, and rounded to 1e-4 nm."
)

_NOTE = (
    "50,000 frames, other all-atom data in implicit solvent, against the training frames: not comparable digit by digit"
)
PUBLISHED = [
    {"metric": metric, "label": label, "value": value, "kind": kind, "note": _NOTE}
    for metric, label, kind, value in (
        ("dihedral_js", "Two for One", "samples", 0.0081),
        ("dihedral_js", "Two for One", "simulation", 0.0158),
        ("dihedral_js", "Plainer et al. 2025, their best", "samples", 0.0079),
        ("dihedral_js", "Plainer et al. 2025, their best", "simulation", 0.0086),
        ("pmf_error", "Two for One", "samples", 0.098),
        ("pmf_error", "Two for One", "simulation", 0.206),
        ("pmf_error", "Plainer et al. 2025, their best", "samples", 0.089),
        ("pmf_error", "Plainer et al. 2025, their best", "simulation", 0.099),
    )
]
"""As reported in arXiv 2506.17139, read second-hand."""


def split_of(replica: int) -> Split:
    """Replicas 0-27 train, 28-31 validate, 32-63 are held out."""
    return "train" if replica < 28 else "validation" if replica < 32 else "test"


def shares(counts: np.ndarray, total: int) -> np.ndarray:
    """`total` frames divided over replicas in proportion to `counts`, by largest remainder."""
    exact = counts * (total / counts.sum())
    floor = np.floor(exact).astype(int)
    floor[np.argsort(floor - exact)[: total - floor.sum()]] += 1
    return floor


def chosen_frames(replica: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Indices of the frames kept, and (replica, number of frames) of each chain."""
    frames, chains = [], []
    for replicas, total in FRAMES.values():
        members = [np.flatnonzero(replica == r) for r in replicas]
        for r, found, n in zip(replicas, members, shares(np.array([len(m) for m in members]), total), strict=True):
            frames.append(found[np.linspace(0, len(found) - 1, n).round().astype(int)])
            chains.append((r, int(n)))
    return np.concatenate(frames), chains


def populations(trajectory: Trajectory, replicas: np.ndarray) -> str:
    """How often phi > 0, the rare state, with its standard error from the spread between replicas."""
    positive = phi_psi(trajectory)[:, 0, 0] > 0
    counts = np.array(trajectory.chain_lengths)
    means = np.array([part.mean() for part in np.split(positive, np.cumsum(counts)[:-1])])
    found = []
    for label, chosen in (("0-31", replicas < 32), ("32-63", replicas >= 32)):
        n, p = counts[chosen], means[chosen]
        mean = np.average(p, weights=n)
        found.append(f"{mean:.4f} +- {np.sqrt(np.sum((n * (p - mean)) ** 2)) / n.sum():.4f} in replicas {label}")
    return f" phi > 0 in these frames: {', '.join(found)} (standard errors from the spread between replicas)."


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("npz", type=Path, help="ala2_equilibrium.npz")
    parser.add_argument(
        "-o", type=Path, default=Path(__file__).parents[1] / "src/scorefield/data", help="folder to write to"
    )
    arguments = parser.parse_args()
    with np.load(arguments.npz, allow_pickle=False) as source:
        x, replica, temperature = source["positions_nm"], source["replica"], float(source["temperature_K"])
    frames, chains = chosen_frames(replica)
    aligned = superpose(x[frames].astype(float), x[0].astype(float))
    rounded = np.rint(aligned / RESOLUTION).astype(np.int16)
    np.savez_compressed(arguments.o / "ala2.npz", positions=rounded)
    trajectory = Trajectory(
        MOLECULE, (rounded * RESOLUTION).astype(np.float32), tuple(n for _, n in chains), temperature
    )
    text = PROVENANCE + populations(trajectory, np.array([r for r, _ in chains]))
    description = {
        "description": "alanine dipeptide in implicit water, 5 beads (C N CA C N), 300 K, 90,000 frames of 64 replicas",
        "molecule": MOLECULE.to_json(),
        "temperature_K": temperature,
        "interval_ps": None,
        "resolution_nm": RESOLUTION,
        "map": "backbone5",
        "chains": [{"length": n, "split": split_of(r), "source": f"replica {r}"} for r, n in chains],
        "provenance": {"text": text, "source": {"file": arguments.npz.name, "sha256": sha256(arguments.npz)}},
        "equilibrium": equilibrium_report(trajectory),
        "published": PUBLISHED,
    }
    (arguments.o / "ala2.json").write_text(json.dumps(description, indent=1) + "\n")
    print(f"{rounded.shape[0]} frames, {(arguments.o / 'ala2.npz').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
