"""A simulation as a folder that is written while it runs, and that goes on after any end.

frames.npy, energies.npy, temperatures.npy   a row a frame, replica after replica: nm; potential of mean force, kJ/mol
                                             (not of direct networks); kinetic temperature, K
replica_0000.xtc ...                         the frames for viewers, as of the last save
state.json, state-N.safetensors              what is done, and positions, velocities and forces after N frames
lost/replica_0003.json ...                   what became of a replica that was lost (`postmortem`)
simulation.json                              the description (`frames`): written last, and gone while the folder grows

A save first makes sure of the frames and then replaces the state by rename: a kill at any moment leaves a state all of
whose frames are there, and what came after it is written again, the same. The state has a checksum of every replica's
frames, so that a file that lost or changed some is refused.
"""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt32

from .dynamics import State
from .errors import InputError
from .frames import Frames, describe_frames, load_frames
from .lock import locked
from .model import Model
from .postmortem import MOST, Loss, examine
from .replica_array import ReplicaArray, allot, extended, repack
from .simulate import ALL_LOST, Protocol, Replicas, RunProgress
from .storage import (
    describe,
    explain_os_errors,
    new_folder,
    read_array,
    read_json,
    reading,
    refuse_existing,
    sha256,
    write_json,
)
from .structure import append_xtc, write_pdb
from .tensors import fingerprint, load_arrays, save_tree
from .trajectory import Trajectory

SAVE_SECONDS = 20.0
"""The simulation that a kill may cost; more where saving itself takes more than a twentieth of it."""


class Record(NamedTuple):
    """What is done: frames of every replica that is not lost, the state after them, the frames of each, their checksums."""

    frames: int
    state: State
    lengths: Int[np.ndarray, " r"]
    checksums: dict[str, UInt32[np.ndarray, " r"]]
    losses: tuple[Loss, ...] = ()

    @property
    def alive(self) -> np.ndarray:
        """Which replicas are not lost."""
        return self.lengths == self.frames


