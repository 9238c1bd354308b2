"""What the cells of `faults.py` share: the commands, a small trained model, and what of a folder must always be the same."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from verify import dataset

from scorefield.dataset import write_dataset

SEED = 0
COMMAND = "python benchmarks/faults.py --work FOLDER --cells {} --amount {}"
CONFIG = """
[energy]
kind = "invariant"
width = 16
depth = 1
[training]
steps = 2000
batch = 64
warmup = 20
[sampling]
steps = 16
"""
# as the command, but saving all the time, so that kills hit saves too
OFTEN = (
    "from scorefield import cli, journal, stream\n"
    "journal.CHECKPOINT_SECONDS = stream.SAVE_SECONDS = 0.05; stream._SAVING_SHARE = 0\ncli.main()"
)


def command(*words: object, code: str = OFTEN, **options: Any) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options
    )


def finish(process: subprocess.Popen) -> str:
    """Its last words on stderr, after it ended well."""
    err = process.communicate()[1].decode()
    if process.returncode:
        raise SystemExit(f"{process.args}: {process.returncode}: {err}")
    return err


def setting(work: Path) -> tuple[Path, Path]:
    """DATASET and RUN of the chain of four."""
    data, run, config = (work / name for name in ("data", "run", "config.toml"))
    work.mkdir(parents=True, exist_ok=True)
    if not data.exists():
        write_dataset(dataset(4), data)
    config.write_text(CONFIG)
    if not (run / "model.json").exists():
        shutil.rmtree(run, ignore_errors=True)
        finish(command("train", data, "-o", run, "--config", config))
    return data, run


def result(path: Path) -> dict[str, bytes]:
    """The files that must not depend on how often a training or simulation was stopped."""
    timed = ("state.json", "simulation.json", "model.json", "checkpoint.json", "log.jsonl")
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name not in timed}
