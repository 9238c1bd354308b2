"""Langevin dynamics by BAOAB (Leimkuhler and Matthews 2013), one force evaluation a step.

x positions (n_beads, 3) nm · v velocities nm/ps · f force kJ/mol/nm = Da nm/ps^2 · m masses (n_beads,) Da · dt ps

    B  v += f/m dt/2      A  x += v dt/2      O  v = c v + sqrt((1 - c^2) kT/m) xi,  c = exp(-friction dt)

A bond thermostat (`bond_thermostat`) is part of O.

Takes any `force(x)`: it knows neither energies nor noise levels.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .bond_thermostat import BondThermostat

Force = Callable[[Float[Array, "n 3"]], Float[Array, "n 3"]]


class State(NamedTuple):
    """One replica. The force at `x` is carried along, so that a step evaluates it once."""

    x: Float[Array, "n 3"]
    v: Float[Array, "n 3"]
    f: Float[Array, "n 3"]

    @property
    def recorded(self) -> "State":
        """What frames show: all of it."""
        return self


class Langevin(eqx.Module):
    """BAOAB at `kT` (kJ/mol) with `friction` (1/ps) and time step `dt` (ps); `friction` 0 is velocity Verlet."""

    force: Force
    masses: Float[Array, " n"]
    kT: float
    dt: float | Float[Array, ""]
    friction: float
    bonds: BondThermostat | None = None

    def init(self, key: PRNGKeyArray, x: Float[Array, "n 3"]) -> State:
        """A replica at `x` with velocities from the Maxwell-Boltzmann distribution."""
        m = self.masses[:, None]
        return State(x, jnp.sqrt(self.kT / m) * jax.random.normal(key, x.shape, x.dtype), self.force(x))

    def step(self, key: PRNGKeyArray, state: State) -> State:
        """One time step of one replica."""
        m, half = self.masses[:, None], self.dt / 2
        c = jnp.exp(-self.friction * self.dt)
        x, v, f = state
        # One draw, in a row: its loops take a while to start, and rows of three are slow to fill.
        along_bonds = 0 if self.bonds is None else len(self.bonds.frequencies)
        xi, bond_xi = jnp.split(jax.random.normal(key, (x.size + along_bonds,), x.dtype), [x.size])
        v = v + half * f / m  # B
        x = x + half * v  # A
        v = c * v + jnp.sqrt((1 - c * c) * self.kT / m) * xi.reshape(x.shape)  # O
        if self.bonds is not None:
            v = self.bonds.damped(bond_xi, x, v, self.masses, self.kT, self.dt)
        x = x + half * v  # A
        f = self.force(x)
        v = v + half * f / m  # B
        return State(x, v, f)


def kinetic_temperature(v: Float[Array, "n 3"], masses: Float[Array, " n"], boltzmann: float) -> Float[Array, ""]:
    """Temperature in K of velocities. Low by design at whole steps of stiff modes: judge by configurations."""
    return jnp.sum(masses[:, None] * v * v) / (3 * len(masses) * boltzmann)