class Stream:
    """The folder `path` of a simulation by `running`, whose `settings` must be those it was begun with; a context manager.

    On entering, the record is read and the files are made fit for all frames of the protocol. Raises InputError if they
    are damaged, of another simulation, or hold more frames than the protocol.
    """

    def __init__(self, path: Path, model: Model, running: Replicas, settings: dict[str, Any]) -> None:
        self._path, self._model, self._running = path, model, running
        self._settings = json.loads(json.dumps(settings))
        n_beads = model.molecule.n_beads
        self._rows: dict[str, tuple[int, ...]] = {"frames": (n_beads, 3)} | {name: () for name in running.observed}
        self._open = contextlib.ExitStack()
        self._arrays: dict[str, ReplicaArray] = {}
        self._saved = -1

    def begin(self, starts: Callable[[], Float[np.ndarray, "r n 3"]]) -> None:
        """Make the folder, with the replicas at `starts` (nm). Raises InputError if it exists or cannot hold the frames."""
        refuse_existing(self._path)
        state, n = self._running.start(starts()), self._running.n
        checksums = {name: np.zeros(n, np.uint32) for name in self._rows}
        self.record = Record(0, state, np.zeros(n, np.int64), checksums)
        self._xtc, self.seconds = np.zeros((n, 2), np.int64), 0.0
        with new_folder(self._path) as draft:
            self._require_space(draft)
            write_pdb(draft / "topology.pdb", self._model.molecule, np.asarray(state.x[0]))
            for name, row in self._rows.items():
                allot(draft / f"{name}.npy", n * self._running.protocol.n_frames, row)
            self._write_state(draft)

    def _require_space(self, folder: Path) -> None:
        numbers = sum(int(np.prod(row, dtype=np.int64)) for row in self._rows.values())
        needed = 4 * numbers * self._running.n * self._running.protocol.n_frames
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise InputError(
                f"the frames take {needed / 1e9:.3g} GB, the disk of {self._path} has {free / 1e9:.3g} GB free; "
                "choose a larger --save-ps, or make room"
            )

    def __enter__(self) -> "Stream":
        self._read()
        total = self._running.protocol.n_frames
        if self.record.frames > total:
            interval = self._running.protocol.interval
            raise InputError(
                f"{self._path} holds {self.record.frames * interval / 1e3:g} ns already, not {total * interval / 1e3:g}: "
                "--time-ns is the total"
            )
        if not self.finished:
            self._prepare()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    @property
    def finished(self) -> bool:
        """Whether everything is done and written."""
        return self.ended and (self._path / "simulation.json").exists()

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to simulate."""
        return self.record.frames == self._running.protocol.n_frames or not self.record.alive.any()

    def _read(self) -> None:
        found = read_json(self._path / "state.json", "state")
        n, n_beads = self._running.n, self._model.molecule.n_beads
        with reading(self._path / "state.json"):
            self._compare(dict(found["settings"]))
            name, digest, self.seconds = str(found["arrays"]), str(found["sha256"]), float(found["seconds"])
            frames, losses = int(found["frames"]), tuple(Loss(**loss) for loss in found["lost"])
            if not re.fullmatch(r"state-\d+\.safetensors", name) or frames < 0:
                raise ValueError(f"{frames} frames in {name!r}")
        wanted = {key: np.empty((n, n_beads, 3), np.float32) for key in State._fields}
        wanted |= {"xtc": np.empty((n, 2), np.int64)}
        wanted |= {f"checksum {key}": np.empty(n, np.uint32) for key in self._rows}
        arrays = load_arrays(self._path / name, {f"['{key}']": value for key, value in wanted.items()})
        arrays = {key: arrays[f"['{key}']"] for key in wanted}
        if sha256(self._path / name) != digest:
            raise InputError(f"{self._path / name} has changed since it was written (sha256 differs); simulate anew")
        lengths = arrays["xtc"][:, 0].copy()
        if lengths.min() < 0 or lengths.max() > frames or (lengths < frames).sum() != len(losses):
            raise InputError(f"{self._path / name} does not fit state.json; simulate anew")
        state = State(*(jnp.asarray(arrays[key]) for key in State._fields))
        checksums = {key: arrays[f"checksum {key}"] for key in self._rows}
        self.record = Record(frames, state, lengths, checksums, losses)
        self._xtc, self._saved = arrays["xtc"], frames

    def _compare(self, theirs: dict[str, Any]) -> None:
        for key in [*self._settings, *theirs]:
            if (there := theirs.get(key)) != (here := self._settings.get(key)):
                what = f"{key} = {there}, not {here}" if len(f"{there}{here}") < 200 else f"another {key}"
                raise InputError(f"{self._path} was begun with {what}; give the same or choose another -o")

    def _prepare(self) -> None:
        """Make files fit for what is to come: drafts of a killed process away, room for all frames, viewers' files whole."""
        for left in [*self._path.glob(".*.draft"), *self._path.glob(".*.part")]:
            left.unlink()
        lengths, room = self.record.lengths, self._running.protocol.n_frames
        for name, row in self._rows.items():
            path = self._path / f"{name}.npy"
            with ReplicaArray(path, row, lengths) as array:
                changed = array.checksums() != self.record.checksums[name]
                if changed.any():
                    raise InputError(
                        f"{path} has changed since it was written: frames of replica {np.argmax(changed)} differ from "
                        "their checksum; simulate anew"
                    )
                grows = array.n_rows < room * len(lengths)
            if grows:
                self._require_space(self._path)
            with explain_os_errors(path):
                (self._path / "simulation.json").unlink(missing_ok=True)
                repack(path, row, lengths, room)
            self._arrays[name] = self._open.enter_context(ReplicaArray(path, row, lengths))
        for k, (_, end) in enumerate(self._xtc):
            path = self._xtc_path(k)
            if end and not (path.exists() and path.stat().st_size >= end):
                self._xtc[k] = 0, 0  # it will be made again from frames.npy

    def _xtc_path(self, replica: int) -> Path:
        return self._path / f"replica_{replica:04d}.xtc"

    def run(self, on_progress: Callable[[RunProgress], None] | None = None) -> None:
        """Simulate and write what is left. Whatever ends it early, what was done by then is saved first."""
        began, first, self._saved_at, self._cost = time.monotonic(), None, time.monotonic(), 0.0
        before, (n, protocol) = self.seconds, (self._running.n, self._running.protocol)
        show = on_progress or (lambda progress: None)
        report = lambda rate: show(
            RunProgress(
                self.record.frames * protocol.interval,
                protocol.n_frames * protocol.interval,
                n,
                len(self.record.losses),
                rate,
            )
        )
        report(None)
        try:
            for done, state, x in self._running.frames(self.record.state, self.record.frames):
                with explain_os_errors(self._path / "frames.npy"):
                    self._append(done, state, x[:, 0])
                now = time.monotonic()
                self.seconds = before + now - began
                first = first or (now, done)
                rate = (done - first[1]) * protocol.interval * 86.4 / (now - first[0]) if done > first[1] else None
                report(rate)
                if not self.record.alive.any():
                    break
                if now - self._saved_at > max(SAVE_SECONDS, 20 * self._cost):
                    self.save()
        except BaseException:
            with contextlib.suppress(InputError):
                self.save()
            raise

    def _append(self, done: int, state: State, x: Float[np.ndarray, "r n 3"]) -> None:
        record, molecule = self.record, self._model.molecule
        intact = record.alive & self._model.physical.intact(x, molecule)
        lost = np.flatnonzero(record.alive & ~intact)
        time_ps = done * self._running.protocol.interval
        losses = [Loss(int(k), done - 1, round(time_ps, 6), self._model.physical.fault(x[k], molecule)) for k in lost]
        examined = losses[: max(0, MOST - len(record.losses))]
        examine(self._path / "lost", examined, record.state, state, self._running, self._model)
        values, which = {"frames": x, **self._running.observe(state)}, np.flatnonzero(intact).tolist()
        checksums = {}
        for name, array in self._arrays.items():
            array.write(record.frames, values[name], which)
            checksums[name] = extended(record.checksums[name], values[name], which)
        self.record = Record(done, state, record.lengths + intact, checksums, (*record.losses, *losses))

    def save(self) -> None:
        """Make sure that what is done outlives this process and a power cut."""
        if self.record.frames == self._saved:
            return
        began = time.monotonic()
        with explain_os_errors(self._path):
            for array in self._arrays.values():
                array.flush()
            self._extend_xtc()
            self._write_state(self._path)
            for old in self._path.glob("state-*.safetensors"):
                if old.name != f"state-{self.record.frames}.safetensors":
                    old.unlink()
        self._saved, self._saved_at = self.record.frames, time.monotonic()
        self._cost = self._saved_at - began

    def _extend_xtc(self) -> None:
        interval = self._running.protocol.interval
        for k, length in enumerate(self.record.lengths):
            for start, x in self._arrays["frames"].chunks(k, int(self._xtc[k, 0]), int(length)):
                end = append_xtc(self._xtc_path(k), int(self._xtc[k, 1]), x, interval, start)
                self._xtc[k] = start + len(x), end  # at once: a signal may come between two statements

    def _write_state(self, folder: Path) -> None:
        record = self.record
        alive = record.alive[:, None, None]  # what a lost replica has become is in lost/, if it is a number at all
        arrays = {key: np.where(alive, value, 0) for key, value in record.state._asdict().items()}
        arrays |= {"xtc": self._xtc}
        arrays |= {f"checksum {key}": value for key, value in record.checksums.items()}
        path = folder / f"state-{record.frames}.safetensors"
        save_tree(path, arrays)
        content = describe(
            "state",
            molecule=self._model.molecule.to_json(),
            settings=self._settings,
            frames=record.frames,
            time_ps=record.frames * self._running.protocol.interval,
            arrays=path.name,
            sha256=sha256(path),
            seconds=round(self.seconds, 1),
            lost=[loss._asdict() for loss in record.losses],
        )
        write_json(folder / "state.json", content)

    def finish(self, settings: dict[str, Any]) -> None:
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
        trajectory = Trajectory(self._model.molecule, positions, chains, protocol.temperature, protocol.interval)
        settings["lost_replicas"] = [loss._asdict() for loss in losses]
        settings["warnings"] += [loss.words() for loss in losses[:MOST]]
        frames = Frames(trajectory, "simulation", self._running.n, len(losses), settings)
        describe_frames(frames, self._path)


