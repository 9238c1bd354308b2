"""`ReplicaForce`: a RUN's model, compiled for any number of replicas, numpy in and numpy out, in nm and kJ/mol."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from ..energy.base import AbstractEnergy
from ..errors import InputError
from ..forcefield import ForceField
from ..model import load_model
from ..molecule import Molecule
from ..systems import run_folder


class Evaluated(NamedTuple):
    """`energy` of every replica in kJ/mol, up to a constant; `force` on every bead in kJ/mol/nm."""

    energy: Float[np.ndarray, " r"]
    force: Float[np.ndarray, "r n 3"]


class ReplicaForce:
    """Energies and forces of replicas that do not feel each other.

    Holds the path of the RUN folder and reads it anew where it is copied to another process: that is all it is pickled as.
    `level` in nm; None is the model's own. Raises InputError if the folder is not a trained model that has an energy, or
    `level` is not positive.
    """

    def __init__(self, run: Path | str, level: float | None = None) -> None:
        model = load_model(Path(run))
        if not isinstance(model.score, AbstractEnergy):
            raise InputError(f"{run} holds a direct network, which has no energy; engines need a conservative one")
        self.run, self.level = str(run_folder(run).absolute()), model.checked_level(level)
        self.molecule: Molecule = model.molecule
        self.masses: Float[np.ndarray, " n"] = model.masses
        self.temperature = model.temperature
        self._arrays, self._evaluate = _compiled(ForceField(model.score, self.level, model.temperature))

    def __call__(self, x: Float[np.ndarray, "r n 3"]) -> Evaluated:
        """Of positions (n_replicas, n_beads, 3) in nm, wherever in space; of another shape InputError is raised."""
        x = np.asarray(x, np.float64)
        if x.ndim != 3 or x.shape[1:] != (self.molecule.n_beads, 3):
            raise InputError(f"positions have shape {x.shape}, not (replicas, {self.molecule.n_beads}, 3)")
        centred = x - x.mean(axis=1, keepdims=True)  # before the digits of single precision are cut
        energy, force = self._evaluate(self._arrays, centred.astype(np.float32))
        return Evaluated(np.asarray(energy, np.float64), np.asarray(force, np.float64))

    def __getstate__(self) -> dict[str, object]:
        return {"run": self.run, "level": self.level}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(**state)  # pyright: ignore[reportArgumentType]


def _compiled(field: ForceField) -> tuple[Any, Callable[..., tuple[Array, Array]]]:
    """The model's arrays, and the function of them and of positions; `eqx.filter_jit` would sort them out at every call."""
    arrays, rest = eqx.partition(field, eqx.is_array)

    @jax.jit
    def evaluate(arrays: Any, x: Float[Array, "r n 3"]) -> tuple[Float[Array, " r"], Float[Array, "r n 3"]]:
        energy, gradient = jax.vmap(jax.value_and_grad(eqx.combine(arrays, rest).energy))(x)
        return energy, -gradient

    return arrays, evaluate
