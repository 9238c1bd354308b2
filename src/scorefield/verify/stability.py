"""Does the dynamics hold, and at the right temperature? At the model's own step and level, and on a map around them."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..fields import divergence, over_frames
from ..observables import bond_lengths
from ..trajectory import Trajectory
from .base import Check, Context, finite
from .fields import MeanForce, chain_ratio
from .replicas import short_runs

DT_FS = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0)
LEVELS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the model's own level."""

_MAP_FRAMES = 25
_TEMPERATURE_FRAMES = 4096
_TEMPERATURE, _WIDTH = 0.02, 0.05


def stability(context: Context) -> Check:
    """The simulation's lost replicas, configurational temperature and bond widths, and a map of them."""
    simulation, simulated = context.simulation, context.simulated
    table = stability_map(context)
    errors = [e for row in table["temperature_error"] for e in row if e is not None]
    details: dict[str, Any] = {
        "map": table,
        "map_temperature_error": float(np.median(errors)) if errors else 0.0,
        "dt_fs": context.model.dt_fs,
    }
    reason = (
        "deviation of the configurational temperature: 2%, plus 2 standard errors, moves no free energy of 5 kT by more than "
        "a tenth of kT; no replica may be lost, and bond widths must be within 5%, plus 3 standard errors"
    )
    shared = {"name": "stability", "title": "Stability and temperature", "threshold": _TEMPERATURE, "reason": reason}
    if simulation is None or simulated is None:
        return Check(**shared, value=None, passed=False, finding="every replica was lost at once", details=details)
    T, T_error = configurational_temperature(context.force, simulated, context.key("stability"))
    width, width_error = bond_width_ratios(context, simulated)
    hot = abs(T - 1) <= _TEMPERATURE + 2 * np.nan_to_num(T_error)
    wide = bool(np.all(np.abs(width - 1) <= _WIDTH + 3 * np.nan_to_num(width_error)))
    bonds = f"; bond widths {width.min():.3f} to {width.max():.3f} of the reference" if len(width) else ""
    details |= {
        "lost": simulation.lost,
        "replicas": simulation.started,
        "temperature": finite(T),
        "temperature_error": finite(T_error),
        "bond_width": finite(width),
        "bond_width_error": finite(width_error),
    }
    return Check(
        **shared,
        value=finite(abs(T - 1)),
        error=finite(T_error),
        passed=bool(simulation.lost == 0 and hot and wide),
        finding=f"{simulation.lost} of {simulation.started} replicas lost; configurational temperature {T:.3f} ± "
        f"{T_error:.3f} of the thermostat's{bonds}",
        details=details,
    )


def configurational_temperature(
    force: MeanForce, trajectory: Trajectory, key: PRNGKeyArray, kT: float = 1.0
) -> tuple[float, float]:
    """<|F|^2> / <-div F> in units of the thermostat's temperature, and its standard error over chains.

    Rugh (1997): it needs no velocities, and is 1 if the frames are Boltzmann's for this force. `kT` of the thermostat in
    units of the one at which the force was learned.
    """
    trajectory = thin_chains(trajectory, _TEMPERATURE_FRAMES)
    square, spring = squares_and_springs(force, trajectory.positions, key).T
    T, error = chain_ratio(square, kT * spring, trajectory.chain_lengths)
    return float(T), float(error)


def squares_and_springs(force: MeanForce, x: Float[np.ndarray, "f n 3"], key: PRNGKeyArray) -> Float[np.ndarray, "f 2"]:
    """|F|^2 and -div F of every frame, in 1/nm^2, float64."""
    keys = jax.random.split(key, len(x))
    return np.asarray(_squares_and_springs(force, jnp.asarray(x, jnp.float32), keys), np.float64)


@eqx.filter_jit
def _squares_and_springs(force: MeanForce, x: Float[Array, "f n 3"], keys: PRNGKeyArray) -> Float[Array, "f 2"]:
    return over_frames(lambda x, k: jnp.stack([jnp.sum(force(x) ** 2), -divergence(force, x, k)]), x, keys)


