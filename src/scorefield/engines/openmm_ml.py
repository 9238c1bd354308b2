"""openmm-ml: `MLPotential("scorefield", run="out/run").createSystem(topology)`.

Registered under that name by the entry point in pyproject.toml. The topology is that of the beads, one replica or
several one after another (`engines.openmm.create_topology`). Beads have no element, which openmm-ml takes for a mass of
0: the model's masses are set here.
"""

from collections.abc import Iterable
from typing import Any

from openmmml.mlpotential import MLPotentialImpl, MLPotentialImplFactory


class ScorefieldFactory(MLPotentialImplFactory):
    """Makes the potential of the RUN folder `run`, at noise `level` (nm; None is the model's own)."""

    def createImpl(self, name: str, **args: Any) -> "ScorefieldImpl":
        """See openmm-ml. Raises InputError if no RUN folder is given, or it is not a trained model."""
        from ..errors import InputError

        if "run" not in args:
            raise InputError('which model? MLPotential("scorefield", run="path of a RUN folder")')
        return ScorefieldImpl(args["run"], args.get("level"))


class ScorefieldImpl(MLPotentialImpl):
    """A model as openmm-ml wants it."""

    def __init__(self, run: Any, level: float | None) -> None:
        self.run, self.level = run, level

    def addForces(self, topology: Any, system: Any, atoms: Iterable[int] | None, forceGroup: int, **args: Any) -> None:
        """Add the force on `atoms` (None: all), and their masses. Raises InputError if they are no whole replicas."""
        from pathlib import Path

        from ..errors import InputError
        from ..model import load_model
        from .openmm import create_force

        particles = list(range(system.getNumParticles()) if atoms is None else atoms)
        beads = [float(mass) for mass in load_model(Path(self.run)).masses]
        if not particles or len(particles) % len(beads):
            raise InputError(f"{len(particles)} particles are no whole number of replicas of {len(beads)} beads")
        force = create_force(self.run, self.level, len(particles) // len(beads))
        force.setForceGroup(forceGroup)
        if atoms is not None:
            force.setParticles(particles)
        for k, particle in enumerate(particles):
            system.setParticleMass(particle, beads[k % len(beads)])
        system.addForce(force)
