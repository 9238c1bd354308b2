"""Strain taken out of all-atom frames, so that dynamics can start from them: hydrogens added, energy minimised.

By OpenMM (extra `openmm`), ff14SB with the implicit solvent OBC2, as in `reference`. C-alpha atoms are
tied to where the model put them.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np

from .backmap import Backmapped
from .extras import extra
from .reference.copies import force_field, minimised
from .reference.peptide import load_structure
from .stereo import find_faults

_SOLVENT = "obc2"


def relaxed(found: Backmapped, on_frame: Callable[[int], None] | None = None) -> Backmapped:
    """The frames with hydrogens, each at a minimum of its energy, C-alpha atoms about where they were.

    Raises InputError if OpenMM is not installed, or cannot take a residue or a frame.
    """
    field = force_field(_SOLVENT)
    platform = extra("openmm", "openmm").Platform.getPlatformByName("CPU")
    topology, frames = None, []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame.pdb"
        for k, x in enumerate(found.positions):
            mdtraj.Trajectory(x[None], found.topology).save_pdb(str(file))
            structure = load_structure(str(file), capped=False, force_field=field)
            alpha = [atom.index for atom in structure.topology.atoms() if atom.name == "CA"]
            made = minimised(structure, _SOLVENT, platform, held=alpha)
            topology = topology or mdtraj.Topology.from_openmm(made.topology)
            frames.append(made.positions)
            if on_frame is not None:
                on_frame(k + 1)
    assert topology is not None, "there is at least one frame"
    positions = np.array(frames, np.float32)
    return Backmapped(topology, positions, find_faults(topology, positions), found.left_out)


def rms_moved(before: Backmapped, after: Backmapped) -> float:
    """How far C-alpha atoms have moved, root mean square in nm."""
    i, j = (b.topology.select("name CA") for b in (before, after))
    return float(np.sqrt(np.mean(np.sum((before.positions[:, i] - after.positions[:, j]) ** 2, axis=-1))))
