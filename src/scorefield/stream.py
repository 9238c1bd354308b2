"""A simulation as a folder that is written while it runs, and that goes on after any end.

frames.npy, energies.npy, temperatures.npy   a row a frame, replica after replica: nm; potential of mean force, kJ/mol
                                             (not of direct networks); kinetic temperature, K
replica_0000.xtc ...                         the frames for viewers, as of the last save
state.json, state-N.safetensors              what is done, to go on from (`record`)
lost/replica_0003.json ...                   what became of a replica that was lost (`postmortem`)
simulation.json                              the description (`frames`): written last, and gone while the folder grows

A save first makes sure of the frames and then replaces the record: a kill at any moment leaves a record all of whose
frames are there, and what came after it is written again, the same. The record has a checksum of every replica's
frames, so that files that lost or changed some are refused.
"""

import contextlib
import shutil
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from .errors import InputError
from .frames import Frames, describe_frames, load_frames
from .lock import locked
from .model import Model
from .postmortem import LAST, MOST, examine
from .processes import leading
from .protocol import Pace, Protocol, RunProgress
from .record import Loss, Record, block_of, read_record, write_record
from .replica_array import ReplicaArray, allot, extended, file_checksum, repack
from .replicas import AnyState, Replicas, lead
from .simulate import ALL_LOST
from .storage import explain_os_errors, new_folder, read_array, refuse_existing
from .structure import append_xtc, write_pdb
from .tensors import fingerprint
from .trajectory import Trajectory

SAVE_SECONDS = 20.0
"""The simulation that a kill may cost; more where saving takes more than a twentieth of it."""

_SAVING_SHARE = 20
_UNSEEN = "its frame is whole, but a velocity, a force or a larger noise level that it exchanges with is not finite"


def simulate_into(
    path: Path,
    model: Model,
    starts: Callable[[], Float[np.ndarray, "r n 3"]],
    time_ps: float,
    *,
    save_ps: float,
    replicas: int,
    block: int | None = None,
    start: str = "given",
    notes: Sequence[str] = (),
    resume: bool = False,
    on_progress: Callable[[RunProgress], None] | None = None,
    **settings: Any,
) -> Frames:
    """Langevin dynamics as `simulate.simulate`, of `replicas` from `starts` (nm), into the folder `path` as it goes.

    With `resume`, go on with what `path` holds, to `time_ps` in all; `starts` is then not called, and a simulation that
    has ended goes on if `time_ps` is longer. At most `block` replicas are one batch (see `blocks`). `start` says what
    the starts are, `notes` what the frames' reader must know; `settings` as for `Protocol.of`. Raises InputError if
    `path` exists and `resume` is False, if it holds no simulation, another one, a damaged one or a longer one, if
    another process is at work in it, or the disk is full. Of several processes at one work (`processes.join`) the first one
    calls this, the others `replicas.follow`.
    """
    with leading():
        protocol = Protocol.of(model, time_ps, save_ps=save_ps, **settings)
        running = lead(model, protocol, replicas, block or (block_of(path) if resume else None))
        stated = protocol.settings(model, replicas) | {"start": start, "block": running.blocks.size}
        stream = Stream(path, model, running, stated)
        if not resume:
            stream.begin(starts)
        stream.require()
        with locked(path), stream:
            if not stream.finished:
                if stream.record.alive.any():
                    stream.run(on_progress or (lambda progress: None))
                stream.finish(notes)
        return load_frames(path)


