"""DATASET folders of small molecules from the copies that `dipeptides.py` simulated.

    python benchmarks/transfer_data.py COPIES -o FOLDER

Of every copy as many frames as its weights are worth are drawn by them, in time order. Copies are chains: one in eight is for
validation; of a molecule held out the last half for the test, of the others the last eighth.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import mdtraj
import numpy as np
from dipeptides import HELD_OUT, MOLECULES, TEMPERATURE
from jaxtyping import Float

from scorefield.dataset import Dataset, Split, write_dataset
from scorefield.errors import InputError
from scorefield.geometry import dihedrals
from scorefield.mapping import bead_map
from scorefield.molecule import Molecule
from scorefield.trajectory import Trajectory

MAP = "backbone_caps"
_NAMES = """
ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL
"""
_THREE = dict(zip("ARNDCQEGHILKMFPSTWYV", _NAMES.split(), strict=True))


def molecule_of(code: str) -> Molecule:
    """The capped peptide of one-letter codes, as the map `backbone_caps` has it."""
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    elements = {"C": mdtraj.element.carbon, "CA": mdtraj.element.carbon, "N": mdtraj.element.nitrogen}
    residues = [("ACE", ["C"]), *((_THREE[c], ["N", "CA", "C"]) for c in code), ("NME", ["N"])]
    for number, (name, atoms) in enumerate(residues):
        residue = topology.add_residue(name, chain, number + 1)
        for atom in atoms:
            topology.add_atom(atom, elements[atom], residue)
    return bead_map(MAP, topology, code).molecule


def drawn(
    x: Float[np.ndarray, "f n 3"], weight: Float[np.ndarray, " f"], rng: np.random.Generator
) -> Float[np.ndarray, "g n 3"]:
    """As many frames as the weights are worth, by systematic resampling, in time order."""
    number = max(1, int(weight.sum() ** 2 / (weight.astype(np.float64) ** 2).sum()))
    marks = (np.arange(number) + rng.random()) / number * weight.sum(dtype=np.float64)
    return x[np.searchsorted(np.cumsum(weight, dtype=np.float64), marks).clip(max=len(x) - 1)]


def dataset(folder: Path, code: str) -> Dataset:
    """All copies of a molecule. Raises InputError if there are fewer than four."""
    paths = sorted((folder / code).glob("*.npz"), key=lambda p: int(p.stem))
    if len(paths) < 4:
        raise InputError(f"{folder / code} holds {len(paths)} copies; at least 4 are needed")
    loaded = []
    for path in paths:
        with np.load(path, allow_pickle=False) as arrays:
            loaded.append((arrays["x"], arrays["weight"]))
    heaviest = max(float(w.mean()) for _, w in loaded)
    rng, chains = np.random.default_rng(MOLECULES.index(code)), []
    for x, weight in loaded:  # a copy's share of the frames is that of its weight
        chosen = drawn(x, weight, rng)
        chains.append(chosen[np.sort(rng.permutation(len(chosen))[: round(len(chosen) * weight.mean() / heaviest)])])
    trajectory = Trajectory(molecule_of(code), np.concatenate(chains), tuple(map(len, chains)), TEMPERATURE)
    sources = tuple(f"copy {p.stem}" for p in paths)
    return Dataset(trajectory, splits(len(paths), code in HELD_OUT), sources, MAP, {"text": (
        "ff14SB, OBC2, 300 K, 4 fs, hydrogens of 3 Da; phi biased by half of alanine's free energy, frames drawn by "
        "their weights (benchmarks/dipeptides.py)."
    )})  # fmt: skip


def splits(number: int, held_out: bool) -> tuple[Split, ...]:
    """Of so many chains in order."""
    test = number // 2 if held_out else max(1, number // 8)
    validation = max(1, number // 8)
    kinds: Sequence[tuple[Split, int]] = (
        ("train", number - test - validation),
        ("validation", validation),
        ("test", test),
    )
    return tuple(name for name, count in kinds for _ in range(count))


def main() -> None:
    """All molecules that have copies enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("copies", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    asked = parser.parse_args()
    for code in MOLECULES:
        made = dataset(asked.copies, code)
        write_dataset(made, asked.out / code)
        phi, psi = _angles(made)
        print(code, made.trajectory.n_frames, f"phi > 0: {np.mean(phi > 0):.4f}, psi > 0: {np.mean(psi > 0):.4f}")


def _angles(made: Dataset) -> np.ndarray:

    quads = made.molecule.ramachandran[0][1]
    return np.asarray(jax.jit(jax.vmap(lambda x: dihedrals(x, quads)))(made.trajectory.positions)).T


if __name__ == "__main__":
    main()
