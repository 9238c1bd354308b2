"""All-atom Langevin dynamics of many copies, block by block, into a folder that can be gone on with.

topology.pdb     the molecule, minimised
chain_0000.trr   one file a copy: positions (nm), with `forces` also those (kJ/mol/nm), and times (ps)
reference.json   settings, blocks and frames done, the state to go on from
state-N.npy      (2, n_copies, n_atoms, 3) float64: positions (nm) and velocities (nm/ps) after block N

A block starts from the state on disk, with random numbers of its own: an interrupted run goes on as it would have, bit
for bit on one CPU thread (several add forces in an order of their own). Frames are appended first, then comes the state,
then reference.json by rename, which makes them count. What a kill leaves behind beyond that is cut off.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from ..extras import extra
from ..storage import describe, explain_os_errors, new_folder, read_json, reading, refuse_existing, write_json
from ..trr import append_frames, cut_back
from .copies import copies_system, cutoff, force_field, minimised, properties, spread
from .peptide import load_structure
from .settings import Settings

_RECENTRE_PS = 1.0


class Progress(NamedTuple):
    """What a reference simulation reports: ps of each copy, of how much, and ns a day of all copies together."""

    time_ps: float
    total_ps: float
    ns_per_day: float


class _Done(NamedTuple):
    """What counts: blocks, the warm-up's included, frames of each copy, the file that holds the state."""

    blocks: int
    frames: int
    state: str