def simulate_into(
    path: Path,
    model: Model,
    starts: Callable[[], Float[np.ndarray, "r n 3"]],
    time_ps: float,
    *,
    save_ps: float,
    replicas: int,
    start: str = "given",
    notes: Sequence[str] = (),
    resume: bool = False,
    on_progress: Callable[[RunProgress], None] | None = None,
    **settings: Any,
) -> Frames:
    """Langevin dynamics as `simulate.simulate`, of `replicas` from `starts` (nm), into the folder `path` as it goes.

    With `resume`, go on with what `path` holds, to `time_ps` in all; `starts` is then not called, and a simulation that
    has ended goes on if `time_ps` is longer. `start` says what the starts are, `notes` what the frames' reader must
    know; `settings` as for `Protocol.of`. Raises InputError if `path` exists and `resume` is False, if it holds no
    simulation, another one, a damaged one or a longer one, if another process is at work in it, or the disk is full.
    """
    protocol = Protocol.of(model, time_ps, save_ps=save_ps, **settings)
    running = Replicas(model, protocol, replicas)
    stated = protocol.settings(model, replicas) | {"start": start}
    begun_with = {"model": fingerprint(model.score), "save_ps": protocol.interval, **stated}
    stream = Stream(path, model, running, {k: v for k, v in begun_with.items() if k not in ("time_ps", "force_level")})
    if not resume:
        stream.begin(starts)
    elif not (path / "state.json").exists():
        raise InputError(f"{path} has no simulation to go on with; leave --resume away to start one")
    with locked(path), stream:
        if not stream.finished:
            stream.run(on_progress)
            stream.finish(stated | {"warnings": list(notes)})
    return load_frames(path)
