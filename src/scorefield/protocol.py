"""`Protocol`: how replicas are run, how often frames are kept, and what a simulation reports on its way."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .errors import InputError
from .model import Model

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


@dataclass(frozen=True)
class Protocol:
    """How replicas are run: time step and `interval` of frames in ps, friction in 1/ps, noise `level` in nm, K.

    `stride` steps make a frame, of which there are `n_frames`. Everything random follows from `seed`.
    """

    dt: float
    stride: int
    n_frames: int
    friction: float
    level: float
    temperature: float
    seed: int

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
    ) -> "Protocol":
        """`time_ps` with a frame kept every `save_ps`; None means as configured.

        `temperature` in K is that of the thermostat, the potential of mean force stays the one at the model's
        temperature. Raises InputError if the times make no whole step or no frame.
        """
        configured = model.config.simulation
        dt = (dt_fs or model.dt_fs) * 1e-3
        stride, n_frames = frame_strides(dt, save_ps, time_ps)
        friction = configured.friction if friction is None else friction
        return Protocol(dt, stride, n_frames, friction, level or model.level, temperature or model.temperature, seed)

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
            "level_nm": self.level,
            "force_level": model.levels.to_json(),
            "replicas": replicas,
            "time_ps": self.n_frames * self.interval,
            "masses_Da": np.round(model.masses, 4).tolist(),
            "seed": self.seed,
        }


def frame_strides(dt: float, save_ps: float, time_ps: float) -> tuple[int, int]:
    """Steps between kept frames, and their number, for times in ps.

    Raises InputError if that makes no whole step, no frame, or more steps than the noise has numbers for.
    """
    if not time_ps < _MAX_STEPS * dt:
        raise InputError(
            f"{time_ps:g} ps are more than {_MAX_STEPS:.0e} steps of {dt * 1e3:g} fs; simulate shorter, from several --seed"
        )
    stride = round(min(save_ps / dt, _MAX_STEPS))
    n_frames = int(time_ps / (stride * dt) + 1e-6) if stride else 0
    if not n_frames or save_ps > time_ps * (1 + 1e-9):
        raise InputError(
            f"cannot keep a frame every {save_ps:g} ps of {time_ps:g} ps at a step of {dt * 1e3:g} fs; "
            "choose --save-ps between them"
        )
    return stride, n_frames
