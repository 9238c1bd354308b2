"""100 replicas of a learned force field in one OpenMM System: Langevin dynamics, then how the bonds are doing.

scorefield run ala2 -o demo/ala2
python examples/openmm_replicas.py demo/ala2/run
"""

import argparse
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

from scorefield.engines.openmm import create_system, create_topology
from scorefield.model import load_model
from scorefield.simulate import sample

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("run", help="RUN folder")
parser.add_argument("--replicas", type=int, default=100)
parser.add_argument("--steps", type=int, default=5000, help="of 2 fs")
options = parser.parse_args()

model = load_model(Path(options.run))
starts = sample(model, options.replicas).trajectory.positions
integrator = openmm.LangevinMiddleIntegrator(model.temperature, 1.0, 0.002)  # K, 1/ps, ps
simulation = app.Simulation(
    create_topology(options.run, len(starts)), create_system(options.run, replicas=len(starts)), integrator
)
simulation.context.setPositions(np.asarray(starts, float).reshape(-1, 3))
simulation.context.setVelocitiesToTemperature(model.temperature)
simulation.step(options.steps)

state = simulation.context.getState(positions=True, energy=True)
x = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer).reshape(starts.shape)
i, j = model.molecule.bond_pairs.T
print(f"{len(x)} replicas, {options.steps * 0.002:g} ps, potential energy {state.getPotentialEnergy()}")
print("bond lengths, nm:", np.linalg.norm(x[:, i] - x[:, j], axis=-1).mean(axis=0).round(4))
print("in the training data:", model.physical.bond_mean.round(4))
