"""The command line in this process: `invoke`, and what a refusal must look like."""

import contextlib
import hashlib
import io
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from scorefield.cli import main


class Result(NamedTuple):
    code: int
    out: str
    err: str


def invoke(*words: object) -> Result:
    """Run `scorefield words...`."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    argv = ["scorefield", *map(str, words)]
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


def assert_refused(result: Result) -> None:
    """Exit code 2, one line on stderr, nothing on stdout."""
    assert result.code == 2, result
    assert result.out == ""
    assert result.err.startswith("error: "), result.err
    assert result.err.count("\n") == 1, result.err
    assert len(result.err) < 600, result.err


def contents(folder: Path) -> dict[str, str]:
    """Every file below `folder` with its hash, folders and links with none."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else ""
        for p in sorted(folder.rglob("*"))
    }
