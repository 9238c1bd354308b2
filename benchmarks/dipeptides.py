"""All-atom data of many small molecules: capped single residues and chains of three, as beads C N CA ... C N.

    python benchmarks/dipeptides.py FOLDER --rounds 8      stop it at any time: what is there is not done again

In each round every molecule gets one more copy: scattered at 600 K, equilibrated at 300 K, then kept for the picoseconds that
its part in the benchmark asks for. Force field, solvent, masses and time step are those of `scorefield reference`, whose
parts it uses; a processor does single molecules of this size fastest without a cutoff and with OpenMM's own force for OBC2,
whose energy is checked against that of the other.

Crossings of phi are rare at 300 K, so each phi but those of glycine and proline feels a fixed bias, half of alanine's free
energy turned over, and frames are kept by their weights exp(V): drawn from twice as many (`transfer_data.py`).

FOLDER/CODE/K.npz: copy K, beads (frames, beads, 3) nm float32, `weight` (frames,).
"""

import argparse
import os
import time
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from scorefield.errors import InputError
from scorefield.extras import extra
from scorefield.geometry import dihedrals
from scorefield.reference.copies import copies_system, force_field, minimised
from scorefield.reference.peptide import load_structure
from scorefield.systems import load_system

HELD_OUT = tuple("VFQKS")  # one of each kind: branched, aromatic, amide, charged, small and polar
TRAINED = tuple("AGILTCNDEMRY")
TRIPEPTIDES = ("AGT", "LDI")
MOLECULES = (*TRAINED, *HELD_OUT, *TRIPEPTIDES)

SOLVENT, TEMPERATURE, HOT, HYDROGEN_MASS, DT_FS, FRICTION = "obc2", 300.0, 600.0, 3.0, 4.0, 1.0
KT = 0.00831446261815324 * TEMPERATURE
ORDERS, TEMPERING = 6, 2.0
SAVE_STEPS = 62  # 0.248 ps
SCATTER_PS, EQUILIBRATE_PS = 20.0, 30.0
KEPT_PS = {**dict.fromkeys(HELD_OUT, 1320.0), **dict.fromkeys(TRAINED, 250.0), **dict.fromkeys(TRIPEPTIDES, 190.0)}


class Beads(NamedTuple):
    """The chain's atoms, and the biased phi among them."""

    atoms: Int[np.ndarray, " n"]
    phi: Int[np.ndarray, "k 4"]


def beads_of(topology: Any) -> Beads:
    """C of the first cap, N CA C of every residue, N of the last cap."""
    residues = list(topology.residues())
    atoms = [{a.name: a.index for a in r.atoms()} for r in residues]
    chain = [atoms[0]["C"], *(a[name] for a in atoms[1:-1] for name in ("N", "CA", "C")), atoms[-1]["N"]]
    biased = [k for k, r in enumerate(residues[1:-1]) if r.name not in {"GLY", "PRO"}]
    return Beads(np.array(chain), np.array([np.arange(3 * k, 3 * k + 4) for k in biased], int).reshape(-1, 4))


def phi_of(x: Float[np.ndarray, "f n 3"], quads: Int[np.ndarray, "k 4"]) -> Float[np.ndarray, "f k"]:
    """In rad."""
    import jax

    return np.asarray(jax.jit(jax.vmap(lambda y: dihedrals(y, quads)))(x))


def waves(angle: Float[np.ndarray, "..."]) -> Float[np.ndarray, "... w"]:
    """cos k angle and sin k angle, k = 1 .. ORDERS."""
    k = np.arange(1, ORDERS + 1) * angle[..., None]
    return np.concatenate([np.cos(k), np.sin(k)], axis=-1)


@cache
def bias() -> Float[np.ndarray, " w"]:
    """Coefficients of `waves` in kT: alanine dipeptide's -F(phi) (1 - 1 / TEMPERING), where it has data."""
    data = load_system("ala2")
    angle = phi_of(np.asarray(data.trajectory.positions), np.array([[0, 1, 2, 3]]))[:, 0]
    counts, edges = np.histogram(angle, 72, (-np.pi, np.pi))
    free = -np.log(np.maximum(counts, 1) / counts.max())
    centres = (edges[1:] + edges[:-1]) / 2
    design = np.concatenate([waves(centres), np.ones((len(centres), 1))], axis=1)
    return np.linalg.lstsq(design, -free * (1 - 1 / TEMPERING), rcond=None)[0][:-1]


