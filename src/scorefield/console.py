"""What the commands show: results on stdout; progress, warnings and errors on stderr."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

_LINE_SECONDS = 600.0

Update = Callable[[float, str], None]
"""Called with what is done of a part, and a word on how it goes."""


@contextlib.contextmanager
def progress(name: str, total: float) -> Iterator[Update]:
    """How far a part has come: a bar in a terminal; elsewhere (a log file, say) a line every ten minutes and at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        with _lines(name, total) as update:
            yield update
        return
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=total, state="")
        yield lambda done, state: bar.update(task, completed=done, state=state)


@contextlib.contextmanager
def working(name: str) -> Iterator[None]:
    """That something is at work whose length cannot be told: a spinner in a terminal, nothing elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(name) if console.is_terminal else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _lines(name: str, total: float) -> Iterator[Update]:
    last, started = [""], time.monotonic()
    said, first = [started], list[tuple[float, float]]()

    def update(done: float, state: str) -> None:
        last[0], now = state, time.monotonic()
        first[:] = first or [(done, now)]
        if now - said[0] > _LINE_SECONDS and done > first[0][0]:
            left = (total - done) * (now - first[0][1]) / (done - first[0][0])
            print(f"{name}: {done / total:.1%}, {state}, {left / 3600:.1f} h left", file=sys.stderr, flush=True)
            said[0] = now

    yield update
    words = f"{name}: {last[0]}" if last[0] else name
    print(f"{words} ({time.monotonic() - started:.0f} s)", file=sys.stderr)


def say(data: Any, as_json: bool, text: str, notes: list[str]) -> None:
    """The result of a command: `data` as JSON or `text` for people; `notes` are warnings."""
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    print(json.dumps(data, indent=1, allow_nan=False) if as_json else text)


def table(content: Any) -> None:
    """A rich table, 120 characters wide where no terminal says otherwise."""
    from rich.console import Console

    console = Console()
    console = console if console.is_terminal else Console(width=120)
    console.print(content)
