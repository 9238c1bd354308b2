"""Run every code block of the README, of CONTRIBUTING and of docs/: none may fail.

python scripts/check_docs.py [FILE.md ...] [--keep FOLDER]

Blocks of a page run one after another in a folder of its own, `sh` by bash, consecutive `python` in one process; `toml` and
`json` are read as a configuration and a map. What a page takes as given stands in its first line, `<!-- given: data run -->`.
Amounts are cut down (`SMALLER`), words stay as they are. `<!-- not run: installs -->` is believed of a block of pip and make.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^(<!-- not run: [\w ]+ -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GIVEN = re.compile(r"<!-- given: ([\w ]+) -->")
INSTALLS = re.compile(r"(pip|make|source|python -m venv|git) .*|\s*#.*|")
SHOWN = {"text"}
"""Fences that hold no code: equations, output, references."""

SMALL = """
[energy]
kind = "invariant"
width = 16
depth = 1

[training]
steps = 300
batch = 32
warmup = 20

[sampling]
steps = 16
"""
"""What is trained in place of the default: it compiles and learns in seconds."""
SMALL_RUN = "--config small.toml --samples 300 --replicas 4 --time-ps 4"
SMALLER = [
    (r"scorefield launch .*", "scorefield launch --help"),
    (r"scorefield run (\S+)", rf"scorefield run \1 {SMALL_RUN}"),
    (r"scorefield train (\S+)", r"scorefield train \1 --config small.toml"),
    (r"scorefield verify (\S+)", r"scorefield verify \1 --samples 100 --replicas 4 --time-ps 1"),
    (r"scorefield refine (\S+)", r"scorefield refine \1 --rounds 1 --time-ps 0.5 --replicas 4"),
    (r"scorefield reference (\S+)", r"scorefield reference \1 --equilibrate-ps 1"),
    (r"--scatter-ps \d+", "--scatter-ps 1"),
    (r"--ns [\d.]+", "--ns 0.02"),
    (r"--copies \d+", "--copies 3"),
    (r"--replicas \d+", "--replicas 4"),
    (r"--time-ns (0\.01|0\.05|1)\b", "--time-ns 0.004"),
    (r"--time-ns (0\.02|2|5|10)\b", "--time-ns 0.008"),
    (r"-n \d+", "-n 200"),
    (r"sf\.Config\(\)", "sf.config.load_config('small.toml')"),
    (r"10_000|(?<=, )1000(?=\))", "200"),
    (r"positions\[:100\]", "positions[:4]"),
    (r"time_ps=100\b", "time_ps=4"),
    (r"time_ps=10, equilibrate_ps=2", "time_ps=1, equilibrate_ps=0.2"),
    (r"replicas=100\b", "replicas=4"),
]


COMPILED = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2"}
"""What one page has compiled, the next need not."""


class Block(NamedTuple):
    """One fenced block: its language, its text, the line it starts at, whether it is run."""

    language: str
    text: str
    line: int
    run: bool


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page; one that claims to be an installation must be one."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start(2)) + 1
        if match[1] and not all(INSTALLS.fullmatch(command) for command in match[3].splitlines()):
            raise SystemExit(f"{page.name}:{line}: not only an installation, so it must run")
        yield Block(match[2], match[3], line, not match[1] and match[2] not in SHOWN)


def smaller(text: str) -> str:
    """The same with amounts that are done in seconds."""
    for pattern, replacement in SMALLER:
        text = re.sub(pattern, replacement, text)
    return text


def give(folder: Path, what: str) -> None:
    """Put what a page takes as given into `folder`."""
    from scorefield.dataset import Dataset, Split, write_dataset
    from scorefield.systems import load_system, run_folder

    if what == "data":
        whole = load_system("ala2")
        chains = [0, 1, 30, 40, 41]
        some = whole.trajectory.select_chains(chains)
        splits: tuple[Split, ...] = tuple(whole.splits[i] for i in chains)
        sources = tuple(whole.sources[i] for i in chains)
        write_dataset(Dataset(some, splits, sources, whole.map, whole.provenance, whole.equilibrium), folder / "data")
    elif what == "run":
        (folder / "run").mkdir()
        for file in run_folder("ala2").iterdir():
            (folder / "run" / file.name).write_bytes(file.read_bytes())
    elif what == "trajectories":
        _trajectories(folder)
    else:
        raise SystemExit(f"{what} cannot be given")


def _trajectories(folder: Path) -> None:
    """protein.pdb and run1.xtc ... run5.xtc of a peptide whose residues hang together softly: 300 steps learn it."""
    sys.path.insert(0, str(ROOT / "tests"))
    made = import_module("peptides")
    made.saved(made.peptide(6, 1), folder / "protein.pdb")
    for k in range(5):
        trajectory = made.peptide(6, 400, k)
        chain = np.cumsum(np.random.default_rng(k).normal(0.2, 0.06, (400, trajectory.n_residues, 3)), axis=1)
        for place, residue in enumerate(trajectory.topology.residues):
            atoms = [atom.index for atom in residue.atoms]
            centre = next((a.index for a in residue.atoms if a.name == "CA"), atoms[0])
            trajectory.xyz[:, atoms] += (chain[:, place] - trajectory.xyz[:, centre])[:, None]
        made.saved(trajectory, folder / f"run{k + 1}.xtc")


def script(found: list[Block]) -> str:
    """The page as one bash script: Python blocks in a row are one process and share their names."""
    parts, python = ["set -euo pipefail"], ""
    for block in [*found, Block("end", "", 0, False)]:
        if block.language == "python":
            python += smaller(block.text)
            continue
        if python and block.language in ("sh", "end"):
            parts.append(f"{sys.executable} - <<'END'\n{python}END")
            python = ""
        if block.language == "sh":
            parts.append(f"echo '# line {block.line}'\n{smaller(block.text)}")
    return "\n".join(parts) + "\n"


def check_data(block: Block) -> None:
    """A configuration or a map that a page shows must be one."""
    import json

    from scorefield.config import config_from

    if block.language == "toml":
        config_from(tomllib.loads(block.text), "toml")
    elif set(json.loads(block.text)) - {"beads", "bonds"}:
        raise SystemExit(f"line {block.line}: not a map")


def check(page: Path, folder: Path) -> tuple[int, int]:
    """Run a page in the new `folder`; how many blocks ran, and how many are installations."""
    found = list(blocks(page))
    run = [block for block in found if block.run]
    for block in run:
        if block.language in ("toml", "json"):
            check_data(block)
        elif block.language not in ("sh", "python"):
            raise SystemExit(f"{page.name}:{block.line}: what is {block.language}?")
    folder.mkdir(parents=True)
    (folder / "small.toml").write_text(SMALL)
    given = GIVEN.match(page.read_text(encoding="utf-8"))
    for what in given[1].split() if given else ():
        give(folder, what)
    if any(block.language in ("sh", "python") for block in run):
        environment = {"JAX_COMPILATION_CACHE_DIR": str(folder.parent / "cache")} | COMPILED | os.environ
        words = ["bash", "-c", script(run)]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise SystemExit(f"{page}: a block failed\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return len(run), sum(not block.run and block.language not in SHOWN for block in found)


def main() -> None:
    """Check the pages given, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--keep", type=Path, help="new folder in which to leave what the pages made")
    options = parser.parse_args()
    total = installs = 0
    with tempfile.TemporaryDirectory() as temporary:
        for page in options.pages or PAGES:
            started = time.monotonic()
            ran, skipped = check(page.absolute(), (options.keep or Path(temporary)) / page.stem)
            print(f"{page.name}: {ran} blocks, {time.monotonic() - started:.0f} s", flush=True)
            total, installs = total + ran, installs + skipped
    print(f"{total} blocks ran, {installs} are installations")


if __name__ == "__main__":
    main()