def with_own_solvent(system: Any) -> Any:
    """`system` with OpenMM's GBSAOBCForce for the custom force that says the same."""
    mm = extra("openmm", "openmm")
    place = next(k for k, f in enumerate(system.getForces()) if isinstance(f, mm.CustomGBForce))
    custom, own = system.getForce(place), mm.GBSAOBCForce()
    for k in range(custom.getNumParticles()):
        charge, offset_radius, scaled = custom.getParticleParameters(k)
        own.addParticle(charge, offset_radius + 0.009, scaled / offset_radius)
    own.setNonbondedMethod(mm.GBSAOBCForce.NoCutoff)
    system.removeForce(place)
    system.addForce(own)
    return system


class Engine:
    """One molecule."""

    def __init__(self, code: str) -> None:
        mm = extra("openmm", "openmm")
        reference = mm.Platform.getPlatformByName("Reference")
        structure = minimised(load_structure(code, True, force_field(SOLVENT)), SOLVENT, reference)
        self.beads, self._start = beads_of(structure.topology), structure.positions
        system = copies_system(structure.topology, 1, SOLVENT, HYDROGEN_MASS)
        wanted = _energy(system, self._start, reference)
        found = _energy(with_own_solvent(system), self._start, reference)
        if abs(found - wanted) > 1e-4 * abs(wanted):
            raise InputError(f"{code}: {found:g} kJ/mol with one solvent, {wanted:g} with the other")
        terms = (f"{c:.9g} * {w}({k} * theta)" for c, w, k in _named(bias()))
        force = mm.CustomTorsionForce(f"{KT:.9g} * ({' + '.join(terms)})")
        for quad in self.beads.phi:
            force.addTorsion(*(int(a) for a in self.beads.atoms[quad]), [])
        system.addForce(force)
        self._integrator = mm.LangevinMiddleIntegrator(TEMPERATURE, FRICTION, DT_FS * 1e-3)
        self._context = mm.Context(system, self._integrator, reference)

    def copy(self, seed: int, kept_ps: float) -> Float[np.ndarray, "f n 3"]:
        """The beads (nm), every SAVE_STEPS."""
        self._integrator.setRandomNumberSeed(seed)
        self._context.reinitialize()
        self._context.setPositions(self._start)
        self._context.setVelocitiesToTemperature(TEMPERATURE, seed)
        for temperature, time_ps in ((HOT, SCATTER_PS), (TEMPERATURE, EQUILIBRATE_PS)):
            self._integrator.setTemperature(temperature)
            self._integrator.step(round(time_ps / DT_FS * 1e3))
        return np.stack([self._next() for _ in range(round(kept_ps / DT_FS * 1e3 / SAVE_STEPS))])

    def _next(self) -> Float[np.ndarray, "n 3"]:
        self._integrator.step(SAVE_STEPS)
        x = self._context.getState(getPositions=True).getPositions(asNumpy=True)._value[self.beads.atoms]
        if not np.isfinite(x).all():
            raise InputError("the dynamics blew up")
        return (x - x.mean(axis=0)).astype(np.float32)


def _named(coefficients: Float[np.ndarray, " w"]) -> list[tuple[float, str, int]]:
    return [(float(c), ("cos", "sin")[k // ORDERS], k % ORDERS + 1) for k, c in enumerate(coefficients)]


def _energy(system: Any, x: Float[np.ndarray, "a 3"], platform: Any) -> float:
    mm = extra("openmm", "openmm")
    context = mm.Context(system, mm.VerletIntegrator(1e-3), platform)
    context.setPositions(x)
    return context.getState(getEnergy=True).getPotentialEnergy()._value


def weights(x: Float[np.ndarray, "f n 3"], quads: Int[np.ndarray, "k 4"]) -> Float[np.ndarray, " f"]:
    """exp(V), of the bias V in kT, which frames count with."""
    return np.exp((waves(phi_of(x, quads)) @ bias()).sum(axis=1)) if len(quads) else np.ones(len(x))


def main() -> None:
    """Round after round, molecule after molecule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--molecules", nargs="+", default=list(MOLECULES))
    parser.add_argument("--share", type=float, default=1.0, help="of the usual time of each copy")
    asked = parser.parse_args()
    engines: dict[str, Engine] = {}
    for k in range(asked.rounds):
        for code in asked.molecules:
            path = asked.folder / code / f"{k}.npz"
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if code not in engines:
                engines[code] = Engine(code)
            engine = engines[code]
            began = time.process_time()
            x = engine.copy(1000 * k + MOLECULES.index(code) + 1, asked.share * KEPT_PS[code])
            w = weights(x, engine.beads.phi)
            draft = path.with_suffix(".draft")
            with open(draft, "wb") as file:
                np.savez(file, x=x, weight=w.astype(np.float32))
            os.replace(draft, path)
            effective = w.sum() ** 2 / (w**2).sum()
            print(
                f"{code} {k}: {len(x)} frames, {effective:.0f} effective, {time.process_time() - began:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
