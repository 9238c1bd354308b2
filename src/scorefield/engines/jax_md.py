"""jax-md, without depending on it: an energy function of positions as its simulations want one.

    energy, masses = energy_function("out/run")
    init, step = jax_md.simulate.nvt_langevin(energy, shift, dt, kT, gamma)      # nm, ps, Da, kJ/mol
    state = init(key, positions, mass=masses)

`shift` is that of free space, `jax_md.space.free()`. jax-md has no units of its own; these are ours.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..forcefield import ForceField
from ..model import load_model

Energy = Callable[..., Float[Array, ""]]


def energy_function(run: Path | str, level: float | None = None) -> tuple[Energy, Float[Array, " n"]]:
    """`energy(R, **unused)` in kJ/mol of positions (n_beads, 3) in nm, and the bead masses in Da.

    `level` in nm, None for the model's own. Differentiable, to be compiled and `vmap`ped at will. Raises InputError if
    the folder is not a trained model or `level` not positive; a direct network has no energy.
    """
    model = load_model(Path(run))
    field = ForceField(model.score, model.checked_level(level), model.temperature)

    def energy(R: Float[Array, "n 3"], **unused: Any) -> Float[Array, ""]:
        return field.energy(R)

    return energy, jnp.asarray(model.masses, jnp.float32)
