"""Folders on disk: written beside their final name and moved into place whole, checked when read.

Every folder holds one JSON description with `format`, `version` and the sha256 of its arrays. No pickle anywhere.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float

from .errors import InputError
from .extras import versions

VERSION = 1
VERSIONS = {"run": 6, "checkpoint": 6}
"""Forms whose version is not `VERSION`. Run 2: the prior is a sum of terms; 3: its stiff distances carry a correction; 4: a
baseline with the covariance of the beads; 5: the stiff distances' noise is that of the frame; 6: the
network of beads is scaled by noise. A checkpoint's is that of its run."""


def refuse_existing(path: Path | str) -> Path:
    """`path`, after making sure that nothing is there and something can be. Raises InputError otherwise.

    To be called before the work whose result goes to `path`: nobody should wait for what cannot be written.
    """
    path = Path(path)
    with explain_os_errors(path):
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} exists already; nothing was written. Choose another -o, or remove it first")
        above = next(p for p in path.absolute().parents if p.exists() or p.is_symlink())
        if not above.is_dir():
            raise InputError(f"{path} cannot be made: {above} is not a folder")
        if not os.access(above, os.W_OK | os.X_OK):
            raise InputError(f"{path} cannot be made: no permission to write in {above}")
    return path


@contextlib.contextmanager
def new_folder(path: Path | str) -> Iterator[Path]:
    """A temporary folder that becomes `path` by one rename when the block ends well, and disappears otherwise.

    Raises InputError if `path` exists or cannot be written.
    """
    path = refuse_existing(path)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield draft
            draft.chmod(0o755)
            os.rename(draft, refuse_existing(path))
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextlib.contextmanager
def explain_os_errors(path: Path | str) -> Iterator[None]:
    """Turn what the operating system refuses (full disk, no permission, no such file) into one InputError."""
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error)).lower()
        hidden = f".{Path(path).name}." in str(error.filename)  # a draft of `path`: not a name that the user gave
        where = path if hidden or not error.filename else error.filename
        raise InputError(f"cannot use {where}: {reason}; nothing was overwritten") from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file name to write to; it becomes `path` by one rename when the block ends well, and disappears otherwise."""
    draft = path.with_name(f".{path.name}.draft")
    with explain_os_errors(path):
        try:
            yield draft
            flush(draft)
            os.replace(draft, path)
            flush(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until what was written to a file, or the names in a folder, would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` by atomic rename."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write `data` to `path` by atomic rename."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """The description in `path`, checked to be of format `kind` and a version that this release reads.

    Raises InputError otherwise.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"{path} is missing or unreadable; is {path.parent} a {kind} folder?") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is damaged: not valid JSON; make the folder anew") from None
    if not isinstance(data, dict) or data.get("format") != f"scorefield-{kind}":
        raise InputError(f"{path} does not describe a {kind} folder")
    if data.get("version") != (ours := VERSIONS.get(kind, VERSION)):
        raise InputError(f"{path} has format version {data.get('version')!r}; this release reads {ours}")
    return data


def describe(form: str, /, **content: Any) -> dict[str, Any]:
    """A description of format `form` at this release's version, with the versions of what wrote it."""
    made_with = versions("scorefield", "jax", "numpy")
    return {"format": f"scorefield-{form}", "version": VERSIONS.get(form, VERSION), "versions": made_with, **content}


def temperature_in(description: dict[str, Any]) -> float:
    """The temperature in K that a description states. Raises InputError if it states none: a guess would scale forces."""
    stated = description.get("temperature_K")
    if stated is None:
        raise InputError(
            "no temperature_K is stated, and forces are in units of kT; make the folder anew, with a temperature"
        )
    return float(stated)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a description from `path` is taken apart into one InputError that names the file."""
    try:
        yield
    except InputError as error:
        raise error if str(path.parent) in str(error) else InputError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError, MemoryError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_array(path: Path, shape: tuple[int | None, ...], digest: str | None = None) -> np.ndarray:
    """The float32 array in `path`, memory-mapped; None in `shape` is any length.

    Raises InputError if shape, type or `digest` is not as described.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise InputError(f"{path} is missing or unreadable") from None
    except Exception:  # numpy parses the header as Python, so a mangled one may raise anything
        raise InputError(f"{path} is damaged: not a .npy file or cut short; make the folder anew") from None
    fits = array.ndim == len(shape) and all(n in (m, None) for m, n in zip(array.shape, shape, strict=True))
    if not fits or array.dtype != np.float32:
        raise InputError(f"{path} holds {array.dtype} {array.shape}, but its description says float32 {shape}")
    if digest is not None and sha256(path) != digest:
        raise InputError(f"{path} has changed since it was written (sha256 differs); make the folder anew")
    return array


def write_array(path: Path, array: np.ndarray) -> None:
    """Write `array` as a float32 .npy file, `read_array`'s inverse."""
    with ArrayFile(path, array.shape[1:]) as file:
        file.append(array)


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Begin a float32 .npy file; numpy pads this header so that the first axis can grow in place."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


class ArrayFile:
    """A float32 .npy file of shape (length, *row) that grows as rows are appended; a context manager."""

    def __init__(self, path: Path, row: tuple[int, ...]) -> None:
        self.length = 0
        self._row = row
        self._file = open(path, "wb")  # noqa: SIM115 (closed by __exit__)
        self._write_header()

    def _write_header(self) -> None:
        self._file.seek(0)
        write_header(self._file, (self.length, *self._row))

    def append(self, rows: Float[np.ndarray, "f ..."]) -> None:
        """Add `rows` at the end."""
        self._file.write(np.ascontiguousarray(rows, "<f4").data)
        self.length += len(rows)

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._write_header()
        finally:
            self._file.close()
