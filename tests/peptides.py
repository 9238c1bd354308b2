"""Small all-atom peptides for tests: zigzag backbones with bonds of about 0.15 nm, and a little noise."""

from pathlib import Path

import mdtraj
import numpy as np

_ATOMS = {"ACE": ("CH3", "C", "O"), "ALA": ("N", "CA", "C", "O", "CB"), "NME": ("N", "C")}
_BACKBONE = {"ACE": ("CH3", "C"), "ALA": ("N", "CA", "C"), "NME": ("N", "C")}


def peptide_topology(n_alanines: int, n_chains: int = 1) -> mdtraj.Topology:
    """ACE-ALA_n-NME, with standard bonds."""
    top = mdtraj.Topology()
    for _ in range(n_chains):
        chain = top.add_chain()
        for k, name in enumerate(["ACE", *["ALA"] * n_alanines, "NME"]):
            residue = top.add_residue(name, chain, resSeq=k + 1)
            for atom in _ATOMS[name]:
                top.add_atom(atom, mdtraj.element.get_by_symbol(atom[0]), residue)
    top.create_standard_bonds()
    return top


def peptide(n_alanines: int = 1, n_frames: int = 30, seed: int = 0, n_chains: int = 1) -> mdtraj.Trajectory:
    """Frames 2 ps apart, without a unit cell."""
    top = peptide_topology(n_alanines, n_chains)
    x, step = np.zeros((top.n_atoms, 3)), 0
    for residue in top.residues:
        for atom in residue.atoms:
            if atom.name in _BACKBONE[residue.name]:
                x[atom.index] = (0.13 * step, 0.075 * (step % 2), 0.02 * (step % 3) + 0.6 * residue.chain.index)
                step += 1
        for atom in residue.atoms:
            if atom.name not in _BACKBONE[residue.name]:
                bonded = next(a for a in residue.atoms if a.name == {"O": "C", "CB": "CA"}[atom.name])
                x[atom.index] = x[bonded.index] + (0.0, 0.0, 0.14)
    noise = np.random.default_rng(seed).normal(0, 0.004, (n_frames, top.n_atoms, 3))
    return mdtraj.Trajectory((x + noise).astype(np.float32), top, time=2.0 * np.arange(n_frames))


def saved(trajectory: mdtraj.Trajectory, path: Path) -> Path:
    """Write `trajectory` in the format that the name says, and return the path."""
    trajectory.save(str(path))
    return path
