"""What an all-atom simulation is asked to be, checked, and how its time is cut into blocks."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import InputError
from ..storage import sha256

Solvent = Literal["obc2", "obc1", "hct", "gbn", "gbn2"]

_BLOCK_STEPS = 10_000  # what a kill may cost at most


@dataclass(frozen=True)
class Settings:
    """One reference simulation; what its folder says it is, and what a resumed one must repeat.

    `system`: one-letter codes of a peptide, or a PDB or mmCIF file; `capped`: a peptide gets ACE and NME caps, else
    charged ends; `temperature` K, `save_ps` between frames, `dt_fs`, `friction` 1/ps; `equilibrate_ps` dropped before the
    first frame, and before that `scatter_ps` at `scatter_temperature` (K), so that copies start from different
    conformations; `hydrogen_mass` Da, taken from the heavy atom; `forces`: keep them beside the positions.
    """

    system: str
    temperature: float
    copies: int = 16
    save_ps: float = 1.0
    dt_fs: float = 4.0
    friction: float = 1.0
    equilibrate_ps: float = 100.0
    scatter_ps: float = 0.0
    scatter_temperature: float = 600.0
    capped: bool = True
    solvent: Solvent = "obc2"
    hydrogen_mass: float = 3.0
    forces: bool = False
    seed: int = 0

    def check(self, time_ps: float) -> None:
        """Raise InputError if a number is out of range, or `time_ps` holds no frame."""
        for name in ("temperature", "save_ps", "dt_fs", "scatter_temperature", "hydrogen_mass", "copies"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name):g}; it must be a positive number")
        for name in ("friction", "equilibrate_ps", "scatter_ps"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name):g}; it must be 0 or more")
        if self.solvent not in get_args(Solvent):
            raise InputError(f"solvent {self.solvent!r} is not one of {', '.join(get_args(Solvent))}")
        if self.dt_fs * 1e-3 > self.save_ps * (1 + 1e-9):
            raise InputError(f"frames every {self.save_ps:g} ps are closer than steps of {self.dt_fs:g} fs")
        if abs(self.stride * self.dt_fs * 1e-3 - self.save_ps) > 1e-6 * self.save_ps:
            raise InputError(
                f"{self.save_ps:g} ps between frames are no whole number of steps of {self.dt_fs:g} fs; choose another"
            )
        if not self.frames(time_ps):
            raise InputError(f"{time_ps:g} ps hold no frame every {self.save_ps:g} ps; simulate longer")

    @property
    def stride(self) -> int:
        """Steps between frames."""
        return max(1, round(self.save_ps / (self.dt_fs * 1e-3)))

    @property
    def block(self) -> int:
        """Frames a block."""
        return max(1, _BLOCK_STEPS // self.stride)

    def frames(self, time_ps: float) -> int:
        """Frames of each copy in `time_ps`."""
        return int(time_ps / self.save_ps + 1e-6) if 0 < time_ps < math.inf else 0

    def warm_up(self) -> list[float]:
        """The temperature of every block before the first frame: the scattering, then the equilibration."""
        length = self.block * self.stride * self.dt_fs * 1e-3
        hot, cold = math.ceil(self.scatter_ps / length - 1e-9), math.ceil(self.equilibrate_ps / length - 1e-9)
        return [self.scatter_temperature] * hot + [self.temperature] * cold

    def source(self) -> str:
        """What `system` stands for, the same on every machine: the sequence, or the file's name and hash."""
        path = Path(self.system)
        return f"{path.name} sha256 {sha256(path)}" if path.is_file() else self.system.upper()
