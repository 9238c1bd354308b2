"""How a command ends when it does not end well: one line on stderr, and an exit code that scripts can tell apart.

2 bad input, or a limit of the machine (disk, memory); 130 Ctrl-C; 143 SIGTERM, as batch systems send it.
"""

import contextlib
import errno
import io
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError

_ASK_AGAIN_SECONDS = 0.02
_NO_MEMORY = ("RESOURCE_EXHAUSTED", "annot allocate memory", "failed to map segment")


class Terminated(KeyboardInterrupt):
    """SIGTERM: left as cleanly as by Ctrl-C."""


@contextlib.contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Say how to go on when the block is interrupted and `out` holds something to go on from."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if not out.exists():
            raise
        words = [word for word in sys.argv[1:] if word != "--resume"]
        raise type(stop)(f"go on with: scorefield {shlex.join(words)} --resume") from None


@contextlib.contextmanager
def ending(*bad_input: type[Exception]) -> Iterator[None]:
    """Run a command; InputError and `bad_input` are what its user got wrong. What is left is a fault of ours."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # the name of a file must not end a command
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        with _interrupts_heard():
            yield
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        print(f"interrupted; {str(stop) or 'nothing was written'}", file=sys.stderr)
        sys.exit(143 if isinstance(stop, Terminated) else 130)
    except BrokenPipeError:  # the reader of a pipe, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        line = str(error) if isinstance(error, (InputError, *bad_input)) else _limit(error)
        if line is None:
            raise
        print(f"error: {' '.join(line.split())}", file=sys.stderr)
        sys.exit(2)
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextlib.contextmanager
def _interrupts_heard() -> Iterator[None]:
    """Interrupt again where once was in vain: Python ignores what is raised in finalizers and the like (JAX has some)."""
    previous_hook, swallowed = sys.unraisablehook, KeyboardInterrupt

    def ask_again(ignored: "sys.UnraisableHookArgs") -> None:
        nonlocal swallowed
        if not isinstance(ignored.exc_value, KeyboardInterrupt):
            return previous_hook(ignored)
        swallowed = type(ignored.exc_value)
        signal.setitimer(signal.ITIMER_REAL, _ASK_AGAIN_SECONDS)

    def interrupt(signum: int, frame: object) -> None:
        raise swallowed

    sys.unraisablehook, previous_handler = ask_again, signal.signal(signal.SIGALRM, interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = previous_hook
        signal.signal(signal.SIGALRM, previous_handler)


def _terminate(signum: int, frame: object) -> None:
    raise Terminated


def _limit(error: Exception) -> str | None:
    """Which limit of the machine `error` is about; None if it is about none."""
    if isinstance(error, MemoryError) or any(word in str(error) for word in _NO_MEMORY):
        return "out of memory; ask for fewer samples or replicas at a time, or a smaller training.batch"
    if isinstance(error, OSError):
        reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error)).lower()
        return f"cannot use {error.filename}: {reason}" if error.filename else f"input or output failed: {reason}"
    return None