def thin_chains(trajectory: Trajectory, n: int) -> Trajectory:
    """About `n` frames: evenly spaced within every chain, the chains kept apart."""
    if trajectory.n_frames <= n:
        return trajectory
    share = n / trajectory.n_frames
    chains = [c[np.linspace(0, len(c) - 1, max(1, round(share * len(c)))).astype(int)] for c in trajectory.chains()]
    lengths = tuple(len(c) for c in chains)
    return Trajectory(trajectory.molecule, np.concatenate(chains), lengths, trajectory.temperature)


def bond_width_ratios(
    context: Context, trajectory: Trajectory
) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Every bond's standard deviation over the reference's, and the standard error of that."""
    physical = context.physical
    if not len(physical.bond_sd):
        return np.zeros(0), np.zeros(0)
    bonds = bond_lengths(trajectory).astype(float)
    square = (bonds - bonds.mean(axis=0)) ** 2
    variance, error = chain_ratio(square, np.ones_like(square), trajectory.chain_lengths)
    return np.sqrt(variance) / physical.bond_sd, error / (2 * np.sqrt(variance) * physical.bond_sd)


def stability_map(context: Context) -> dict[str, Any]:
    """Lost replicas, configurational temperature and bonds at every time step (fs) and level (nm): rows are levels.

    None where no replica survived. `bond_shift`: the largest |mean bond - reference mean| in nm; `bond_width`: the mean
    of the ratios of widths.
    """
    own = context.model.dt_fs
    steps = sorted({*DT_FS, own})
    levels = [factor * context.model.level for factor in LEVELS]
    r = context.sizes.map_replicas
    starts = np.tile(context.starts(r), (len(levels), 1, 1))
    cells = []
    for dt_fs in steps:
        stride = max(1, round(context.sizes.map_time_ps * 1e3 / dt_fs / _MAP_FRAMES))
        key, friction = context.key(f"map {dt_fs:g}"), context.model.config.simulation.friction
        x, _ = short_runs(context.model, starts, np.repeat(levels, r), dt_fs * 1e-3, friction, stride, _MAP_FRAMES, key)
        cells.append([_cell(context, x[k * r : (k + 1) * r], level, key) for k, level in enumerate(levels)])
    table = np.array(cells).transpose(2, 1, 0)  # quantity, level, time step
    names = ("lost", "temperature", "temperature_error", "bond_shift", "bond_width")
    return {"dt_fs": steps, "levels_nm": finite(np.array(levels)), "replicas": r} | {
        name: finite(values) for name, values in zip(names, table, strict=True)
    }


def _cell(context: Context, x: Float[np.ndarray, "r f n 3"], level: float, key: PRNGKeyArray) -> Sequence[float]:
    """Lost, configurational temperature and its error, bond shift, bond width of one cell; all but the first may be NaN."""
    model = context.model
    alive = model.physical.intact(x, model.molecule).all(axis=1)
    lost, kept = float((~alive).sum()), x[alive].reshape(-1, *x.shape[2:])
    if not len(kept):
        return lost, np.nan, np.nan, np.nan, np.nan
    # always as many frames as were run: one compilation serves all cells
    frames = np.resize(kept, (x.shape[0] * x.shape[1], *x.shape[2:]))
    square, spring = squares_and_springs(MeanForce(model.score, jnp.float32(level)), frames, key)[: len(kept)].T
    T, error = chain_ratio(square, spring, (x.shape[1],) * int(alive.sum()))
    bonds = bond_lengths(Trajectory(model.molecule, frames, (len(frames),), model.temperature))[: len(kept)]
    if not bonds.shape[1]:
        return lost, float(T), float(error), np.nan, np.nan
    shift = np.abs(bonds.mean(axis=0) - context.physical.bond_mean).max()
    return lost, float(T), float(error), shift, float(np.mean(bonds.std(axis=0) / context.physical.bond_sd))
