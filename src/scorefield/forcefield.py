"""`ForceField`: a model read off at one noise level, in kJ/mol and kJ/mol/nm.

F(x) = kT * score(x, level) (arXiv 2302.00600, eq. 9), with what the model knows analytically taken at sigma = 0.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from .energy.base import AbstractEnergy, AbstractScore
from .errors import InputError
from .units import thermal_energy


class ForceField(eqx.Module):
    """The potential of mean force of `model` at noise `level` (nm), learned at `temperature` (K).

    Of a trained `Model`: `ForceField(model.score, model.level, model.temperature)`. Its methods are functions of ONE frame,
    (n_beads, 3) in nm; `jax.vmap` them for more. arXiv 2302.00600, eq. 9.
    """

    model: AbstractScore
    level: float = eqx.field(static=True)
    temperature: float = eqx.field(static=True)

    def force(self, x: Float[Array, "n 3"], level: Float[Array, ""] | None = None) -> Float[Array, "n 3"]:
        """Force in kJ/mol/nm on every bead of one frame (nm); at another `level`, if one is given."""
        model, level = self._read_off(x, level)
        return thermal_energy(self.temperature) * model.mean_force(x, level)

    def force_in_batch(self, x: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
        """The same of one frame, for simulations: where frames are vmapped, faster for long chains.

        Only frames can be vmapped, not models, and nothing can be differentiated: `force` can.
        """
        model, level = self._read_off(x, None)
        return thermal_energy(self.temperature) * _mean_force(model, x, level)

    def energy(self, x: Float[Array, "n 3"], level: Float[Array, ""] | None = None) -> Float[Array, ""]:
        """Potential of mean force in kJ/mol up to a constant. Raises InputError for a direct network: it has none."""
        model, level = self._read_off(x, level)
        if not isinstance(model, AbstractEnergy):
            raise InputError("a direct network has no energy, only a force; train a conservative one")
        return thermal_energy(self.temperature) * model.potential(x, level)

    def _read_off(self, x: Array, level: Float[Array, ""] | None) -> tuple[AbstractScore, Float[Array, ""]]:
        if level is None:
            return self.model.at_level(self.level), jnp.asarray(self.level, x.dtype)
        return self.model, level


def _mean_force(model: AbstractScore, x: Float[Array, "n 3"], level: Float[Array, ""]) -> Float[Array, "n 3"]:
    """That of the cheapest model that holds the frame; of many frames at a time, of the cheapest that holds them all.

    So that one of them is computed: `jax.vmap` alone, of a choice by each frame, would compute every one.
    """
    models = (*model.cheaper(), model)
    if len(models) == 1:
        return model.mean_force(x, level)

    @custom_vmap
    def of_many(x: Float[Array, "f n 3"]) -> Float[Array, "f n 3"]:
        hold = [jnp.all(jax.vmap(one.holds, (0, None))(x, level)) for one in models]
        forces = [jax.vmap(lambda y, one=one: one.mean_force(y, level)) for one in models]
        return jax.lax.switch(jnp.argmax(jnp.stack(hold)), forces, x)

    @of_many.def_vmap
    def _(size: int, batched: list[bool], x: Array) -> tuple[Array, bool]:
        return of_many(x.reshape(-1, *x.shape[2:])).reshape(x.shape), True

    return of_many(x[None])[0]
