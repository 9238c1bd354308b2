"""Forces on atoms mapped to beads by the linear map of least variance.

With x_bead = M x the mean force on beads is <W f | x_bead> for every W with W M^T = 1, when all atoms that are held at
fixed distances of each other have the same weight (Ciccotti et al. 2005; Krämer et al. 2023, arXiv 2302.07071). Those W
differ in their noise alone; the least is that of the quadratic problem, row by row,

    minimise  w C w,  C_ab = <f_a . f_b>,  subject to  M w = e_i.

M (n_beads, n_atoms) the map of positions · W (n_beads, n_atoms) that of forces · f (n_atoms, 3) kJ/mol/nm
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mdtraj
import numpy as np
from jaxtyping import Float, Int

from .errors import InputError
from .mapping import BeadMap
from .storage import ArrayFile
from .trr import read_forces


class Mapped(NamedTuple):
    """The map that was used, and the root mean square of the forces of a bead, kJ/mol/nm: with it, and of one rigid group.

    The latter is what beads would feel whose force is that of their own atoms and the hydrogens on them.
    """

    matrix: Float[np.ndarray, "n a"]
    rms: float
    rms_of_own_atoms: float


def least_variance_map(
    positions: Float[np.ndarray, "n a"], covariance: Float[np.ndarray, "a a"], groups: Int[np.ndarray, " a"]
) -> Float[np.ndarray, "n a"]:
    """W for the map of positions M, C, and for every atom the number of the rigid group that it belongs to.

    Raises InputError if two beads share a rigid group, so that no W fits.
    """
    members = (groups[:, None] == np.unique(groups)[None, :]).astype(float)  # atoms by groups
    condition, c = positions @ members, members.T @ covariance @ members
    n, g = condition.shape
    scale = max(float(np.trace(c)) / g, 1e-30)
    system = np.block([[c / scale, condition.T], [condition, np.zeros((n, n))]])
    wanted = np.vstack([np.zeros((g, n)), np.eye(n)])
    weights = np.linalg.lstsq(system, wanted, rcond=1e-12)[0][:g].T @ members.T
    if not np.allclose(weights @ positions.T, np.eye(n), atol=1e-6):
        raise InputError("two beads hold atoms of one rigid group (an atom and its hydrogens), so they have no forces")
    return weights


def rigid_groups(topology: mdtraj.Topology) -> Int[np.ndarray, " a"]:
    """Every atom with the hydrogens bonded to it: what is rigid where bonds to hydrogen are, and right where they are not."""
    groups = np.arange(topology.n_atoms)
    for a, b in topology.bonds:
        for light, heavy in ((a, b), (b, a)):
            if light.element is mdtraj.element.hydrogen and heavy.element is not mdtraj.element.hydrogen:
                groups[light.index] = heavy.index
    return groups


def write_bead_forces(
    trajectories: Sequence[Path], topology: mdtraj.Topology, beads: BeadMap, stride: int, path: Path
) -> Mapped:
    """Map the forces of every `stride`-th frame of TRR files, file after file, into the float32 array `path`.

    Reads the files twice, frame by frame. Raises InputError if one has no forces.
    """
    n_atoms = topology.n_atoms
    covariance, count = np.zeros((n_atoms, n_atoms)), 0
    for file in trajectories:
        for f in read_forces(file, n_atoms, stride):
            covariance += f @ f.T
            count += 1
    covariance /= max(1, count)
    positions = np.zeros((len(beads.beads), n_atoms))
    positions[:, beads.atoms] = beads.matrix
    if topology.n_bonds == 0:
        topology = topology.copy()
        topology.create_standard_bonds()
    groups = rigid_groups(topology)
    weights = least_variance_map(positions, covariance, groups)
    with ArrayFile(path, (len(positions), 3)) as out:
        for file in trajectories:
            for f in read_forces(file, n_atoms, stride):
                out.append((weights @ f)[None])
    own = least_variance_map(positions, np.diag(np.where((positions > 0).any(axis=0), 1.0, 1e6)), groups)
    rms = [float(np.sqrt(np.einsum("na,ab,nb->", w, covariance, w) / len(w))) for w in (weights, own)]
    return Mapped(weights, *rms)
