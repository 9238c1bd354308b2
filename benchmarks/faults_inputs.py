"""Rubbish for every reader, in process and by the real command: what is not refused with one clean line is wrong."""

import contextlib
import copy
import hashlib
import io
import json
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from scorefield.cli import main
from scorefield.dataset import load_dataset
from scorefield.dynamics import State
from scorefield.errors import InputError
from scorefield.folders import describe_folder
from scorefield.frames import load_frames
from scorefield.model import load_model
from scorefield.prepare import prepare
from scorefield.record import read_record

SECONDS = 30
VALUES = [
    None,
    True,
    -1,
    0,
    10**30,
    -1.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "../../etc/passwd",
    "NaN",
    "\0",
    "Å" * 99,
]
VALUES += [[], [[]], [None], [1, "a"], {}, {"a": {}}, [[0] * 9] * 9, 2**31, 2**63, "0" * 64, [[1e308] * 3]]
WORDS = (
    "prepare train sample simulate evaluate verify run systems info --help --version -o out -n --json --resume --map ca"
)
WORDS += (
    " --temperature --split --steps --time-ns --start --reference a=b --config missing . / 0 -1 nan 1e400 - --- --seed"
)
WORDS += " --no-json --json=maybe Å * $HOME [red] ' {} --replicas 1e30 --save-ps --dt-fs --level auto paper/alanine ala2 data"
Outcome = tuple[list[str], int]
"""What went wrong, in words; and how many inputs were refused as they should be."""


def malformed_inputs(data: Path, run: Path, frames: Path, work: Path, amount: int, seed: int) -> Outcome:
    """`amount` damaged files and command lines, each read in this process."""
    rng, wrong, refused = random.Random(seed), [], 0
    folders = fresh(work, data=data, run=run, frames=frames)
    identity = json.loads((frames / "state.json").read_text())["settings"]
    arrays, like = ["frames", "energies", "temperatures"], jax.eval_shape(lambda: State(*[jnp.zeros((8, 4, 3))] * 3))
    readers: dict[str, Callable[[Path], Any]] = {
        "data": load_dataset,
        "run": load_model,
        "frames": load_frames,
        "record": lambda path: read_record(path, identity, like, arrays),
        "info": describe_folder,
        "prepare": lambda path: prepared(path, work),
    }
    files = {"data": folders["data"], "run": folders["run"]} | dict.fromkeys(
        ("frames", "record", "prepare"), folders["frames"]
    )
    for k in range(amount):
        name = rng.choice([*readers, "words"])
        if name == "words":
            what, verdict = words_verdict(rng, work)
        else:
            folder = files.get(name) or rng.choice(list(folders.values()))
            with damaged(folder, rng) as what:
                verdict = read_verdict(readers[name], folder)
        refused += verdict == "refused"
        if verdict not in ("refused", "valid"):
            wrong.append(f"{k} {name}: {what}: {verdict}")
    return wrong, refused


def fresh(work: Path, **folders: Path) -> dict[str, Path]:
    """Copies in `work` of folders, to be damaged."""
    shutil.rmtree(work, ignore_errors=True)
    for name, folder in folders.items():
        shutil.copytree(folder, work / name)
    return {name: work / name for name in folders}


