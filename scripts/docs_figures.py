"""The figures of docs/theory.md, from the built-in model and from benchmarks/results.

python scripts/docs_figures.py docs/figures

blur.png: a bond's length in dynamics whose force is read off as the plain method does, and as scorefield does
level.png: the curve that the built-in model's noise level was chosen by
data.png: error against the number of training frames, alanine dipeptide (benchmarks/fidelity.py)
error.png: the force's error against an exactly known force (benchmarks/oracles.py)
speed.png: rates beside published networks against the length of the chain (benchmarks/speed.py)
"""

import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from docs_results import read
from docs_speed import speed
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from scorefield import ForceField, load_model, load_system, sample
from scorefield.dynamics import Langevin
from scorefield.model import Model
from scorefield.plot import level_figure
from scorefield.units import thermal_energy

REPLICAS, STEPS, STRIDE = 200, 2000, 50  # of 2 fs
BLURRED_NM = 0.006


def bond_lengths(model: Model, starts: np.ndarray, force) -> Float[np.ndarray, " f"]:
    """Lengths (Å) of the second bond in 4 ps of Langevin dynamics of every start under `force`, the first half left out."""
    how = jnp.asarray(model.masses), thermal_energy(model.temperature), 0.002, 1.0, model.bond_thermostat
    dynamics = Langevin(force, *how)

    @eqx.filter_jit
    def run(key: Array, x: Float[Array, "n 3"]) -> Float[Array, " k"]:
        def step(state, key):
            state = dynamics.step(key, state)
            return state, jnp.linalg.norm(state.x[1] - state.x[2])

        first, rest = jax.random.split(key)
        return jax.lax.scan(step, dynamics.init(first, x), jax.random.split(rest, STEPS))[1][STEPS // 2 :: STRIDE]

    keys = jax.random.split(jax.random.key(0), len(starts))
    return 10 * np.asarray(jax.vmap(run)(keys, jnp.asarray(starts))).ravel()


def blur(model: Model) -> Figure:
    """Reference, plain and noise-aware bond lengths at one noise level."""
    kT, level = thermal_energy(model.temperature), jnp.float32(BLURRED_NM)
    starts = np.asarray(sample(model, REPLICAS + 10).trajectory.positions[:REPLICAS])
    plain = bond_lengths(model, starts, lambda x: kT * model.score.score(x, level))
    ours = bond_lengths(model, starts, ForceField(model.score, BLURRED_NM, model.temperature).force)
    x = np.asarray(load_system("ala2").split("test").positions)
    true = 10 * np.linalg.norm(x[:, 1] - x[:, 2], axis=-1)
    figure, ax = plt.subplots(figsize=(7.2, 3.0), layout="constrained")
    bins = np.linspace(1.2, 1.75, 56).tolist()
    ax.hist(true, bins, density=True, color="0.8", label="reference, held out")
    for values, label, colour in (
        (plain, "score at the level", "tab:red"),
        (ours, "prior at 0, network at the level", "tab:blue"),
    ):
        ax.hist(
            values, bins, density=True, histtype="step", lw=1.6, color=colour, label=f"{label}: ± {values.std():.3f} Å"
        )
    ax.set(xlabel=f"length of the bond N-CA (Å), level {10 * BLURRED_NM:g} Å", ylabel="density (1/Å)")
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure


def data() -> Figure:
    """Errors over their floors against training frames, mean and range over seeds."""
    cells = read("fidelity")["cells"]
    names = {"data/2000": 2000, "data/5000": 5000, "data/10000": 10_000, "data/20000": 20_000, "main/default": 50_000}
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.0), layout="constrained", sharey=True)
    for ax, metric, title in zip(
        axes, ("dihedral_js", "pmf_error"), ("(φ, ψ), dihedral_js", "free energy"), strict=True
    ):
        for part, colour in (("samples", "tab:blue"), ("simulation", "tab:orange")):
            found = [
                [
                    r[part][metric]["value"] / r[part][metric]["floor"]
                    for k, r in cells.items()
                    if k.rsplit("/", 1)[0] == name
                ]
                for name in names
            ]
            mean = np.array([np.mean(values) for values in found])
            spread = [
                [m - min(v) for m, v in zip(mean, found, strict=True)],
                [max(v) - m for m, v in zip(mean, found, strict=True)],
            ]
            ax.errorbar(list(names.values()), mean, spread, fmt="o-", ms=4, capsize=3, color=colour, label=part)
        ax.axhline(1, color="0.6", lw=0.8)
        ax.set(xscale="log", xlabel="training frames, thousands", title=title, ylim=(0.8, 1.7))
        ax.set_xticks(list(names.values()), [f"{n / 1000:g}" for n in names.values()])
        ax.minorticks_off()
    axes[0].set_ylabel("error over its floor")
    axes[0].legend(frameon=False)
    return figure


def error() -> Figure:
    """Relative squared error of the force against the exact one, at every level."""
    cells = read("oracles")["cells"]
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.0), layout="constrained", sharey=True)
    for ax, system in zip(axes, ("double-well", "torsion-chain"), strict=True):
        for method, colour in (("plain", "tab:red"), ("default", "tab:blue")):
            found = cells[f"{system}-{method}-0"]["force_error"]
            label = {"plain": "plain method", "default": "scorefield"}[method]
            ax.plot(10 * np.array(found["level_nm"]), found["total"], "o-", ms=3, color=colour, label=label)
        ax.set(xscale="log", yscale="log", xlabel="noise level (Å)", title=system.replace("-", " "))
    axes[0].set_ylabel("error of the force, relative")
    axes[1].legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    """Draw and write all."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    model = load_model("ala2")
    curve = model.levels.to_json()
    level = level_figure(curve["levels_nm"], curve["excess"], curve["error"], model.level, 5.6)
    figures = {"data": data(), "error": error(), "level": level, "blur": blur(model), "speed": speed()}
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.png", dpi=130)


if __name__ == "__main__":
    main()
