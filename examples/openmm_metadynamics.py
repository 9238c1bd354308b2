"""Well-tempered metadynamics in OpenMM on a learned potential: the free energy along the first phi of the backbone.

scorefield run ala2 -o demo/ala2
python examples/openmm_metadynamics.py demo/ala2/run --ns 2 -o metadynamics.npz
"""

import argparse
from pathlib import Path

import numpy as np
import openmm
from openmm import app

from scorefield.engines.openmm import create_system, create_topology
from scorefield.model import load_model
from scorefield.simulate import sample

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("run", help="RUN folder")
parser.add_argument("--ns", type=float, default=1.0)
parser.add_argument("-o", "--out", help="new .npz: phi (rad), free energy (kJ/mol)")
options = parser.parse_args()

model = load_model(Path(options.run))
molecule = model.molecule
quad = molecule.ramachandran[0][1][0] if molecule.ramachandran else molecule.dihedral_quads[0]
system = create_system(options.run)
torsion = openmm.CustomTorsionForce("theta")
torsion.addTorsion(*(int(i) for i in quad))
phi = app.BiasVariable(torsion, -np.pi, np.pi, 0.35, periodic=True, gridWidth=181)
height, factor, every = 1.0, 8.0, 100  # kJ/mol, and a hill every 0.2 ps
metadynamics = app.Metadynamics(system, [phi], model.temperature, factor, height, every)

integrator = openmm.LangevinMiddleIntegrator(model.temperature, 1.0, 0.002)
simulation = app.Simulation(create_topology(options.run), system, integrator)
simulation.context.setPositions(np.asarray(sample(model, 10).trajectory.positions[0], float))
simulation.context.setVelocitiesToTemperature(model.temperature)
metadynamics.step(simulation, max(every, round(options.ns * 500_000)))

free_energy = np.asarray(metadynamics.getFreeEnergy()._value)
angle, free_energy = np.linspace(-np.pi, np.pi, len(free_energy)), free_energy - free_energy.min()
weights = np.exp(-free_energy / (0.0083144626 * model.temperature))
print(f"beads {[int(i) for i in quad]}, {options.ns:g} ns; free energy, kJ/mol:")
for degrees in range(-180, 180, 30):
    print(f"{degrees:5d}°  {np.interp(np.deg2rad(degrees), angle, free_energy):6.2f}")
print(f"population of angles above 0: {weights[angle > 0].sum() / weights.sum():.3f}")
if options.out:
    if Path(options.out).exists():
        parser.error(f"{options.out} exists already")
    np.savez(options.out, phi=angle, free_energy=free_energy)
