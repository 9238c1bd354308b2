"""All-atom molecular dynamics by OpenMM (the extra `openmm`): trajectories that `scorefield prepare` reads."""

from .run import Progress, reference
from .settings import Settings

__all__ = ["Progress", "Settings", "reference"]
