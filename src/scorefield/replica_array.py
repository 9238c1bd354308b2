"""`ReplicaArray`: a float32 .npy file of what replicas give, chain after chain, written while they run.

Every replica has room for all frames it will have, so that frame k of a replica has one place from the start: what a
kill tore is written again, and nothing is sorted at the end. Where replicas were lost, or a simulation goes on for
longer than was meant, `repack` moves the chains together or apart.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from .errors import InputError
from .storage import read_array, replacing, write_header

_CHUNK_BYTES = 1 << 24


class ReplicaArray:
    """The file `path` of rows of shape `row`, of replicas that have `lengths` frames in it; a context manager.

    Raises InputError if the file is missing or damaged, or has no place for these chains.
    """

    def __init__(self, path: Path, row: tuple[int, ...], lengths: Sequence[int] | Int[np.ndarray, " r"]) -> None:
        mapped = read_array(path, (None, *row))
        assert isinstance(mapped, np.memmap)
        self.path, self.row, self._lengths = path, row, np.asarray(lengths, np.int64)
        self.n_rows, self._offset = len(mapped), mapped.offset
        self._row_bytes = 4 * int(np.prod(row, dtype=np.int64))
        if path.stat().st_size != self._offset + self.n_rows * self._row_bytes:
            raise InputError(f"{path} is damaged: longer than its header says; make the folder anew")
        self._first = self._first_rows()
        self._file = os.open(path, os.O_RDWR)

    def _first_rows(self) -> Int[np.ndarray, " r"]:
        """Where each replica begins: chains are packed, or else have the same room each."""
        n, lengths = len(self._lengths), self._lengths
        if self.n_rows == lengths.sum():
            return np.cumsum(lengths) - lengths
        room, left = divmod(self.n_rows, n)
        if left or room < lengths.max():
            raise InputError(f"{self.path} has {self.n_rows} rows, no place for {n} chains of {lengths.max()} frames")
        return room * np.arange(n)

    def write(self, done: int, values: Float[np.ndarray, "r ..."], which: Sequence[int]) -> None:
        """Put `values` of the replicas `which` in the place of frame number `done`."""
        for k in which:
            self._write(self._first[k] + done, values[k])

    def _write(self, first: int, rows: np.ndarray) -> None:
        data, position = np.ascontiguousarray(rows, "<f4").data.cast("B"), self._offset + first * self._row_bytes
        while data:
            n = os.pwrite(self._file, data, int(position))
            data, position = data[n:], position + n

    def read(self, replica: int, start: int, stop: int) -> Float[np.ndarray, "f ..."]:
        """Frames `start` to `stop` of one replica."""
        position = self._offset + (self._first[replica] + start) * self._row_bytes
        data = os.pread(self._file, (stop - start) * self._row_bytes, int(position))
        return np.frombuffer(data, "<f4").reshape(stop - start, *self.row)

    def chunks(self, replica: int, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """Frames `start` to `stop` of one replica, some at a time, each part with the number of its first frame."""
        size = max(1, _CHUNK_BYTES // self._row_bytes)
        for first in range(start, stop, size):
            yield first, self.read(replica, first, min(first + size, stop))

    def check(self, checksums: Sequence[int] | Int[np.ndarray, " r"]) -> None:
        """Raise InputError unless each replica's frames have these `checksums` (see `extended`)."""
        for k, (length, wanted) in enumerate(zip(self._lengths, checksums, strict=True)):
            found = 0
            for _, rows in self.chunks(k, 0, int(length)):
                found = zlib.crc32(rows.tobytes(), found)
            if found != wanted:
                raise InputError(
                    f"{self.path} has changed since it was written: frames of replica {k} do not fit their checksum; "
                    "simulate anew, into another folder"
                )

    def flush(self) -> None:
        """Wait until what was written would outlive a power cut."""
        os.fsync(self._file)

    def __enter__(self) -> "ReplicaArray":
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._file)


def extended(checksums: np.ndarray, values: Float[np.ndarray, "r ..."], which: Sequence[int]) -> np.ndarray:
    """CRC-32 of each replica's frames, `checksums`, with one more frame each of the replicas `which`."""
    found = checksums.copy()
    for k in which:
        found[k] = zlib.crc32(np.ascontiguousarray(values[k], "<f4").tobytes(), int(found[k]))
    return found


def file_checksum(path: Path, end: int) -> int | None:
    """CRC-32 of the first `end` bytes of a file; None if it has fewer."""
    found = 0
    try:
        with open(path, "rb") as file:
            while end and (data := file.read(min(end, _CHUNK_BYTES))):
                found, end = zlib.crc32(data, found), end - len(data)
    except OSError:
        return None if end else 0
    return None if end else found


def allot(path: Path, n_rows: int, row: tuple[int, ...]) -> None:
    """A file with place for `n_rows`; where the file system can, it takes disk space only as it is written."""
    with open(path, "wb") as file:
        write_header(file, (n_rows, *row))
        file.truncate(file.tell() + 4 * n_rows * int(np.prod(row, dtype=np.int64)))


def repack(path: Path, row: tuple[int, ...], lengths: Sequence[int] | np.ndarray, room: int | None) -> None:
    """Lay the chains out anew, with `room` frames each or packed, by one rename. Raises InputError as ReplicaArray does."""
    n_rows = int(np.sum(lengths)) if room is None else room * len(lengths)
    with ReplicaArray(path, row, lengths) as old:
        if n_rows == old.n_rows:
            return
        with replacing(path) as draft:
            allot(draft, n_rows, row)
            with ReplicaArray(draft, row, lengths) as new:
                for k, length in enumerate(lengths):
                    for start, rows in old.chunks(k, 0, int(length)):
                        new._write(new._first[k] + start, rows)
