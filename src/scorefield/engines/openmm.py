"""OpenMM (8.6 or newer): a model as a `PythonForce`, many replicas in one System.

    system = create_system("out/run", replicas=100)
    simulation = openmm.app.Simulation(create_topology("out/run", 100), system, integrator)

Beads are particles of no element, replica after replica; their masses are the model's. The force is pickled by OpenMM as the
path of the RUN folder, which must therefore be there when a System is read back from XML. Units are OpenMM's own: nm,
kJ/mol, Da.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from ..extras import extra
from ..model import load_model
from .replicas import ReplicaForce


class Computation:
    """What OpenMM calls: from a State of `replicas` times n_beads particles to energy (kJ/mol) and forces (kJ/mol/nm).

    Raises InputError if there are no replicas, or the folder is not a trained model.
    """

    def __init__(self, run: Path | str, level: float | None = None, replicas: int = 1) -> None:
        if replicas < 1:
            raise InputError(f"{replicas} replicas; it must be 1 or more")
        self.field, self.replicas = ReplicaForce(run, level), replicas

    def __call__(self, state: Any) -> tuple[float, Float[np.ndarray, "p 3"]]:
        """Raises InputError if the particles are not those of the replicas."""
        found = self.field(state.getPositions(asNumpy=True)._value.reshape(self.replicas, -1, 3))
        return float(found.energy.sum()), found.force.reshape(-1, 3)


def create_force(run: Path | str, level: float | None = None, replicas: int = 1) -> Any:
    """The `openmm.PythonForce` of `replicas` of the model in a RUN folder; `level` in nm, None for the model's own.

    Raises InputError if OpenMM is missing or too old, or the folder is not a trained model.
    """
    openmm = extra("openmm", "openmm")
    if not hasattr(openmm, "PythonForce"):
        raise InputError(
            f"OpenMM {openmm.version.version} has no PythonForce; install 8.6 or newer: scorefield[openmm]"
        )
    return openmm.PythonForce(Computation(run, level, replicas))


def create_system(run: Path | str, level: float | None = None, replicas: int = 1) -> Any:
    """An `openmm.System` of `replicas` with the model's force and bead masses (Da); raises as `create_force`."""
    force = create_force(run, level, replicas)
    system = extra("openmm", "openmm").System()
    for mass in np.tile(load_model(Path(run)).masses, replicas):
        system.addParticle(float(mass))
    system.addForce(force)
    return system


def create_topology(run: Path | str, replicas: int = 1) -> Any:
    """The `openmm.app.Topology` of the beads, one chain a replica."""
    molecule, topology = load_model(Path(run)).molecule, extra("openmm.app", "openmm").Topology()
    for _ in range(replicas):
        chain, residues, atoms = topology.addChain(), {}, []
        for name, *of in zip(molecule.bead_names, molecule.residue_names, molecule.residue_ids, strict=True):
            if tuple(of) not in residues:
                residues[tuple(of)] = topology.addResidue(of[0], chain, str(of[1]))
            atoms.append(topology.addAtom(name, None, residues[tuple(of)]))
        for i, j in molecule.bonds:
            topology.addBond(atoms[i], atoms[j])
    return topology
