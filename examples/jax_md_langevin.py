"""A learned force field in jax-md: Langevin dynamics in free space. Needs jax-md (pip install jax-md).

scorefield run ala2 -o demo/ala2
python examples/jax_md_langevin.py demo/ala2/run
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
from jax_md import simulate, space

from scorefield.engines.jax_md import energy_function
from scorefield.model import load_model
from scorefield.simulate import sample
from scorefield.units import thermal_energy

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("run", help="RUN folder")
parser.add_argument("--steps", type=int, default=5000, help="of 2 fs")
options = parser.parse_args()

model = load_model(Path(options.run))
energy, masses = energy_function(options.run)
_, shift = space.free()
init, step = simulate.nvt_langevin(energy, shift, dt=0.002, kT=thermal_energy(model.temperature), gamma=1.0)
state = init(jax.random.key(0), jnp.asarray(sample(model, 10).trajectory.positions[0]), mass=masses)
state = jax.lax.fori_loop(0, options.steps, lambda _, state: step(state), state)
print(f"after {options.steps * 2e-3:g} ps: {energy(state.position):.2f} kJ/mol; positions in nm:\n{state.position}")
