"""Back to atoms: all heavy atoms of a protein from the C-alpha beads of frames, by PULCHRA (extra `atoms`).

PULCHRA (Rotkiewicz, Skolnick, J. Comput. Chem. 29, 1460 (2008)) places backbones and side chains by statistics of known
structures; the C-alpha atoms stay where they are. The folder that comes of it:

topology.pdb  atoms.xtc   the frames, without hydrogens unless relaxed (`relax`)
atoms.json                where they come from, and what is wrong with them (`stereo`)
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from jaxtyping import Float, Int

from .errors import InputError
from .extras import extra
from .molecule import Molecule
from .proteins import one_letter
from .stereo import Faults, find_faults
from .storage import describe, new_folder, write_json
from .structure import write_xtc
from .trajectory import Trajectory

_LEAST_RESIDUES = 4  # PULCHRA looks at that many C-alpha atoms in a row
_GHOST = "GG"  # residues added at each end while atoms are placed
_CA_BOND, _CA_ANGLE = 0.38, np.radians(120)  # nm; of extended chains
_CARBOXYLATE = 1.25  # Angstrom, C to OXT
_FIRST = ("N", "CA", "C", "O")  # of a residue, in the order of the PDB


@dataclass(frozen=True, eq=False)
class Backmapped:
    """Heavy atoms: their mdtraj `topology`, `positions` (n_frames, n_atoms, 3) in nm, and what is wrong with them.

    `left_out`: how many frames are not among them, being so unlike a protein that PULCHRA found no place for some atom.
    """

    topology: mdtraj.Topology
    positions: Float[np.ndarray, "f a 3"]
    faults: Faults
    left_out: int = 0


def backmap(trajectory: Trajectory, on_frame: Callable[[int], None] | None = None) -> Backmapped:
    """All heavy atoms of every frame of a protein that has a C-alpha bead in each residue, in one unbroken chain.

    Beads other than CA count for nothing. Raises InputError if there is no such chain, a residue is none of the 20 amino
    acids, every frame is too far from any protein to have all its atoms placed, or PULCHRA is not installed.
    """
    molecule = trajectory.molecule
    alpha = alpha_carbons(molecule)
    sequence = _GHOST + one_letter([molecule.residue_names[i] for i in alpha]) + _GHOST
    rebuild = extra("pulchra", "atoms").Pulchra(ca_optimize=False).reconstruct_coords

    def placed(x: Float[np.ndarray, "r 3"]) -> tuple[list[list[str]], Float[np.ndarray, "a 3"]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rotations that three atoms in a row leave open
            return _atoms(rebuild(10 * lengthened(x), sequence).residues[len(_GHOST) : -len(_GHOST)])

    names, _ = placed(_extended(len(alpha)))
    frames = []
    for k, x in enumerate(trajectory.positions):
        found, positions = placed(np.asarray(x, float)[alpha])
        if found == names:
            frames.append(positions)
        if on_frame is not None:
            on_frame(k + 1)
    if not frames:
        raise InputError(
            f"none of {trajectory.n_frames} frames is like a protein: PULCHRA finds no place for some of their atoms; "
            "train the model longer"
        )
    topology, positions = _topology(molecule, alpha, names), np.array(frames, np.float32)
    return Backmapped(topology, positions, find_faults(topology, positions), trajectory.n_frames - len(frames))


def alpha_carbons(molecule: Molecule) -> Int[np.ndarray, " r"]:
    """Indices of the C-alpha beads in their order. Raises InputError unless they are an unbroken chain of amino acids."""
    alpha = [i for i, name in enumerate(molecule.bead_names) if name == "CA"]
    residues = [(molecule.residue_names[i], molecule.residue_ids[i]) for i in alpha]
    if len(alpha) < _LEAST_RESIDUES or len(set(residues)) < len(alpha):
        raise InputError(
            f"{molecule.name} has {len(alpha)} beads named CA; atoms are put to chains of at least {_LEAST_RESIDUES} "
            "residues, each with one (maps ca and backbone)"
        )
    unknown = [f"{name}{number}" for name, number in residues if one_letter([name]) == "X"]
    if unknown:
        raise InputError(f"{unknown[0]} is none of the 20 amino acids, and atoms are put to these only")
    numbers = [number for _, number in residues]
    gap = next((k for k in range(1, len(numbers)) if numbers[k] != numbers[k - 1] + 1), None)
    if gap is not None:
        raise InputError(
            f"no residue between {residues[gap - 1][0]}{numbers[gap - 1]} and {residues[gap][0]}{numbers[gap]}: atoms are "
            "put to single, unbroken chains only"
        )
    return np.array(alpha)


def lengthened(x: Float[np.ndarray, "r 3"]) -> Float[np.ndarray, "r+4 3"]:
    """A C-alpha trace (nm) with two residues more at each end, which go on as an extended chain.

    The frames that side chains are placed in are made of neighbours: without these the ends have none.
    """
    for _ in _GHOST:
        x = np.concatenate([_next(x[2::-1])[None], x, _next(x[-3:])[None]])
    return x


def _extended(residues: int) -> Float[np.ndarray, "r 3"]:
    """An ideal extended C-alpha trace (nm): every atom of every residue has a place on it."""
    half = 0.5 * _CA_ANGLE
    x = np.array([[k * np.sin(half), (k % 2) * np.cos(half), 0.0] for k in range(residues)])
    return _CA_BOND * x


def _next(x: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 3"]:
    """Where an extended chain goes on after three C-alpha atoms: in their plane, zigzag, at the usual bond and angle."""
    along = (x[2] - x[1]) / np.linalg.norm(x[2] - x[1])
    normal = np.cross(x[1] - x[0], along)
    side = np.cross(along, normal / max(float(np.linalg.norm(normal)), 1e-9))
    return x[2] + _CA_BOND * (-np.cos(_CA_ANGLE) * along - np.sin(_CA_ANGLE) * side)


def _atoms(residues: Sequence[Any]) -> tuple[list[list[str]], Float[np.ndarray, "a 3"]]:
    """Names of the atoms of every residue in the PDB's order, and their positions in nm."""
    names, positions = [], []
    for residue in residues:
        at = {atom.name.strip(): atom.coords for atom in residue.atoms}
        if residue is residues[-1]:
            at["OXT"] = _second_oxygen(at["CA"], at["C"], at["O"])
        order = [name for name in _FIRST if name in at] + [name for name in at if name not in _FIRST]
        names.append(order)
        positions += [at[name] for name in order]
    return names, 0.1 * np.array(positions)