def prepared(path: Path, work: Path) -> None:
    """Beads in the place of atoms."""
    out = work / "prepared"
    try:
        prepare([path / "replica_0000.xtc"], path / "topology.pdb", "name CA", 300.0, out)
    finally:
        shutil.rmtree(out, ignore_errors=True)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise TimeoutError in what takes more than `SECONDS` of the processor."""

    def late(*_: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def read_verdict(reader: Callable[[Path], Any], folder: Path) -> str:
    before = names(folder)
    try:
        with limited():
            reader(folder)
    except InputError as error:
        return "refused" if clean(str(error)) and names(folder) == before else f"an unclean line: {error}"
    except Exception as error:  # whatever it is, it is what we look for
        return f"{type(error).__name__}: {error}"
    return "valid"


def names(folder: Path) -> list[tuple[str, int]]:
    return sorted((p.name, p.stat().st_size) for p in folder.iterdir())


def clean(line: str) -> bool:
    return bool(line.strip()) and "\n" not in line and "Traceback" not in line


def words_verdict(rng: random.Random, work: Path) -> tuple[str, str]:
    """Any words after `scorefield`."""
    empty = work / "empty"
    empty.mkdir(exist_ok=True)
    rubbish = lambda: "".join(map(chr, rng.choices(range(1, 0x2FF), k=rng.randrange(6))))
    words = [rng.choice(WORDS.split()) if rng.random() < 0.85 else rubbish() for _ in range(rng.randrange(8))]
    out, err, code = io.StringIO(), io.StringIO(), 0
    redirected = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with mock.patch.object(sys, "argv", ["scorefield", *words]), contextlib.chdir(empty), redirected[0], redirected[1]:
        try:
            with limited():
                main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        except Exception as error:
            return str(words), f"{type(error).__name__}: {error}"
    if any(empty.iterdir()):
        return str(words), "wrote something"
    return str(words), {0: "valid", 2: "refused" if refusal(err.getvalue()) else "unclean"}.get(
        code, f"exit code {code}"
    )


def refusal(err: str) -> bool:
    return err.startswith("error: ") and err.count("\n") == 1


@contextlib.contextmanager
def damaged(folder: Path, rng: random.Random) -> Iterator[str]:
    """Damage a file of `folder`, say how, and put it right again."""
    path = rng.choice(sorted(p for p in folder.iterdir() if p.is_file()))
    described = next(iter(sorted(folder.glob("*.json"))))
    kept = {p: p.read_bytes() for p in {path, *folder.glob("*.json")}}
    how = rng.choice(("value", "value", "without", "bytes")) if path.suffix == ".json" else "bytes"
    if path.suffix == ".toml" and rng.random() < 0.5:
        how = "number"
        path.write_bytes(other_number(kept[path], rng))
    elif how == "bytes":
        path.write_bytes(rubbish_for(kept[path], rng))
        if rng.random() < 0.5:  # with the right hash in the description, so that what comes after it is reached
            reseal(folder, path, kept[path])
    else:
        content = json.loads(kept[path])
        how = f"{how} {change(content, how, rng)}"
        path.write_text(json.dumps(content))
    try:
        yield f"{described.parent.name}/{path.name} {how}"
    finally:
        for p, content in kept.items():
            p.write_bytes(content)


def rubbish_for(content: bytes, rng: random.Random) -> bytes:
    at, n = rng.randrange(len(content) + 1), rng.randrange(1, 64)
    kind = rng.randrange(8)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content + rng.randbytes(n)
    if kind == 2:
        return rng.randbytes(len(content))
    if kind == 3:
        return b"[" * 100_000
    if kind == 4:
        return b""
    if kind == 5:  # headers are at the beginning
        at = rng.randrange(min(len(content), 256) + 1)
    return content[:at] + rng.randbytes(n) + content[at + n :]


def other_number(content: bytes, rng: random.Random) -> bytes:
    """A number of a TOML file replaced by another, the largest that are allowed too."""
    found = rng.choice(list(re.finditer(rb"(?<== )[0-9.e-]+", content)))
    number = rng.choice(
        (b"0", b"-1", b"1", b"1000", b"65536", b"2147483647", b"1e30", b"1e-30", b"nan", b"inf", b"0x10")
    )
    return content[: found.start()] + number + content[found.end() :]


def reseal(folder: Path, path: Path, before: bytes) -> None:
    old, new = (hashlib.sha256(content).hexdigest() for content in (before, path.read_bytes()))
    for description in folder.glob("*.json"):
        with contextlib.suppress(ValueError):
            description.write_text(description.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def change(content: Any, how: str, rng: random.Random) -> str:
    """Put rubbish somewhere into nested plain types, or take something away."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key = rng.choice(keys)
        if isinstance(content[key], dict | list) and content[key] and rng.random() < 0.7:
            content = content[key]
            continue
        if how == "without":
            del content[key]
            return str(key)
        content[key] = copy.deepcopy(rng.choice(VALUES))
        return f"{key} = {str(content[key])[:40]}"


def malformed_commands(data: Path, run: Path, frames: Path, work: Path, amount: int, seed: int) -> Outcome:
    """Damaged folders given to the command in a process of its own: exit code 0 or 2, one line, nothing else touched."""
    rng, wrong, refused = random.Random(seed), [], 0
    folders = fresh(work, data=data, run=run, frames=frames)
    lines = {
        "run": "sample run -n 8 -o out",
        "data": "train data -o out --steps 0",
        "frames": "evaluate a=frames --reference data -o out",
    }
    for k in range(amount):
        name = rng.choice(list(lines))
        with damaged(folders[name], rng) as what:
            words = [sys.executable, "-c", "from scorefield.cli import main; main()", *lines[name].split()]
            found = subprocess.run(words, cwd=work, capture_output=True, text=True, timeout=300)
        refused += found.returncode == 2
        bad = found.returncode not in (0, 2) or (found.returncode == 2 and not refusal(found.stderr))
        if bad or (found.returncode == 2 and (work / "out").exists()):
            wrong.append(f"{k} {lines[name]}: {what}: exit code {found.returncode}: {found.stderr[-200:]}")
        shutil.rmtree(work / "out", ignore_errors=True)
    return wrong, refused
