"""A learned force field in i-PI: writes an input, starts the server, and answers it. Needs i-PI (scorefield[ipi]).

scorefield run ala2 -o demo/ala2
python examples/ipi_langevin.py demo/ala2/run -o ipi
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from scorefield.engines.ipi import drive
from scorefield.model import load_model
from scorefield.simulate import sample

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("run", help="RUN folder")
parser.add_argument("-o", "--out", type=Path, required=True, help="new folder")
parser.add_argument("--steps", type=int, default=1000, help="of 2 fs")
options = parser.parse_args()

INPUT = """<simulation verbosity='low'>
  <output prefix='simulation'>
    <properties stride='10' filename='out'> [step, time{{picosecond}}, potential, temperature{{kelvin}}] </properties>
    <trajectory stride='10' filename='pos' format='xyz'> positions{{angstrom}} </trajectory>
  </output>
  <total_steps> {steps} </total_steps>
  <prng> <seed> 1 </seed> </prng>
  <ffsocket mode='unix' name='scorefield' pbc='false'> <address> {socket} </address> </ffsocket>
  <system>
    <initialize nbeads='1'>
      <file mode='xyz' units='angstrom'> start.xyz </file>
      <masses mode='manual' units='dalton'> [{masses}] </masses>
      <velocities mode='thermal' units='kelvin'> {temperature} </velocities>
    </initialize>
    <forces> <force forcefield='scorefield'> </force> </forces>
    <motion mode='dynamics'>
      <dynamics mode='nvt'>
        <timestep units='femtosecond'> 2 </timestep>
        <thermostat mode='langevin'> <tau units='femtosecond'> 1000 </tau> </thermostat>
      </dynamics>
    </motion>
    <ensemble> <temperature units='kelvin'> {temperature} </temperature> </ensemble>
  </system>
</simulation>
"""

model = load_model(Path(options.run))
x = sample(model, 10).trajectory.positions[0] * 10  # nm to Ångström
options.out.mkdir(parents=True)
symbols = ["N" if name == "N" else "C" for name in model.molecule.bead_names]
lines = [f"{symbol} {a:.6f} {b:.6f} {c:.6f}" for symbol, (a, b, c) in zip(symbols, x, strict=True)]
(options.out / "start.xyz").write_text(f"{len(x)}\n# CELL(abcABC): 100 100 100 90 90 90\n" + "\n".join(lines) + "\n")
name = f"scorefield-{os.getpid()}"
masses = ", ".join(f"{m:.4f}" for m in model.masses)
settings = {"steps": options.steps, "socket": name, "masses": masses, "temperature": model.temperature}
(options.out / "input.xml").write_text(INPUT.format(**settings))

server = subprocess.Popen(
    [Path(sys.executable).with_name("i-pi"), "input.xml"], cwd=options.out, stdout=subprocess.DEVNULL
)
try:
    evaluations = drive(options.run, unix=name, wait=60)
    server.wait(60)
finally:
    server.kill()
print(f"{evaluations} evaluations; see {options.out}/simulation.out and simulation.pos_0.xyz")
