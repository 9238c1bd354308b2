"""`Protocol`: how replicas are run, how often frames are kept, and what a simulation reports on its way."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from .energy.base import AbstractEnergy
from .errors import InputError
from .model import Model

EXCHANGE_PS = 0.1
"""Between two exchanges of a pair of levels, ps."""

TOP_RUNG = 0.2
"""The largest level of the default ladder, mean bond lengths."""

_MAX_STEPS = 2e9  # a step's number is a 32-bit integer


class RunProgress(NamedTuple):
    """What a simulation reports: time of each replica in ps, of how much, replicas started and lost so far.

    `ns_per_day`: of one replica, since the process began; None before that can be said.
    """

    time_ps: float
    total_ps: float
    replicas: int
    lost: int
    ns_per_day: float | None = None

    def words(self) -> str:
        """How it goes, for a progress bar."""
        speed = "" if self.ns_per_day is None else f", {self.ns_per_day:,.3g} ns/day each"
        return f"{self.replicas} replicas, {self.lost} lost{speed}"


class Pace:
    """Time since the start, and speed since the first frame: the compiler's time counts in the one only."""

    def __init__(self, before: float) -> None:
        self._before, self._start = before, time.monotonic()
        self._first: tuple[float, int] | None = None

    def seconds(self) -> float:
        """Of simulation in all, those of earlier processes too."""
        return self._before + time.monotonic() - self._start

    def frames_a_second(self, done: int) -> float | None:
        """Since the first frame of this process, None until there is a second one."""
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        since, first = self._first
        return (done - first) / (now - since) if done > first and now > since else None


@dataclass(frozen=True)
class Protocol:
    """How replicas are run: time step and `interval` of frames in ps, friction in 1/ps, noise `level` in nm, K.

    `stride` steps make a frame, of which there are `n_frames`. Everything random follows from `seed`. `rungs`: larger
    levels (nm) to exchange replicas with, neighbours after every other `between` steps (see `exchange`); none: no exchange.
    """

    dt: float
    stride: int
    n_frames: int
    friction: float
    level: float
    temperature: float
    seed: int
    rungs: tuple[float, ...] = ()
    between: int = 1

    @staticmethod
    def of(
        model: Model,
        time_ps: float,
        *,
        save_ps: float,
        seed: int = 0,
        level: float | None = None,
        temperature: float | None = None,
        dt_fs: float | None = None,
        friction: float | None = None,
        exchange: Sequence[float] | Literal["auto"] = (),
    ) -> "Protocol":
        """`time_ps` with a frame kept every `save_ps`; None means as configured.

        `temperature` in K is that of the thermostat, the potential of mean force stays the one at the model's
        temperature. `exchange`: levels in nm beyond `level`, or "auto" (`default_rungs`). Raises InputError if the times
        make no whole step or no frame, the levels no ladder, or a number is out of range.
        """
        configured = model.config.simulation
        for what, value in (("dt_fs", dt_fs), ("temperature", temperature)):
            if value is not None and not 0 < value < np.inf:
                raise InputError(f"{what} must be a positive number, not {value}")
        if friction is not None and not 0 <= friction < np.inf:
            raise InputError(f"friction must be a number of 1/ps, 0 or more, not {friction}")
        dt, level = (model.dt_fs if dt_fs is None else dt_fs) * 1e-3, model.checked_level(level)
        rungs = default_rungs(model, level) if exchange == "auto" else tuple(exchange)
        _check_rungs(model, level, rungs)
        between = max(1, round(EXCHANGE_PS / 2 / dt)) if rungs else 1
        moves = 2 * between if rungs else 1
        stride, n_frames = frame_strides(dt, save_ps, time_ps, moves)
        friction = configured.friction if friction is None else friction
        temperature = model.temperature if temperature is None else temperature
        return Protocol(dt, stride, n_frames, friction, level, temperature, seed, rungs, between)

    @property
    def moves(self) -> int:
        """Time steps in one step of the dynamics: with exchanges, those before the even and before the odd pairs."""
        return 2 * self.between if self.rungs else 1

    @property
    def interval(self) -> float:
        """Time between frames, ps."""
        return self.stride * self.dt

    def settings(self, model: Model, replicas: int) -> dict[str, Any]:
        """As a folder of frames states them."""
        return {
            "integrator": "BAOAB",
            "dt_fs": self.dt * 1e3,
            "friction_per_ps": self.friction,
            **({"bonds": "critically damped"} if self.friction > 0 else {}),
            "level_nm": self.level,
            "force_level": model.levels.to_json(),
            "replicas": replicas,
            "time_ps": self.n_frames * self.interval,
            "masses_Da": np.round(model.masses, 4).tolist(),
            "seed": self.seed,
            **({"exchange": {"levels_nm": list(self.rungs), "every_ps": self.moves * self.dt}} if self.rungs else {}),
        }


def default_rungs(model: Model, level: float) -> tuple[float, ...]:
    """Levels in nm to exchange with, evenly spaced from `level` to 0.2 mean bond lengths (without bonds, spreads).

    There the barriers of dihedrals are gone (see docs/design.md); one level for 5 beads, more by the square root of the
    number of beads, as energies differ by more.
    """
    bonds = model.physical.bond_mean
    top = TOP_RUNG * float(np.mean(bonds) if len(bonds) else model.physical.spread)
    n = max(1, round((model.molecule.n_beads / 5) ** 0.5))
    return tuple(float(f"{v:.4g}") for v in np.linspace(level, max(top, 2 * level), n + 1)[1:])


def _check_rungs(model: Model, level: float, rungs: tuple[float, ...]) -> None:
    if rungs and not isinstance(model.score, AbstractEnergy):
        raise InputError(
            "a direct network has no energy, so its levels cannot exchange replicas; train a conservative one"
        )
    if any(not a < b < np.inf for a, b in pairwise((level, *rungs))):
        words = ", ".join(f"{v:g}" for v in rungs)
        raise InputError(f"--exchange {words}: levels in nm must increase from the force level, {level:.4g}")


def frame_strides(dt: float, save_ps: float, time_ps: float, moves: int = 1) -> tuple[int, int]:
    """Steps between kept frames, a multiple of `moves`, and how many frames that makes, for times in ps.

    Raises InputError if that makes no whole step, no frame, or more steps than the noise has numbers for.
    """
    if not time_ps < _MAX_STEPS * dt:
        raise InputError(
            f"{time_ps:g} ps are more than {_MAX_STEPS:.0e} steps of {dt * 1e3:g} fs; simulate shorter, from several --seed"
        )
    stride = moves * round(min(save_ps / dt, _MAX_STEPS) / moves)
    n_frames = int(time_ps / (stride * dt) + 1e-6) if stride else 0
    if not n_frames or save_ps > time_ps * (1 + 1e-9):
        what = "a step" if moves == 1 else "exchanges"
        raise InputError(
            f"cannot keep a frame every {save_ps:g} ps of {time_ps:g} ps at {what} of {dt * moves * 1e3:g} fs; "
            "choose --save-ps between them"
        )
    return stride, n_frames
