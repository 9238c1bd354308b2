"""Free energy along a collective variable by umbrella sampling in scorefield's own loop, all windows side by side.

scorefield run ala2 -o demo/ala2
python examples/umbrella.py demo/ala2/run "phi ALA2"
"""

import argparse
from pathlib import Path

import numpy as np

from scorefield.model import load_model
from scorefield.restraints import variable
from scorefield.simulate import sample
from scorefield.umbrella import umbrella

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("run", help="RUN folder")
parser.add_argument("variable", help="'phi ALA2', 'psi ALA2', 'dihedral 0 1 2 3', 'distance 0 4' or 'rg'")
parser.add_argument("--windows", type=int, default=36)
parser.add_argument("--time-ps", type=float, default=20.0, help="of each of 8 replicas a window")
parser.add_argument("-o", "--out", help="new .npz: value, energy, error")
options = parser.parse_args()

model = load_model(Path(options.run))
xi = variable(options.variable, model.molecule)
if xi.period:
    centres = np.arange(options.windows) / options.windows * xi.period - xi.period / 2
else:  # where the samples are, and a little further
    x = [float(xi(frame)) for frame in sample(model, 200).trajectory.positions]
    centres = np.linspace(min(x), max(x), options.windows)
stiffness = 2 * 8.314e-3 * model.temperature / (centres[1] - centres[0]) ** 2  # neighbours overlap well
found = umbrella(model, xi, centres, stiffness, time_ps=options.time_ps, equilibrate_ps=options.time_ps / 4)

print(f"{options.variable} ({xi.unit}), free energy in kJ/mol; least overlap of windows {found.overlap:.2f}")
for value, energy, error in zip(*found[:3], strict=True):
    print(f"{value:8.3f} {energy:8.2f} ± {error:.2f}")
if options.out:
    np.savez(options.out, value=found.value, energy=found.energy, error=found.error)
