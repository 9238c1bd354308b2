"""ASE: a model as a `Calculator`, in eV and Ångström.

atoms = create_atoms("out/run", positions)
atoms.calc = create_calculator("out/run")
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from ..extras import extra
from ..model import load_model
from ..units import ANGSTROM, ELECTRONVOLT
from .replicas import ReplicaForce


def create_calculator(run: Path | str, level: float | None = None) -> Any:
    """The `ase.calculators.calculator.Calculator` of the model in a RUN folder; `level` in nm, None for the model's own.

    It gives `energy` (eV, up to a constant), `free_energy` (the same) and `forces` (eV/Å) of Atoms that are the beads of one
    molecule. Raises InputError if ASE is missing, the folder is not a trained model, or the Atoms have a periodic cell.
    """
    base = extra("ase.calculators.calculator", "ase")
    field = ReplicaForce(run, level)

    class Calculator(base.Calculator):
        implemented_properties = ("energy", "free_energy", "forces")

        def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = base.all_changes):
            super().calculate(atoms, properties, system_changes)
            if self.atoms.pbc.any():
                raise InputError("a coarse-grained molecule has no periodic cell: set atoms.pbc = False")
            energy, force = field(self.atoms.positions[None] * ANGSTROM)
            ev = float(energy[0]) / ELECTRONVOLT
            self.results = {"energy": ev, "free_energy": ev, "forces": force[0] * (ANGSTROM / ELECTRONVOLT)}

    return Calculator(label=str(run))


def create_atoms(run: Path | str, positions: Float[np.ndarray, "n 3"]) -> Any:
    """The `ase.Atoms` of the beads at `positions` (nm), with the model's masses; elements are for viewers only."""
    model = load_model(Path(run))
    symbols = ["N" if name == "N" else "C" for name in model.molecule.bead_names]
    return extra("ase", "ase").Atoms(symbols, positions=np.asarray(positions) / ANGSTROM, masses=model.masses)
