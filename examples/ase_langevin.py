"""A learned force field in ASE: relax a molecule, then Langevin dynamics.

scorefield run ala2 -o demo/ala2
python examples/ase_langevin.py demo/ala2/run
"""

import argparse
from pathlib import Path

from ase import units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import BFGS

from scorefield.engines.ase import create_atoms, create_calculator
from scorefield.model import load_model
from scorefield.simulate import sample

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("run", help="RUN folder")
parser.add_argument("--steps", type=int, default=1000, help="of 2 fs")
options = parser.parse_args()

model = load_model(Path(options.run))
atoms = create_atoms(options.run, sample(model, 10).trajectory.positions[0])
atoms.calc = create_calculator(options.run)
print(f"sample: {atoms.get_potential_energy():.4f} eV")
BFGS(atoms, logfile=None).run(fmax=0.05, steps=min(200, options.steps))
print(f"relaxed: {atoms.get_potential_energy():.4f} eV, largest force {abs(atoms.get_forces()).max():.3f} eV/Å")

MaxwellBoltzmannDistribution(atoms, temperature_K=model.temperature)
dynamics = Langevin(atoms, 2 * units.fs, temperature_K=model.temperature, friction=0.001 / units.fs, fixcm=False)
dynamics.run(options.steps)
print(f"after {options.steps * 2e-3:g} ps: {atoms.get_potential_energy():.4f} eV, {atoms.get_temperature():.0f} K")
