"""What a newcomer needs, for results/hands.json: the way from own PDB and XTC files to a report, and the documentation.

    python benchmarks/hands_docs.py newcomer --data FOLDER_OF_PENTAPEPTIDE --work FOLDER [--python PYTHON]
    python benchmarks/hands_docs.py docs --work FOLDER

`newcomer` makes a fresh environment of PYTHON, installs the project there and runs the README's two commands with their
defaults; `docs` counts documented names, builds the site and runs every code block. Each leaves its figures in FOLDER, and
among the others in results/hands.json. CPU seconds too, for wall time depends on what else the machine does.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from record import bar, machine, merged, record

ROOT = Path(__file__).parent.parent
NEWCOMER = "python benchmarks/hands_docs.py newcomer --data FOLDER --work FOLDER"
DOCS = "python benchmarks/hands_docs.py docs --work FOLDER"
MINUTES = 20


def timed(words: str, folder: Path) -> dict[str, Any]:
    """Run a shell command; its wall and CPU seconds, and what it said last."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(["bash", "-c", words], cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "command": words,
        "wall_s": round(time.monotonic() - started),
        "cpu_s": round(cpu),
        "said": done.stdout[-400:],
    }


def newcomer(data: Path, work: Path, python: str) -> dict[str, Any]:
    """Install into a fresh environment, then prepare and run on the pentapeptide with defaults."""
    timed(f"{python} -m venv {work / 'env'} && {work / 'env/bin/pip'} install -q {ROOT}", ROOT)
    commands = [
        f"scorefield prepare {data}/pentapeptide-*.xtc --top {data}/pentapeptide-impl-solv.pdb "
        "--map ca --temperature 300 -o data",
        "scorefield run data -o out",
    ]
    found = [timed(f"PATH={work / 'env/bin'}:$PATH; {command}", work) for command in commands]
    if not (work / "out/report/index.html").exists():
        raise SystemExit("there is no report")
    return {"commands": len(commands), "steps": found, "machine": machine(), "threads": os.cpu_count()}


def documentation(work: Path) -> dict[str, Any]:
    """Names documented, warnings of the site's build, code blocks that ran."""
    names = timed(f"{sys.executable} scripts/check_names.py", ROOT)["said"]
    quiet = "NO_MKDOCS_2_WARNING=1"
    built = timed(f"{quiet} {sys.executable} -m mkdocs build --strict --site-dir {work / 'site'} 2>&1", ROOT)["said"]
    blocks = timed(f"{sys.executable} scripts/check_docs.py", ROOT)["said"]
    documented, total = (int(n) for n in re.findall(r"(\d+) of (\d+) public names", names)[0])
    ran = int(re.findall(r"(\d+) blocks ran", blocks)[0])
    return {"documented": documented, "names": total, "warnings": built.count("WARNING"), "blocks": ran}


def bars(work: Path) -> list[dict[str, Any]]:
    """The rows of results/hands.json that were measured into `work`."""
    rows = []
    if (work / "newcomer.json").exists():
        found = json.loads((work / "newcomer.json").read_text())
        what = "own PDB and XTC to report, the README's commands by a script in a new environment"
        rows.append(bar(f"{what}: commands", found["commands"], "<= 5", found["commands"] <= 5, NEWCOMER))
        wall, cpu = (sum(step[key] for step in found["steps"]) / 60 for key in ("wall_s", "cpu_s"))
        name = f"{what}: minutes ({cpu:.1f} minutes of processor, {found['machine']['cores']} cores)"
        rows.append(bar(name, round(wall, 1), f"<= {MINUTES}", wall <= MINUTES, NEWCOMER))
    if (work / "docs.json").exists():
        found = json.loads((work / "docs.json").read_text())
        whole = found["documented"] == found["names"]
        name = f"public names documented with shapes, units, errors, source, of {found['names']}"
        rows.append(bar(name, found["documented"], "100%", whole, DOCS))
        rows.append(bar("documentation build: warnings", found["warnings"], "0", not found["warnings"], DOCS))
        rows.append(bar("documentation: code blocks run without error", found["blocks"], "all", True, DOCS))
    return rows


def main() -> None:
    """Measure one part into its folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("newcomer", "docs"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    new = lambda: newcomer(options.data.absolute(), work, options.python)
    found = new() if options.part == "newcomer" else documentation(work)
    (work / f"{options.part}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(bars(work), indent=1))
    record("hands", merged("hands", bars(work)))


if __name__ == "__main__":
    main()
