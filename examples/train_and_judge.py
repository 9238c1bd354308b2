"""All of it in Python: train on a DATASET, sample, simulate, compare with frames that no training saw, write the report.

scorefield prepare run*.xtc --top protein.pdb --map ca --temperature 300 -o data
python examples/train_and_judge.py data -o out
"""

import argparse
from pathlib import Path

import scorefield as sf
from scorefield.config import load_config

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("dataset", help="DATASET folder")
parser.add_argument("-o", "--out", type=Path, required=True, help="new folder")
parser.add_argument("--config", help="TOML file or built-in name; defaults fit any molecule")
parser.add_argument("--samples", type=int, default=10_000)
parser.add_argument("--replicas", type=int, default=100)
parser.add_argument("--time-ps", type=float, default=100.0, help="of each replica")
options = parser.parse_args()

data = sf.load_dataset(options.dataset)
options.out.mkdir(parents=True)
model = sf.train(data, load_config(options.config), options.out / "run")
print(f"validation loss {model.training['validation_loss']:.4f}, force read off at {model.level:.4f} nm")

samples = sf.sample(model, options.samples)
sf.write_frames(samples, options.out / "samples")
starts = samples.trajectory.positions[: options.replicas]
simulation = sf.simulate(model, starts, options.time_ps, save_ps=min(1.0, options.time_ps))
sf.write_frames(simulation, options.out / "simulation")

report = sf.evaluate(data, {"samples": samples, "simulation": simulation})
for name, metrics in report.metrics.items():
    for metric, entry in metrics.items():
        print(f"{name:<11} {metric:<16} {entry['value']:10.4g} {entry['unit']:<3} floor {entry['floor']:.4g}")
sf.write_report(report, options.out / "report")
