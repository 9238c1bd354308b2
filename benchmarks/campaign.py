"""Cells of a benchmark that takes hours: GROUP/NAME/SEED, each computed once and recorded as soon as it is there.

The result of a cell is FOLDER/GROUP/NAME/SEED/result.json; what is there is not computed again, so a script can be stopped
and started at will, and several of it can run side by side on cells of their own. All results there are, and those of
benchmarks/results/BENCHMARK.json that FOLDER lacks, make the new BENCHMARK.json.
"""

import argparse
import fnmatch
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from record import RESULTS, record

from scorefield.config import Config
from scorefield.dataset import Dataset
from scorefield.model import Model, load_model
from scorefield.train import train

Results = dict[str, Any]


def arguments_of(doc: str | None, default: Sequence[str]) -> argparse.ArgumentParser:
    """A parser of what every campaign takes: a folder, cells, and whether to compute again what is there."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cells", nargs="+", default=list(default), help="names, with * and ? as in file names")
    parser.add_argument("--again", action="store_true", help="compute cells that are there already, too")
    return parser


def compute_cells(
    benchmark: str,
    cells: Sequence[str],
    asked: argparse.Namespace,
    compute: Callable[[str], Results],
    bars: Callable[[Results], list[dict[str, Any]]],
) -> None:
    """Compute the cells `asked` for that are missing, and after each record all there are with their `bars`."""
    for cell in cells:
        path = asked.work / cell / "result.json"
        if not any(fnmatch.fnmatch(cell, p) for p in asked.cells) or (path.exists() and not asked.again):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        found = compute(cell) | {"date": datetime.now(UTC).isoformat(timespec="minutes")}
        path.write_text(json.dumps(found))
        everything = known(benchmark, cells, asked.work)
        print(record(benchmark, bars(everything), seed=0, cells=everything), cell, flush=True)


def known(benchmark: str, cells: Sequence[str], work: Path) -> Results:
    """The cells that were computed before: those recorded, and in their place those in `work`."""
    path = RESULTS / f"{benchmark}.json"
    found = json.loads(path.read_text())["cells"] if path.exists() else {}
    made = {cell: work / cell / "result.json" for cell in cells}
    return found | {cell: json.loads(p.read_text()) for cell, p in made.items() if p.exists()}


def trained(dataset: Dataset, config: Config, folder: Path) -> Model:
    """Train, or go on, or load."""
    if not (folder / "model.json").exists():
        train(dataset, config, folder, resume=folder.exists())
    return load_model(folder)
