r"""Critical damping of every bond's vibration, and of nothing else: a thermostat of stiff directions.

    u = (x_j - x_i)/|x_j - x_i|     g = (v_j - v_i) . u     1/mu = 1/m_i + 1/m_j     a = exp(-2 omega dt)
    g' = a g + sqrt((1 - a^2) kT/mu) xi     v_i -= (mu/m_i) (g' - g) u     v_j += (mu/m_j) (g' - g) u

(Lowe 1999; Peters 2004; omega is the bond's angular frequency.) Each bond's draw leaves the Maxwell-Boltzmann distribution,
momentum and angular momentum as they are. Why: a stiff bond hardly exchanges energy with anything else, and a friction of
1/ps takes 1 ps to, so that its width is badly known for long, and a little off at long time steps. More friction on
everything would slow down everything; along bonds nothing is slow, and how a bond turns, an angle's or a dihedral's motion,
is not touched.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class BondThermostat(eqx.Module):
    """Bonds as pairs of beads in `rounds`, and in their order the `frequencies` (rad/ps).

    Bonds of one round share no bead and are drawn at once. Static, so that the compiler knows the indices.
    """

    rounds: tuple[tuple[tuple[int, int], ...], ...] = eqx.field(static=True)
    frequencies: Float[Array, " k"]

    @staticmethod
    def of(bonds: Int[np.ndarray, "k 2"], frequencies: Float[np.ndarray, " k"]) -> "BondThermostat":
        """That of `bonds`, in as few rounds as taking each in the first that has room for it makes."""
        rounds: list[dict[tuple[int, int], float]] = []
        for (i, j), frequency in zip(bonds.tolist(), frequencies, strict=True):
            room = next((r for r in rounds if not any({i, j} & {*pair} for pair in r)), None)
            if room is None:
                room = {}
                rounds.append(room)
            room[i, j] = frequency
        ordered = [frequency for r in rounds for frequency in r.values()]
        return BondThermostat(tuple(map(tuple, rounds)), jnp.asarray(ordered, jnp.float32))

    def damped(
        self,
        xi: Float[Array, " k"],
        x: Float[Array, "n 3"],
        v: Float[Array, "n 3"],
        masses: Float[Array, " n"],
        kT: float,
        dt: float | Float[Array, ""],
    ) -> Float[Array, "n 3"]:
        """`v` (nm/ps) after `dt` ps of damping at `kT` (kJ/mol), with standard normal numbers `xi`; `x` nm, `masses` Da."""
        kept = jnp.exp(-2 * self.frequencies * dt)
        noise = jnp.sqrt(1 - kept**2) * xi
        first = 0
        for pairs in self.rounds:
            (i, j), here = np.array(pairs).T, slice(first, first + len(pairs))
            bond, reduced = x[j] - x[i], 1 / (1 / masses[i] + 1 / masses[j])
            length = jnp.sqrt(jnp.maximum(jnp.sum(bond**2, axis=-1), 1e-12))
            old = jnp.sum((v[j] - v[i]) * bond, axis=-1) / length
            new = kept[here] * old + jnp.sqrt(kT / reduced) * noise[here]
            impulse = (reduced * (new - old) / length)[:, None] * bond
            v = v.at[i].add(-impulse / masses[i][:, None], unique_indices=True)
            v = v.at[j].add(impulse / masses[j][:, None], unique_indices=True)
            first += len(pairs)
        return v