class Stream:
    """The folder `path` of a simulation by `running`, as `settings` state it; a context manager.

    On entering, the record is read and the files are made fit for all frames that are to come. Raises InputError if they
    are damaged, of another simulation, or hold more frames than are wanted.
    """

    def __init__(self, path: Path, model: Model, running: Replicas, settings: dict[str, Any]) -> None:
        self._path, self._model, self._running, self._settings = path, model, running, settings
        protocol = running.protocol
        identity = {"model": fingerprint(model.score), "temperature_K": protocol.temperature, **settings}
        identity["save_ps"] = protocol.interval
        self._identity = {k: v for k, v in identity.items() if k not in ("time_ps", "force_level")}
        self._rows: dict[str, tuple[int, ...]] = {"frames": (model.molecule.n_beads, 3)}
        self._rows |= {name: () for name in running.observed}
        self._arrays: dict[str, ReplicaArray] = {}
        self._open = contextlib.ExitStack()
        self._saved, self._saved_at, self._cost = 0, 0.0, 0.0

    def begin(self, starts: Callable[[], Float[np.ndarray, "r n 3"]]) -> None:
        """Make the folder, with the replicas at `starts` (nm). Raises InputError if it exists or cannot hold the frames."""
        refuse_existing(self._path)
        state = self._running.start(starts())
        with new_folder(self._path) as draft:
            self._require_space(draft)
            write_pdb(draft / "topology.pdb", self._model.molecule, np.asarray(state.recorded.x[0]))
            for name, row in self._rows.items():
                allot(draft / f"{name}.npy", self._running.n * self._running.protocol.n_frames, row)
            self._write(draft, Record.at_start(state, list(self._rows)))

    def _require_space(self, folder: Path) -> None:
        numbers = sum(int(np.prod(row, dtype=np.int64)) for row in self._rows.values())
        needed, free = 4 * numbers * self._running.n * self._running.protocol.n_frames, shutil.disk_usage(folder).free
        if needed > free:
            raise InputError(
                f"the frames take {needed / 1e9:.3g} GB, the disk of {self._path} has {free / 1e9:.3g} GB free; "
                "choose a larger --save-ps, or make room"
            )

    def require(self) -> None:
        """Raise InputError if there is nothing to go on with."""
        if not (self._path / "state.json").exists():
            raise InputError(f"{self._path} has no simulation to go on with; leave --resume away to start one")

    def __enter__(self) -> "Stream":
        self.record = read_record(self._path, self._identity, self._running.like, list(self._rows))
        self._saved, interval = self.record.frames, self._running.protocol.interval
        if self.record.frames > (total := self._running.protocol.n_frames):
            there, wanted = (f"{n * interval / 1e3:g} ns" for n in (self.record.frames, total))
            raise InputError(f"{self._path} has {there} already, not {wanted}: --time-ns is the time in all")
        if not self.finished:
            with contextlib.ExitStack() as stack:
                self._prepare(stack)
                self._open = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    @property
    def finished(self) -> bool:
        """Whether everything is done and written."""
        done = self.record.frames == self._running.protocol.n_frames or not self.record.alive.any()
        return done and (self._path / "simulation.json").exists()

    def _prepare(self, stack: contextlib.ExitStack) -> None:
        """Away with drafts of a killed process, room for all frames, and no viewer's file that lacks some."""
        for left in [*self._path.glob(".*.draft"), *self._path.glob(".*.part")]:
            left.unlink()
        for name, row in self._rows.items():
            self._make_room(self._path / f"{name}.npy", row, self.record.checksums[name])
            self._arrays[name] = stack.enter_context(ReplicaArray(self._path / f"{name}.npy", row, self.record.lengths))
        for k, (_, end, checksum) in enumerate(self.record.xtc.tolist()):
            if file_checksum(self._xtc(k), end) != checksum:
                self.record.xtc[k] = 0  # it will be made again from frames.npy

    def _make_room(self, path: Path, row: tuple[int, ...], checksums: np.ndarray) -> None:
        lengths, room = self.record.lengths, self._running.protocol.n_frames
        with ReplicaArray(path, row, lengths) as array:
            array.check(checksums)
            if array.n_rows < room * len(lengths):
                self._require_space(self._path)
        with explain_os_errors(path):
            (self._path / "simulation.json").unlink(missing_ok=True)
            repack(path, row, lengths, room)

    def _xtc(self, replica: int) -> Path:
        return self._path / f"replica_{replica:04d}.xtc"

    def run(self, on_progress: Callable[[RunProgress], None]) -> None:
        """Simulate and write what is left. Whatever ends it early, what was done by then is saved first."""
        pace = Pace(self.record.seconds)
        on_progress(self._progress(None))
        self._saved_at = time.monotonic()
        try:
            for done, state, x in self._running.frames(self.record.state, self.record.frames):
                self._append(done, state, x[:, 0])
                self.record = self.record._replace(seconds=pace.seconds())
                on_progress(self._progress(pace.frames_a_second(done)))
                if not self.record.alive.any():
                    break
                if time.monotonic() - self._saved_at > max(SAVE_SECONDS, _SAVING_SHARE * self._cost):
                    self.save()
        except BaseException as stop:
            with contextlib.suppress(InputError):
                self.save()
            if isinstance(stop, InputError):
                raise InputError(f"{stop}; {self._kept()}") from None
            raise

    def _progress(self, frames_a_second: float | None) -> RunProgress:
        protocol, record = self._running.protocol, self.record
        speed = None if frames_a_second is None else frames_a_second * protocol.interval * 86.4
        total = protocol.n_frames * protocol.interval
        return RunProgress(record.frames * protocol.interval, total, self._running.n, len(record.losses), speed)

    def _kept(self) -> str:
        return f"{self._path} keeps {self._saved * self._running.protocol.interval:g} ps: go on with --resume"

    def _append(self, done: int, state: AnyState, x: Float[np.ndarray, "r n 3"]) -> None:
        record, model = self.record, self._model
        finite = np.all([np.isfinite(a).reshape(len(a), -1).all(axis=1) for a in (state.v, state.f)], axis=0)
        shown = model.physical.intact(x, model.molecule)
        intact = record.alive & finite & shown
        time_ps = round(done * self._running.protocol.interval, 6)
        lost = np.flatnonzero(record.alive & ~intact).tolist()
        why = [_UNSEEN if shown[k] else model.physical.fault(x[k], model.molecule) for k in lost]
        losses = [Loss(k, done - 1, time_ps, words) for k, words in zip(lost, why, strict=True)]
        values, which = {"frames": x, **self._running.observe(state)}, np.flatnonzero(intact).tolist()
        with explain_os_errors(self._path):
            examined = losses[: max(0, MOST - len(record.losses))]
            examine(self._path / "lost", examined, self._last_frames, record.state, state, self._running, model)
            for name, array in self._arrays.items():
                array.write(record.frames, values[name], which)
        self.record = record._replace(
            frames=done,
            state=state,
            lengths=record.lengths + intact,
            checksums={name: extended(sums, values[name], which) for name, sums in record.checksums.items()},
            losses=(*record.losses, *losses),
        )

    def _last_frames(self, replica: int) -> Float[np.ndarray, "f n 3"]:
        done = int(self.record.lengths[replica])
        return self._arrays["frames"].read(replica, max(0, done - LAST), done)

    def save(self) -> None:
        """Make sure that what is done outlives this process and a power cut."""
        if self.record.frames == self._saved:
            return
        began = time.monotonic()
        with explain_os_errors(self._path):
            for array in self._arrays.values():
                array.flush()
            for k, length in enumerate(self.record.lengths):
                self._extend_xtc(k, int(length))
            self._write(self._path, self.record)
        self._saved, self._saved_at = self.record.frames, time.monotonic()
        self._cost = self._saved_at - began

    def _extend_xtc(self, replica: int, length: int) -> None:
        xtc, interval = self.record.xtc, self._running.protocol.interval
        for start, x in self._arrays["frames"].chunks(replica, int(xtc[replica, 0]), length):
            _, end, checksum = xtc[replica].tolist()
            added = append_xtc(self._xtc(replica), end, x, interval, start)
            # in one assignment: a signal may come between two
            xtc[replica] = start + len(x), end + len(added), zlib.crc32(added, checksum)

    def _write(self, folder: Path, record: Record) -> None:
        write_record(folder, record, self._identity, self._running.protocol.interval, self._model.molecule)

    def finish(self, notes: Sequence[str]) -> None:
        """Describe what there is as Frames. Raises InputError if no replica has a frame."""
        self.save()
        self._open.close()
        lengths, losses, protocol = self.record.lengths, self.record.losses, self._running.protocol
        if not lengths.any():
            raise InputError(f"{ALL_LOST}; {self._path / 'lost'} has the steps that led there")
        for name, row in self._rows.items():
            repack(self._path / f"{name}.npy", row, lengths, None)  # without the gaps that lost replicas leave
        chains = tuple(int(n) for n in lengths if n)
        positions = read_array(self._path / "frames.npy", (sum(chains), *self._rows["frames"]))
        write_pdb(self._path / "topology.pdb", self._model.molecule, positions[0])
        trajectory = Trajectory(self._model.molecule, positions, chains, protocol.temperature, protocol.interval)
        settings = self._settings | {
            "warnings": list(notes),
            "lost_replicas": [loss.words() for loss in losses[:MOST]],
            "seconds": round(self.record.seconds, 1),
            "model": self._model.about(),
        }
        if protocol.rungs:
            share = self._running.acceptance(self.record.state, self.record.frames, self.record.alive)
            settings["exchange"] = settings["exchange"] | {"acceptance": share}
        describe_frames(Frames(trajectory, "simulation", self._running.n, len(losses), settings), self._path)
