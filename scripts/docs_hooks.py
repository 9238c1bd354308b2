"""MkDocs hooks: lines `<!-- made: NAME ARGUMENT -->` in a page become what `MAKERS` makes of them, when the site is built.

An unknown name, a missing result or an exception ends the build.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import docs_reference
import docs_results
import docs_tables

ROOT = Path(__file__).parent.parent
MADE = re.compile(r"^<!-- made: (\w+)(?: (\S+))? -->$", re.MULTILINE)


def _file(path: str) -> str:
    """A Markdown file of the project's root, its links to files of the project as plain code."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return re.sub(r"\[([^]]+)\]\((?!https?:|#)[^)]+\)", r"`\1`", text)


MAKERS: dict[str, Callable[..., str]] = {
    "bars": docs_results.bars,
    "results": docs_results.everything,
    "peers": docs_results.peers,
    "held_out": docs_results.held_out,
    "curves": docs_results.curves,
    "cells": docs_tables.group,
    "commands": docs_reference.commands,
    "settings": docs_reference.settings,
    "names": docs_reference.names,
    "metrics": docs_reference.metrics,
    "judged": docs_reference.judged,
    "checks": docs_reference.checks,
    "file": _file,
}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in what is made."""
    return MADE.sub(lambda match: MAKERS[match[1]](*filter(None, [match[2]])), markdown)
