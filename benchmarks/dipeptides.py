"""All-atom data of many small molecules at once: capped single residues and chains of three, as beads C, N, CA.

    python benchmarks/dipeptides.py structures FOLDER             starting structures (PDB), seconds on a CPU
    python benchmarks/dipeptides.py simulate FOLDER -o OUT --seconds 220

Copies of all molecules stand in one System (`scorefield.reference.copies`), so that one force evaluation serves all of
them. Crossings of phi are rare at 300 K; each phi but proline's therefore carries a bias, a Fourier series learned on the
way (variationally enhanced sampling, Valsson and Parrinello, PRL 113, 090601, 2014; the target is a tempered one), and the
frames kept are drawn by their exact weights exp(V), which are those of the unbiased molecule.

OUT/molecules-K.npz: for each molecule CODE, CODE.x (frames, beads, 3) int16 in units of `unit_nm`, CODE.copy (frames,) which
copy each comes from; `about`, JSON. `transfer_data.py` makes datasets of them.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from scorefield.errors import InputError
from scorefield.extras import extra
from scorefield.reference.copies import crowd_system, cutoff, force_field, minimised, properties
from scorefield.reference.peptide import load_structure

HELD_OUT = tuple("VFQKSM")  # one of each kind: branched, aromatic, amide, charged, small and polar, long
TRAINED = tuple("ACDEGHILNPRTWY")
TRIPEPTIDES = ("AGT", "LDI", "GPN", "RYC", "EHW", "TAR")  # of TRAINED alone, each of which is in one of them
MIXED = ("VAS", "FGK", "QLM", "KTF")  # with residues of HELD_OUT, for the easier question
MOLECULES = (*HELD_OUT, *TRAINED, *TRIPEPTIDES, *MIXED)

SOLVENT, TEMPERATURE, HOT, HYDROGEN_MASS, DT_FS, FRICTION = "obc2", 300.0, 600.0, 3.0, 4.0, 1.0
KT = 0.00831446261815324 * TEMPERATURE
ORDERS, TEMPERING, RATE = 6, 5.0, 0.4
UNIT_NM = 4e-5
MOVE_PS, ROUND_MOVES = 1.0, 4
SHARES = (("scatter", 0.1), ("learn", 0.25), ("equilibrate", 0.1))  # of the time; the rest is kept
FILE_BYTES = 14e6
MARGIN_NM = 2.0


class Species(NamedTuple):
    """One molecule: its `topology`, `start` (nm), `copies`, atoms of its `beads`, and of the biased `phi` among beads."""

    code: str
    topology: Any
    start: Float[np.ndarray, "a 3"]
    copies: int
    beads: Int[np.ndarray, " n"]
    phi: Int[np.ndarray, "k 4"]


def species(path: Path, copies: int) -> Species:
    """The molecule in a PDB file of a capped peptide: its backbone from the C before it to the N after it."""
    pdb = extra("openmm.app", "openmm").PDBFile(str(path))
    atoms = [{a.name: a.index for a in r.atoms()} for r in pdb.topology.residues()]
    names = [r.name for r in pdb.topology.residues()]
    beads = [atoms[0]["C"], *(a[name] for a in atoms[1:-1] for name in ("N", "CA", "C")), atoms[-1]["N"]]
    phi = [(3 * k, 3 * k + 1, 3 * k + 2, 3 * k + 3) for k, name in enumerate(names[1:-1]) if name != "PRO"]
    x = np.array(pdb.getPositions(asNumpy=True)._value, float)
    return Species(path.stem, pdb.topology, x, copies, np.array(beads), np.array(phi, int).reshape(-1, 4))


def write_structures(folder: Path, codes: Sequence[str]) -> None:
    """FOLDER/CODE.pdb of each capped peptide, minimised."""
    app, unit = extra("openmm.app", "openmm"), extra("openmm.unit", "openmm")
    folder.mkdir(parents=True, exist_ok=True)
    platform = extra("openmm", "openmm").Platform.getPlatformByName("Reference")
    for code in codes:
        made = minimised(load_structure(code, True, force_field(SOLVENT)), SOLVENT, platform)
        with open(folder / f"{code}.pdb", "w") as file:
            app.PDBFile.writeFile(made.topology, made.positions * unit.nanometer, file, keepIds=True)


def dihedral(x: Float[np.ndarray, "... 4 3"]) -> Float[np.ndarray, "..."]:
    """In rad, of four beads each."""
    a, b, c = np.moveaxis(np.diff(x, axis=-2), -2, 0)
    u, v = np.cross(a, b), np.cross(b, c)
    return np.arctan2(np.sum(np.cross(u, v) * b, axis=-1) / np.linalg.norm(b, axis=-1), np.sum(u * v, axis=-1))


def waves(angle: Float[np.ndarray, "..."]) -> Float[np.ndarray, "... w"]:
    """cos k angle and sin k angle, k = 1 .. ORDERS."""
    k = np.arange(1, ORDERS + 1) * angle[..., None]
    return np.concatenate([np.cos(k), np.sin(k)], axis=-1)


GRID = np.linspace(-np.pi, np.pi, 721)[:-1]


def tempered(bias: Float[np.ndarray, "t w"]) -> Float[np.ndarray, "t w"]:
    """The means of `waves` under the target: the unbiased density, as `bias` (kT) has it, at TEMPERING times kT."""
    t = np.exp(waves(GRID) @ bias.T / (TEMPERING - 1))
    return (t.T @ waves(GRID)) / t.sum(axis=0)[:, None]


class Crowd:
    """All copies of all molecules in one System, with the bias on their phi."""

    def __init__(self, molecules: Sequence[Species], platform: str | None, seed: int) -> None:
        mm = extra("openmm", "openmm")
        self.molecules = molecules
        everyone = [m.topology for m in molecules for _ in range(m.copies)]
        system = crowd_system(everyone, SOLVENT, HYDROGEN_MASS)
        self._offsets = np.cumsum([0] + [m.copies * len(m.start) for m in molecules])
        self._bias = mm.CustomTorsionForce(f"{KT:.12g} * ({_series()})")
        for kind in ("c", "s"):
            for k in range(ORDERS):
                self._bias.addPerTorsionParameter(f"{kind}{k + 1}")
        self._torsions = [
            [self._add(start, quad, m) for start in self._starts(j)] for j, m in enumerate(molecules) for quad in m.phi
        ]
        self._bias.setForceGroup(7)
        system.addForce(self._bias)
        self._integrator = mm.LangevinMiddleIntegrator(TEMPERATURE, FRICTION, DT_FS * 1e-3)
        self._integrator.setRandomNumberSeed(seed + 1)
        self._context = _context(system, self._integrator, platform)
        self.platform = self._context.getPlatform().getName()
        self._spacing = max(map(cutoff, {m.topology for m in molecules})) + MARGIN_NM
        self._place([np.repeat(m.start[None], m.copies, axis=0) for m in molecules])
        self._context.setVelocitiesToTemperature(TEMPERATURE, seed + 1)

    def _starts(self, j: int) -> range:
        """The first atom of every copy."""
        return range(self._offsets[j], self._offsets[j + 1], len(self.molecules[j].start))

    def _add(self, start: int, quad: np.ndarray, m: Species) -> tuple[int, list[int]]:
        atoms = [int(start + a) for a in m.beads[quad]]
        return self._bias.addTorsion(*atoms, [0.0] * (2 * ORDERS)), atoms

    def set_bias(self, bias: Float[np.ndarray, "t w"]) -> None:
        """Coefficients of `waves` in kT, one row for each biased phi."""
        for row, torsions in zip(bias.tolist(), self._torsions, strict=True):
            for index, atoms in torsions:
                self._bias.setTorsionParameters(index, *atoms, row)
        self._bias.updateParametersInContext(self._context)

    def set_temperature(self, temperature: float) -> None:
        """Of the thermostat, K."""
        self._integrator.setTemperature(temperature)

    def moves(self) -> Iterator[list[Float[np.ndarray, "c n 3"]]]:
        """The beads of every copy (nm), every MOVE_PS, after which copies that drift are put back."""
        while True:
            self._integrator.step(round(MOVE_PS / DT_FS * 1e3))
            x = self._positions()
            yield [a[:, m.beads].astype(np.float32) for a, m in zip(x, self.molecules, strict=True)]
            self._place(x)

    def _positions(self) -> list[Float[np.ndarray, "c a 3"]]:
        x = np.asarray(self._context.getState(getPositions=True).getPositions(asNumpy=True)._value)
        if not np.isfinite(x).all():
            raise InputError("the dynamics blew up")
        parts = np.split(x, self._offsets[1:-1])
        return [a.reshape(m.copies, -1, 3) for a, m in zip(parts, self.molecules, strict=True)]

    def _place(self, x: Sequence[Float[np.ndarray, "c a 3"]]) -> None:
        """Whole copies moved to a grid of their own points, further apart than the cutoff."""
        x = [a - a.mean(axis=1, keepdims=True) for a in x]
        number = sum(len(a) for a in x)
        side = int(np.ceil(number ** (1 / 3) - 1e-9))
        grid = np.stack(np.unravel_index(np.arange(number), (side,) * 3), axis=1) - (side - 1) / 2
        radius = max(float(np.linalg.norm(a, axis=-1).max()) for a in x)
        places = np.split(grid * (2 * radius + self._spacing), np.cumsum([len(a) for a in x])[:-1])
        whole = [(a + p[:, None]).reshape(-1, 3) for a, p in zip(x, places, strict=True)]
        self._context.setPositions(np.concatenate(whole))

    def bias_energy(self) -> float:
        """Of all copies, kT; a check."""
        return self._context.getState(getEnergy=True, groups={7}).getPotentialEnergy()._value / KT


def _series() -> str:
    return " + ".join(f"c{k} * cos({k} * theta) + s{k} * sin({k} * theta)" for k in range(1, ORDERS + 1))


def _context(system: Any, integrator: Any, name: str | None) -> Any:
    """On the fastest platform that works, or on that of this name."""
    mm = extra("openmm", "openmm")
    there = [mm.Platform.getPlatform(k) for k in range(mm.Platform.getNumPlatforms())]
    fitting = [p for p in there if name is None or p.getName().lower() == name.lower()]
    for platform in sorted(fitting, key=lambda p: -p.getSpeed()):
        wanted = {k: v for k, v in properties(platform).items() if k != "DeterministicForces"}
        try:
            return mm.Context(system, integrator, platform, wanted)
        except mm.OpenMMException as error:
            print(f"{platform.getName()} does not work here: {error}", flush=True)
    raise InputError(f"no OpenMM platform works; there are: {', '.join(p.getName() for p in there)}")


def angles(molecules: Sequence[Species], x: Sequence[Float[np.ndarray, "c n 3"]]) -> list[Float[np.ndarray, " c"]]:
    """Every biased phi of all copies, in rad."""
    return [dihedral(a[:, quad]) for a, m in zip(x, molecules, strict=True) for quad in m.phi]


def simulated(crowd: Crowd, seconds: float) -> tuple[list[np.ndarray], Float[np.ndarray, "t w"], dict[str, float]]:
    """Beads (frames, copies, beads, 3) of every molecule under the bias, which is returned too, and ps of each phase."""
    steps = crowd.moves()
    time_ps: dict[str, float] = {}

    def phase(name: str, share: float) -> Iterator[list[np.ndarray]]:
        until = time.monotonic() + share * seconds
        time_ps[name] = 0.0
        while time.monotonic() < until:
            time_ps[name] += MOVE_PS
            yield next(steps)
        print(f"{name}: {time_ps[name]:g} ps", flush=True)

    shares = dict(SHARES)
    crowd.set_temperature(HOT)
    for _ in phase("scatter", shares["scatter"]):
        pass
    crowd.set_temperature(TEMPERATURE)
    bias = np.zeros((sum(len(m.phi) for m in crowd.molecules), 2 * ORDERS))
    path, seen = [bias], []
    for x in phase("learn", shares["learn"]):
        seen.append(np.stack([waves(a).mean(axis=0) for a in angles(crowd.molecules, x)]))
        if len(seen) == ROUND_MOVES:
            bias = bias + RATE * (np.mean(seen, axis=0) - tempered(bias))
            path.append(bias)
            crowd.set_bias(bias)
            seen = []
    bias = np.mean(path[len(path) // 2 :], axis=0)
    crowd.set_bias(bias)
    for _ in phase("equilibrate", shares["equilibrate"]):
        pass
    kept = list(phase("kept", 1 - sum(shares.values())))
    frames = [np.stack(a) for a in zip(*kept, strict=True)]
    found = crowd.bias_energy()
    expected = sum(float((waves(a) @ b).sum()) for a, b in zip(angles(crowd.molecules, kept[-1]), bias, strict=True))
    if abs(found - expected) > 1e-3 * (1 + abs(expected)) + 1e-2 * len(bias):
        raise InputError(f"the bias is {found:g} kT in the engine and {expected:g} kT here")
    return frames, bias, time_ps


def unbiased(
    x: Float[np.ndarray, "f c n 3"], m: Species, bias: Float[np.ndarray, "k w"], most: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "g n 3"], Int[np.ndarray, " g"], dict[str, float]]:
    """At most `most` frames drawn by their weights, copy after copy, each with its copy, and what the weights say."""
    potential = sum((waves(dihedral(x[..., quad, :])) @ b for quad, b in zip(m.phi, bias, strict=True)), np.zeros(1))
    weights = np.exp(np.broadcast_to(potential, x.shape[:2]) - np.max(potential)).T  # copies first
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    number = min(most, int(effective))
    marks = (np.arange(number) + rng.random()) / number * weights.sum()
    index = np.searchsorted(np.cumsum(weights), marks).clip(max=weights.size - 1)
    copy, frame = np.unravel_index(index, weights.shape)
    said = {"pool": weights.size, "effective": round(effective), "frames": number}
    for k, quad in enumerate(m.phi):
        positive = (dihedral(x[..., quad, :]) > 0).T
        share, parts = (
            lambda c: (weights * positive)[c].sum() / weights[c].sum(),
            np.array_split(np.arange(m.copies), 8),
        )
        said[f"positive_phi_{k + 1}"] = round(float(share(slice(None))), 4)
        error = np.std([share(c) for c in parts if len(c)]) / np.sqrt(7)
        said[f"positive_phi_{k + 1}_error"] = round(float(error), 4)
    return x[frame, copy], copy, said


def write(found: dict[str, tuple[np.ndarray, np.ndarray]], about: dict[str, Any], out: Path) -> None:
    """molecules-0.npz, molecules-1.npz ..., each below FILE_BYTES."""
    files: list[dict[str, np.ndarray]] = [{}]
    for code, (x, copy) in found.items():
        packed = np.round((x - x.mean(axis=1, keepdims=True)) / UNIT_NM).astype(np.int16)
        if sum(a.nbytes for a in files[-1].values()) + packed.nbytes > FILE_BYTES:
            files.append({})
        files[-1] |= {f"{code}.x": packed, f"{code}.copy": copy.astype(np.int16)}
    for k, arrays in enumerate(files):
        np.savez_compressed(out / f"molecules-{k}.npz", about=np.array(json.dumps(about)), **arrays)


def main() -> None:
    """Structures, or the simulation of all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("structures", "simulate"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--seconds", type=float, default=220.0, help="of dynamics, all molecules together")
    parser.add_argument("--copies", type=int, default=64, help="of a molecule")
    parser.add_argument("--held-out-copies", type=int, default=384)
    parser.add_argument("--frames", type=int, default=10_000, help="kept of a molecule, at most")
    parser.add_argument("--held-out-frames", type=int, default=100_000)
    parser.add_argument("--molecules", nargs="+", default=list(MOLECULES))
    parser.add_argument("--platform")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.what == "structures":
        write_structures(asked.folder, asked.molecules)
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    held = lambda code: code in HELD_OUT
    copies = {code: asked.held_out_copies if held(code) else asked.copies for code in asked.molecules}
    began = time.monotonic()
    crowd = Crowd([species(asked.folder / f"{c}.pdb", n) for c, n in copies.items()], asked.platform, asked.seed)
    print(f"{crowd.platform}, {time.monotonic() - began:.1f} s of setting up", flush=True)
    frames, bias, time_ps = simulated(crowd, asked.seconds)
    rows, rng = iter(bias), np.random.default_rng(asked.seed)
    found, said = {}, {}
    for x, m in zip(frames, crowd.molecules, strict=True):
        own = np.array([next(rows) for _ in m.phi]).reshape(-1, 2 * ORDERS)
        most = asked.held_out_frames if held(m.code) else asked.frames
        *found[m.code], said[m.code] = unbiased(x, m, own, most, rng)
        said[m.code] |= {"copies": m.copies, "bias_kt": own.round(4).tolist()}
        print(m.code, {k: v for k, v in said[m.code].items() if k != "bias_kt"}, flush=True)
    settings = {
        "force_field": f"ff14SB, {SOLVENT}",
        "temperature_K": TEMPERATURE,
        "dt_fs": DT_FS,
        "friction_per_ps": FRICTION,
        "hydrogen_mass_Da": HYDROGEN_MASS,
        "ps_of_each_copy": time_ps,
        "openmm": extra("openmm", "openmm").version.version,
        "platform": crowd.platform,
        "seed": asked.seed,
    }
    write(found, {"unit_nm": UNIT_NM, "settings": settings, "molecules": said}, asked.out)


if __name__ == "__main__":
    main()
