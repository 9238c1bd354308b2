"""Energy drift without thermostat: velocity Verlet, which is BAOAB at zero friction."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..energy.base import AbstractEnergy
from ..units import thermal_energy
from .base import Check, Context, finite
from .replicas import short_runs

_FRAMES, _REPLICAS_PER_CELL = 100, 2
_THRESHOLD = 1.0  # kT / ns / degree of freedom


def energy_drift(context: Context) -> Check:
    """Slope and fluctuation of the total energy at the model's time step, in kT and per degree of freedom."""
    shared = {
        "name": "energy_drift",
        "title": "Energy drift per degree of freedom, no thermostat",
        "threshold": _THRESHOLD,
        "unit": "kT/ns",
        "reason": "a thermostat of friction 1/ps turns a drift of 1 kT/ns per degree of freedom into a temperature 0.1% "
        "off, below every other error; 2 standard errors are allowed for",
    }
    if not isinstance(context.model.score, AbstractEnergy):
        none = "a direct network has no energy: nothing is conserved, and nothing can be measured"
        return Check(**shared, value=None, passed=False, finding=none)
    dt = context.model.dt_fs
    time, energy = total_energy(context, dt)
    good = np.asarray(np.isfinite(energy).all(axis=1))
    if not good.any():
        return Check(**shared, value=None, passed=False, finding="every replica was lost")
    off = energy[good] - energy[good].mean(axis=1, keepdims=True)
    slope = 1e3 * np.polyfit(time, off.T, 1)[0]  # per ns
    drift, error = float(slope.mean()), float(slope.std(ddof=1) / np.sqrt(len(slope))) if len(slope) > 1 else 0.0
    noise = float(np.sqrt(np.mean(off**2)))
    lost = int((~good).sum())
    return Check(
        **shared,
        value=abs(drift),
        error=error,
        passed=bool(not lost and abs(drift) <= _THRESHOLD + 2 * error),
        finding=f"{drift:+.3f} ± {error:.3f} kT/ns per degree of freedom at {dt:g} fs, fluctuation {noise:.4f} kT"
        + (f"; {lost} of {len(good)} replicas lost" if lost else ""),
        details={
            "dt_fs": dt,
            "time_ps": finite(time),
            "energy_kT": finite(energy[good][:16] - energy[good][:16, :1]),
            "drift": drift,
            "error": error,
            "fluctuation_kT": noise,
        },
    )


def total_energy(context: Context, dt_fs: float) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, "r f"]]:
    """Times (ps), and potential plus kinetic energy in kT per degree of freedom of every replica."""
    model, sizes = context.model, context.sizes
    replicas = _REPLICAS_PER_CELL * sizes.map_replicas
    starts = context.starts(replicas)
    stride = max(1, round(sizes.map_time_ps * 1e3 / dt_fs / _FRAMES))
    levels = np.full(replicas, model.level)
    x, v = short_runs(model, starts, levels, dt_fs * 1e-3, 0.0, stride, _FRAMES, context.key("drift"))
    assert isinstance(model.score, AbstractEnergy)
    potential = np.asarray(_potential(model.score, jnp.float32(model.level), jnp.asarray(x)), np.float64)
    kinetic = 0.5 * np.einsum("n,rfnc->rf", model.masses, v.astype(np.float64) ** 2)
    freedom = 3 * model.molecule.n_beads - 3
    time = dt_fs * 1e-3 * stride * np.arange(1, _FRAMES + 1)
    return time, (potential + kinetic / thermal_energy(model.temperature)) / freedom


@eqx.filter_jit
def _potential(model: AbstractEnergy, level: Array, x: Float[Array, "r f n 3"]) -> Float[Array, "r f"]:
    return jax.lax.map(jax.vmap(lambda x: model.potential(x, level)), x)