def reference(
    settings: Settings,
    out: Path,
    time_ps: float,
    *,
    resume: bool = False,
    platform: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[str]:
    """Simulate each copy for `time_ps` into the folder `out`; with `resume`, go on with what is there, or make it longer.

    `platform`: OpenMM's name of one (CPU, CUDA, OpenCL, HIP), None for the fastest here. Returns what the user should
    know. Raises InputError if OpenMM is missing, the molecule or the settings are not usable, `out` exists and `resume` is
    False, `out` was begun with other settings, or the dynamics blows up.
    """
    settings.check(time_ps)
    chosen = _platform(platform)
    if not (resume and (out.exists() or out.is_symlink())):
        _begin(settings, out, chosen)
    notes, done = _restore(settings, out)
    engine = _Engine(settings, out / "topology.pdb", chosen)
    for k in range(settings.copies):
        cut_back(_chain(out, k), done.frames, engine.n_atoms, settings.forces)
    _remove_states(out, done.state)
    total, began, simulated = settings.frames(time_ps), time.monotonic(), 0
    while done.blocks < len(settings.warm_up()) or done.frames < total:
        before, done = done, _advance(settings, engine, out, done, total, notes)
        simulated += (done.frames - before.frames) or settings.block
        if on_progress is not None:
            rate = simulated * settings.save_ps * settings.copies * 1e-3 / (time.monotonic() - began) * 86400
            on_progress(Progress(done.frames * settings.save_ps, total * settings.save_ps, rate))
    return notes


def _chain(out: Path, k: int) -> Path:
    return out / f"chain_{k:04d}.trr"


def _platform(name: str | None) -> Any:
    mm = extra("openmm", "openmm")
    there = [mm.Platform.getPlatform(k) for k in range(mm.Platform.getNumPlatforms())]
    if name is None:
        return max(there, key=lambda p: p.getSpeed())
    found = [p for p in there if p.getName().lower() == name.lower()]
    if not found:
        raise InputError(f"no OpenMM platform {name!r} here; there are: {', '.join(p.getName() for p in there)}")
    return found[0]


def _begin(settings: Settings, out: Path, platform: Any) -> None:
    """The folder before the first block: every copy at the minimum, with velocities of its own."""
    app, unit = extra("openmm.app", "openmm"), extra("openmm.unit", "openmm")
    refuse_existing(out)
    structure = load_structure(settings.system, settings.capped, force_field(settings.solvent))
    structure = minimised(structure, settings.solvent, platform)
    x = np.repeat(structure.positions[None], settings.copies, axis=0)
    with new_folder(out) as draft:
        with open(draft / "topology.pdb", "w", encoding="utf-8") as file:
            app.PDBFile.writeFile(structure.topology, structure.positions * unit.nanometer, file, keepIds=True)
        for k in range(settings.copies):
            _chain(draft, k).touch()
        np.save(draft / "state-0.npy", np.stack([x, np.full_like(x, np.nan)]))  # NaN: to be drawn
        _record(settings, draft, _Done(0, 0, "state-0.npy"), list(structure.notes))


def _record(settings: Settings, out: Path, done: _Done, notes: list[str]) -> None:
    asked = asdict(settings) | {"system": settings.source()}
    write_json(
        out / "reference.json",
        describe(
            "reference",
            settings=asked,
            temperature_K=settings.temperature,
            interval_ps=settings.save_ps,
            done=done._asdict(),
            warnings=notes,
            openmm=extra("openmm", "openmm").version.version,
        ),
    )


def _restore(settings: Settings, out: Path) -> tuple[list[str], _Done]:
    """What the folder says is done. Raises InputError if it was begun with other settings."""
    found = read_json(out / "reference.json", "reference")
    with reading(out / "reference.json"):
        theirs, ours = found["settings"], asdict(settings) | {"system": settings.source()}
        for key, value in ours.items():
            if theirs[key] != value:
                raise InputError(
                    f"{out} was begun with {key} = {theirs[key]}, not {value}; give the same or another -o"
                )
        done = found["done"]
        return list(found["warnings"]), _Done(int(done["blocks"]), int(done["frames"]), str(done["state"]))


def _remove_states(out: Path, but: str) -> None:
    for path in out.glob("state-*.npy"):
        if path.name != but:
            path.unlink(missing_ok=True)


def _advance(settings: Settings, engine: "_Engine", out: Path, done: _Done, total: int, notes: list[str]) -> _Done:
    """One block, on disk."""
    warm_up = settings.warm_up()
    warm = done.blocks < len(warm_up)
    frames = settings.block if warm else min(settings.block, total - done.frames)
    engine.start(_load_state(out / done.state), done.blocks, warm_up[done.blocks] if warm else settings.temperature)
    kept = [frame for frame in engine.frames(frames) if not warm]
    state = f"state-{done.blocks + 1}.npy"
    for k in range(settings.copies if kept else 0):
        x = np.stack([frame.x[k] for frame in kept])
        f = np.stack([frame.f[k] for frame in kept if frame.f is not None]) if settings.forces else None
        append_frames(_chain(out, k), x, f, done.frames, settings.save_ps)
    with explain_os_errors(out / state), open(out / state, "wb") as file:
        np.save(file, engine.state())
        file.flush()
        os.fsync(file.fileno())
    following = _Done(done.blocks + 1, done.frames + len(kept), state)
    _record(settings, out, following, notes)
    _remove_states(out, state)
    return following


def _load_state(path: Path) -> Float[np.ndarray, "2 c a 3"]:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise InputError(f"{path} is missing or damaged; the simulation cannot go on: start anew") from None


class _Frame(NamedTuple):
    """Positions in nm, forces in kJ/mol/nm or None, of all copies in float32."""

    x: Float[np.ndarray, "c a 3"]
    f: Float[np.ndarray, "c a 3"] | None


class _Engine:
    """The System of all copies, and the loop over frames within a block."""

    def __init__(self, settings: Settings, pdb: Path, platform: Any) -> None:
        mm, app = extra("openmm", "openmm"), extra("openmm.app", "openmm")
        with reading(pdb), explain_os_errors(pdb):
            topology = app.PDBFile(str(pdb)).topology
        self.settings, self.cutoff = settings, cutoff(topology)
        self.n_atoms = topology.getNumAtoms()
        system = copies_system(topology, settings.copies, settings.solvent, settings.hydrogen_mass)
        self._integrator = mm.LangevinMiddleIntegrator(settings.temperature, settings.friction, settings.dt_fs * 1e-3)
        self._context = mm.Context(system, self._integrator, platform, properties(platform))

    def start(self, state: Float[np.ndarray, "2 c a 3"], block: int, temperature: float) -> None:
        """Begin `block` from `state`, with random numbers that belong to it."""
        seed = int(np.random.SeedSequence([self.settings.seed, block]).generate_state(1)[0] % (2**31 - 2)) + 1
        self._integrator.setRandomNumberSeed(seed)
        self._integrator.setTemperature(temperature)
        self._context.reinitialize()
        self._place(state[0])
        if np.isnan(state[1]).any():
            self._context.setVelocitiesToTemperature(temperature, seed)
        else:
            self._context.setVelocities(state[1].reshape(-1, 3))

    def frames(self, number: int) -> Iterator[_Frame]:
        """The next `number` frames."""
        mm = extra("openmm", "openmm")
        stride = self.settings.stride
        most = max(1, round(_RECENTRE_PS / (self.settings.dt_fs * 1e-3)))
        for _ in range(number):
            try:
                for steps in (min(most, stride - k) for k in range(0, stride, most)):
                    self._integrator.step(steps)
                    self._place(self.state()[0])
            except mm.OpenMMException as error:
                raise InputError(f"the dynamics blew up ({error}); choose a smaller --dt-fs") from None
            yield _Frame(self.state()[0].astype(np.float32), self._forces() if self.settings.forces else None)

    def state(self) -> Float[np.ndarray, "2 c a 3"]:
        """Positions (nm) and velocities (nm/ps). Raises InputError if one is not finite."""
        state = self._context.getState(getPositions=True, getVelocities=True)
        both = np.stack([state.getPositions(asNumpy=True)._value, state.getVelocities(asNumpy=True)._value])
        if not np.isfinite(both).all():
            raise InputError("the dynamics blew up: coordinates are not finite; choose a smaller --dt-fs")
        return both.reshape(2, self.settings.copies, self.n_atoms, 3)

    def _place(self, x: Float[np.ndarray, "c a 3"]) -> None:
        self._context.setPositions(spread(x, self.cutoff).reshape(-1, 3))

    def _forces(self) -> np.ndarray:
        forces = self._context.getState(getForces=True).getForces(asNumpy=True)._value
        return forces.reshape(self.settings.copies, self.n_atoms, 3).astype(np.float32)