def _second_oxygen(ca: np.ndarray, c: np.ndarray, o: np.ndarray) -> Float[np.ndarray, " 3"]:
    """The other oxygen of a chain's end, in Angstrom: in the plane of CA, C and O."""
    away = (c - ca) / np.linalg.norm(c - ca) + (c - o) / np.linalg.norm(c - o)
    return c + _CARBOXYLATE * away / np.linalg.norm(away)


def _topology(molecule: Molecule, alpha: Int[np.ndarray, " r"], names: list[list[str]]) -> mdtraj.Topology:
    top = mdtraj.Topology()
    chain = top.add_chain()
    for i, atoms in zip(alpha, names, strict=True):
        residue = top.add_residue(molecule.residue_names[i], chain, molecule.residue_ids[i])
        for name in atoms:
            top.add_atom(name, mdtraj.element.get_by_symbol(name[0]), residue)
    top.create_standard_bonds()
    return top


def write_atoms(found: Backmapped, trajectory: Trajectory, source: Path, path: Path, **further: Any) -> dict[str, Any]:
    """Write the folder `path`, of frames from `source`; what atoms.json says, `further` included.

    Raises InputError if `path` exists.
    """
    interval = None if found.left_out else trajectory.interval
    content = describe(
        "atoms",
        molecule=trajectory.molecule.to_json(),
        source=str(source),
        tool={"name": "PULCHRA", "version": version("pulchra")},
        temperature_K=trajectory.temperature,
        interval_ps=interval,
        frames=len(found.positions),
        left_out=found.left_out,
        atoms=found.topology.n_atoms,
        faults=found.faults.to_json(),
        **further,
    )
    with new_folder(path) as draft:
        mdtraj.Trajectory(found.positions[:1], found.topology).save_pdb(str(draft / "topology.pdb"))
        write_xtc(draft / "atoms.xtc", found.positions, interval)
        write_json(draft / "atoms.json", content)
    return content
