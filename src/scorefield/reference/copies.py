"""Many copies of one molecule in one System: one force evaluation for all of them, none feeling another.

Copies stand on a grid without a box, further apart than the cutoff, and are put back there again and again as they
drift: only whole copies are moved, which changes nothing within one. The cutoff is longer than a copy can
reach, so that every copy has all its own interactions, as if it were alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from ..extras import extra
from .peptide import Structure

PROTEIN = "amber14/protein.ff14SB.xml"

_RESIDUE, _SIDE_CHAINS = 0.37, 2.0  # nm: what an extended residue adds, and two long side chains
_LONGEST = 12.0  # nm; beyond it charges in water feel less than 0.2 kJ/mol of each other
_TIE = 20_000.0  # kJ/mol/nm^2: 0.01 nm at room temperature
_MARGIN = 2.0  # nm of drift between two moves back; a copy of 100 Da drifts 0.2 nm in 1 ps


def force_field(solvent: str) -> Any:
    """Amber ff14SB with an implicit solvent."""
    return extra("openmm.app", "openmm").ForceField(PROTEIN, f"implicit/{solvent}.xml")


def cutoff(topology: Any) -> float:
    """A length in nm that no distance within one copy exceeds."""
    return min(_LONGEST, _RESIDUE * topology.getNumResidues() + _SIDE_CHAINS)


def repeated(topology: Any, copies: int) -> Any:
    """A topology of `copies` of `topology`, without bonds between them."""
    whole = extra("openmm.app", "openmm").Topology()
    for _ in range(copies):
        same = {}
        for chain in topology.chains():
            new_chain = whole.addChain()
            for residue in chain.residues():
                new_residue = whole.addResidue(residue.name, new_chain, residue.id)
                for atom in residue.atoms():
                    same[atom] = whole.addAtom(atom.name, atom.element, new_residue)
        for bond in topology.bonds():
            whole.addBond(same[bond[0]], same[bond[1]])
    return whole


def copies_system(topology: Any, copies: int, solvent: str, hydrogen_mass: float) -> Any:
    """The System of `copies` of one molecule: bonds to hydrogen rigid, hydrogens of `hydrogen_mass` Da.

    Raises InputError if the force field has no parameters for the molecule.
    """
    app = extra("openmm.app", "openmm")
    try:
        return force_field(solvent).createSystem(
            repeated(topology, copies),
            nonbondedMethod=app.NoCutoff if copies == 1 else app.CutoffNonPeriodic,
            nonbondedCutoff=cutoff(topology) * extra("openmm.unit", "openmm").nanometer,
            constraints=app.HBonds,
            hydrogenMass=hydrogen_mass,
            removeCMMotion=False,
        )
    except ValueError as error:
        raise InputError(f"the force field does not know the molecule: {' '.join(str(error).split())[:300]}") from None


def properties(platform: Any) -> dict[str, str]:
    """What an OpenMM platform is asked for, where it knows it: the same numbers every time, and mixed precision."""
    wanted = {"DeterministicForces": "true", "Precision": "mixed"}
    return {name: value for name, value in wanted.items() if name in platform.getPropertyNames()}


def spread(x: Float[np.ndarray, "c a 3"], cutoff: float) -> Float[np.ndarray, "c a 3"]:
    """Copies moved to a grid, each with its centre on a point, so that no two come within the cutoff (all nm)."""
    x = x - x.mean(axis=1, keepdims=True)
    side = int(np.ceil(len(x) ** (1 / 3) - 1e-9))
    grid = np.stack(np.unravel_index(np.arange(len(x)), (side,) * 3), axis=1) - (side - 1) / 2
    radius = float(np.linalg.norm(x, axis=-1).max())
    return x + (grid * (2 * radius + cutoff + _MARGIN))[:, None]


def minimised(structure: Structure, solvent: str, platform: Any, held: Sequence[int] = ()) -> Structure:
    """`structure` with clashes and strain relaxed, the atoms `held` tied to their places by springs.

    Raises InputError if that does not end in finite coordinates.
    """
    mm, unit = extra("openmm", "openmm"), extra("openmm.unit", "openmm")
    system = copies_system(structure.topology, 1, solvent, 1.008)
    ties = mm.CustomExternalForce(f"{_TIE / 2:g} * ((x - x0)^2 + (y - y0)^2 + (z - z0)^2)")
    for name in ("x0", "y0", "z0"):
        ties.addPerParticleParameter(name)
    for i in held:
        ties.addParticle(i, [float(v) for v in structure.positions[i]])
    if held:
        system.addForce(ties)
    context = mm.Context(system, mm.VerletIntegrator(1e-3), platform, properties(platform))
    context.setPositions(structure.positions)
    try:
        mm.LocalEnergyMinimizer.minimize(context, 1.0, 2000)
        state = context.getState(getPositions=True, getEnergy=True)
        energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    except mm.OpenMMException as error:
        raise InputError(f"the structure cannot be relaxed ({error}): atoms on top of each other?") from None
    if not np.isfinite(energy):
        raise InputError("the structure cannot be relaxed: its energy is not finite; are atoms on top of each other?")
    return structure._replace(positions=state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
