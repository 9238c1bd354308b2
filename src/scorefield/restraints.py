"""Restraints and biases on collective variables, to be added to any force.

xi(x) the collective variable, nm or rad · c its centre · k stiffness, kJ/mol per nm^2 or rad^2 · w half-width

    B(x) = k/2 max(0, |xi(x) - c| - w)^2

w = 0 is harmonic; with w > 0 there is a flat bottom, walls beyond. A variable says whether it has a period.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .dynamics import Langevin
from .errors import InputError
from .geometry import centre, dihedrals, distances
from .molecule import Molecule


class AbstractVariable(eqx.Module):
    """A collective variable xi(x) of ONE frame; `period` in its unit, or None; `unit` is nm or rad."""

    period: ClassVar[float | None] = None
    unit: ClassVar[str] = "nm"

    @abstractmethod
    def __call__(self, x: Float[Array, "n 3"]) -> Float[Array, ""]:
        """Its value for positions in nm."""

    def difference(self, a: Float[Array, " *k"], b: Float[Array, " *k"]) -> Float[Array, " *k"]:
        """a - b, by the shorter way round where there is a period."""
        d = a - b
        return d if self.period is None else d - self.period * jnp.round(d / self.period)


class Dihedral(AbstractVariable):
    """The dihedral angle of four beads in rad, in [-pi, pi], IUPAC sign."""

    period: ClassVar[float | None] = 2 * float(np.pi)
    unit: ClassVar[str] = "rad"
    beads: tuple[int, int, int, int] = eqx.field(static=True)

    def __call__(self, x: Float[Array, "n 3"]) -> Float[Array, ""]:
        """See AbstractVariable."""
        return dihedrals(x, np.array([self.beads]))[0]


class Distance(AbstractVariable):
    """The distance of two beads in nm."""

    beads: tuple[int, int] = eqx.field(static=True)

    def __call__(self, x: Float[Array, "n 3"]) -> Float[Array, ""]:
        """See AbstractVariable."""
        return distances(x, np.array([self.beads]))[0]


class RadiusOfGyration(AbstractVariable):
    """The root mean square distance of beads from their geometric centre, nm."""

    def __call__(self, x: Float[Array, "n 3"]) -> Float[Array, ""]:
        """See AbstractVariable."""
        return jnp.sqrt(jnp.mean(jnp.sum(centre(x) ** 2, axis=-1)))


def variable(words: str, molecule: Molecule) -> AbstractVariable:
    """A variable from words: "dihedral 0 1 2 3", "distance 0 4", "rg", "phi ALA2", "psi ALA2" (beads count from 0).

    Raises InputError if it is none of these, or names beads or residues that the molecule does not have.
    """
    kind, *rest = words.split() or [""]
    backbone = {label: dict(zip(("phi", "psi"), quads, strict=True)) for label, quads in molecule.ramachandran}
    if kind == "rg" and not rest:
        return RadiusOfGyration()
    if kind in ("phi", "psi") and len(rest) == 1:
        if rest[0] not in backbone:
            raise InputError(f"no {kind} of {rest[0]!r} among the beads; there are: {', '.join(backbone) or 'none'}")
        a, b, c, d = (int(i) for i in backbone[rest[0]][kind])
        return Dihedral((a, b, c, d))
    if (kind, len(rest)) == ("dihedral", 4):
        a, b, c, d = _beads(rest, molecule)
        return Dihedral((a, b, c, d))
    if (kind, len(rest)) == ("distance", 2):
        a, b = _beads(rest, molecule)
        return Distance((a, b))
    raise InputError(
        f"{words!r} is no collective variable: 'phi ALA2', 'psi ALA2', 'dihedral 0 1 2 3', 'distance 0 4', 'rg'"
    )


def _beads(words: Sequence[str], molecule: Molecule) -> tuple[int, ...]:
    if not all(w.isdigit() and int(w) < molecule.n_beads for w in words) or len(set(words)) < len(words):
        raise InputError(f"beads {' '.join(words)}: give different ones of 0..{molecule.n_beads - 1}")
    return tuple(int(w) for w in words)


class Restraint(eqx.Module):
    """B(x) in kJ/mol (see the module). `centre`, `stiffness` and `half_width` are numbers, or one a replica."""

    variable: AbstractVariable
    centre: Float[Array, "..."] = eqx.field(converter=jnp.asarray)
    stiffness: Float[Array, "..."] = eqx.field(converter=jnp.asarray)
    half_width: Float[Array, "..."] = eqx.field(converter=jnp.asarray, default=0.0)

    def of_value(self, value: Float[Array, ""]) -> Float[Array, ""]:
        """B in kJ/mol where the variable has `value`."""
        off = jnp.abs(self.variable.difference(value, self.centre))
        return self.stiffness / 2 * jnp.maximum(0.0, off - self.half_width) ** 2

    def energy(self, x: Float[Array, "n 3"]) -> Float[Array, ""]:
        """B(x) in kJ/mol of one frame."""
        return self.of_value(self.variable(x))

    def force(self, x: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
        """-dB/dx in kJ/mol/nm."""
        return -jax.grad(self.energy)(x)


class Restraints(eqx.Module):
    """Several at once: their sum."""

    parts: tuple[Restraint, ...]

    def energy(self, x: Float[Array, "n 3"]) -> Float[Array, ""]:
        """Sum of B(x) in kJ/mol."""
        return sum((part.energy(x) for part in self.parts), jnp.zeros(()))

    def force(self, x: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
        """-dB/dx in kJ/mol/nm."""
        return sum((part.force(x) for part in self.parts), jnp.zeros_like(x))


Bias = Restraint | Restraints


def biased(dynamics: Langevin, bias: Bias | None) -> Langevin:
    """The same dynamics with `bias` added to its force; `bias` None adds nothing."""
    if bias is None:
        return dynamics
    force = dynamics.force
    return replace(dynamics, force=lambda x: force(x) + bias.force(x))
