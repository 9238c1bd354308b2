"""A structure-based C-alpha model (Clementi, Nymeyer, Onuchic, J. Mol. Biol. 298, 937 (2000)) of a real fold, by OpenMM.

    U / e = 100 (b - b0)^2 / A^2 + 20 (theta - theta0)^2 + (1 - cos(phi - phi0)) + (1 - cos 3 (phi - phi0)) / 2
            + sum over native contacts 5 (r0 / r)^12 - 6 (r0 / r)^10 + sum over other pairs (4 A / r)^12

With b0, theta0, phi0, r0 of the native structure; native contacts are C-alpha pairs four or more residues apart within .8 nm.
The true force of every frame is known, the bonded part and the non-bonded one apart: what a learned one can be judged by.
"""

from dataclasses import dataclass
from pathlib import Path

import mdtraj
import numpy as np
import openmm
from jaxtyping import Float, Int

from scorefield.dataset import Dataset, Split
from scorefield.molecule import Molecule
from scorefield.trajectory import Trajectory
from scorefield.units import thermal_energy

TEMPERATURE = 300.0
FOLDED_AT = 0.8
"""Temperature in e / k: folded, and below its folding temperature of about 1."""
MASS = 110.0  # Da, of a residue
CONTACT, SEPARATION, RADIUS = 0.8, 4, 0.4
DT, FRICTION, SAVE_PS = 0.02, 1.0, 4.0  # ps, 1/ps, ps; mean energies as with half the step, within 1 % of their parts
BONDED, NON_BONDED = 0, 1
"""Groups of forces."""
SPLITS: tuple[Split, ...] = ("train",) * 14 + ("validation", "validation") + ("test",) * 4


@dataclass(frozen=True, eq=False)
class StructureBased:
    """The model of one native structure (n, 3) nm."""

    molecule: Molecule
    native: Float[np.ndarray, "n 3"]

    @staticmethod
    def of(pdb: Path, name: str) -> "StructureBased":
        """Of the C-alpha atoms of a PDB."""
        found = mdtraj.load(str(pdb))
        residues = list(found.topology.residues)
        n = len(residues)
        molecule = Molecule(
            name,
            ("CA",) * n,
            tuple(r.name for r in residues),
            tuple(r.resSeq for r in residues),
            (MASS,) * n,
            tuple((i, i + 1) for i in range(n - 1)),
            native=found.xyz[0].astype(np.float32),
        )
        return StructureBased(molecule, found.xyz[0].astype(float))

    @property
    def contacts(self) -> Int[np.ndarray, "c 2"]:
        """Pairs of beads in contact in the native structure."""
        i, j = np.triu_indices(len(self.native), SEPARATION)
        near = np.linalg.norm(self.native[i] - self.native[j], axis=1) < CONTACT
        return np.stack([i[near], j[near]], axis=1)

    def system(self) -> openmm.System:
        """The OpenMM System: bonded forces in group `BONDED`, the rest in `NON_BONDED`."""
        x, e, n = self.native, thermal_energy(TEMPERATURE) / FOLDED_AT, len(self.native)
        length = lambda i, j: float(np.linalg.norm(x[i] - x[j]))
        system = openmm.System()
        for _ in range(n):
            system.addParticle(MASS)
        bonds, bends, turns = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce(), openmm.PeriodicTorsionForce()
        for i in range(n - 1):
            bonds.addBond(i, i + 1, length(i, i + 1), 2 * 100 * 100 * e)
        at = self._internal()
        for i, theta in enumerate(at[0]):
            bends.addAngle(i, i + 1, i + 2, float(theta), 2 * 20 * e)
        for i, phi in enumerate(at[1]):
            turns.addTorsion(i, i + 1, i + 2, i + 3, 1, float(phi) + np.pi, e)
            turns.addTorsion(i, i + 1, i + 2, i + 3, 3, 3 * float(phi) + np.pi, 0.5 * e)
        native = openmm.CustomBondForce("e*(5*(r0/r)^12-6*(r0/r)^10)")
        native.addGlobalParameter("e", e)
        native.addPerBondParameter("r0")
        apart = openmm.CustomNonbondedForce("e*(radius/r)^12")
        apart.addGlobalParameter("e", e)
        apart.addGlobalParameter("radius", RADIUS)
        apart.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffNonPeriodic)
        apart.setCutoffDistance(2.5 * RADIUS)
        for _ in range(n):
            apart.addParticle([])
        for i, j in self.contacts.tolist():
            native.addBond(i, j, [length(i, j)])
            apart.addExclusion(i, j)
        for i in range(n):
            for j in range(i + 1, min(i + SEPARATION, n)):
                apart.addExclusion(i, j)
        for group, forces in ((BONDED, (bonds, bends, turns)), (NON_BONDED, (native, apart))):
            for force in forces:
                force.setForceGroup(group)
                system.addForce(force)
        return system

    def _internal(self) -> tuple[np.ndarray, np.ndarray]:
        x = mdtraj.Trajectory(self.native[None].astype(np.float32), None)
        n = np.arange(len(self.native))
        bends = mdtraj.compute_angles(x, np.stack([n[:-2], n[1:-1], n[2:]], axis=1))[0]
        turns = mdtraj.compute_dihedrals(x, np.stack([n[:-3], n[1:-2], n[2:-1], n[3:]], axis=1))[0]
        return bends, turns

    def run(self, n_frames: int, seed: int) -> Float[np.ndarray, "f n 3"]:
        """`n_frames` frames (nm) of one chain, `SAVE_PS` apart, after 400 ps from the native structure."""
        integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, FRICTION, DT)
        integrator.setRandomNumberSeed(seed + 1)
        context = openmm.Context(self.system(), integrator, *_platform())
        context.setPositions(self.native)
        context.setVelocitiesToTemperature(TEMPERATURE, seed + 1)
        integrator.step(round(400 / DT))
        found = []
        for _ in range(n_frames):
            integrator.step(round(SAVE_PS / DT))
            found.append(context.getState(getPositions=True).getPositions(asNumpy=True)._value)
        x = np.array(found)
        return (x - x.mean(axis=1, keepdims=True)).astype(np.float32)

    def dataset(self, n_frames: int, seed: int) -> Dataset:
        """`n_frames` frames in 20 independent chains, of which 14 are to train on."""
        each = n_frames // len(SPLITS)
        chains = [self.run(each, 100 * seed + k) for k in range(len(SPLITS))]
        trajectory = Trajectory(self.molecule, np.concatenate(chains), (each,) * len(SPLITS), TEMPERATURE, SAVE_PS)
        sources = tuple(f"chain {k}" for k in range(len(SPLITS)))
        return Dataset(trajectory, SPLITS, sources, "ca", {"text": "structure-based model by OpenMM"})

    def forces(self, x: Float[np.ndarray, "f n 3"]) -> tuple[np.ndarray, np.ndarray]:
        """The true forces on frames `x` in kT/nm: the bonded part and the non-bonded one."""
        context = openmm.Context(self.system(), openmm.VerletIntegrator(DT), *_platform())
        found: tuple[list, list] = ([], [])
        for frame in np.asarray(x, float):
            context.setPositions(frame)
            for group, forces in zip((BONDED, NON_BONDED), found, strict=True):
                state = context.getState(getForces=True, groups=1 << group)
                forces.append(state.getForces(asNumpy=True)._value / thermal_energy(TEMPERATURE))
        return np.array(found[0]), np.array(found[1])


def _platform() -> tuple[openmm.Platform, dict[str, str]]:
    return openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"}
