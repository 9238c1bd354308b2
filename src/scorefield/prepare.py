"""From all-atom trajectories to a DATASET folder: map, make whole, centre, split, describe.

Frames stream from file to file: memory holds one chunk, however long the trajectory (a multi-model PDB is read whole).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from jaxtyping import Float

from .allatom import bead_chunks, describe_atoms, first_frame, load_topology, wrong_length
from .bead_forces import Mapped, write_bead_forces
from .collection import gather
from .dataset import Dataset, finish_dataset, load_dataset
from .equilibrium import equilibrium_report
from .errors import InputError
from .extras import versions
from .mapping import BOND_RANGES, BeadMap, bead_map
from .molecule import Molecule
from .native import native_notes, native_structure
from .observables import bond_lengths
from .proteins import Protein
from .scrutiny import check_hand, gap_words, hand_notes, topology_notes
from .sources import Source, check_different, common_interval, digests_of, known_interval, label
from .splitting import Stretch, check_fractions, split_chains, split_pieces
from .storage import ArrayFile, new_folder, refuse_existing, write_array
from .trajectory import Trajectory

Progress = Callable[[int, int, int], None]
"""Called with (index of the file being read, number of files, frames kept so far)."""


_PIECES = [
    "the files are consecutive pieces of one trajectory: training, validation and test frames, in this order, are not of "
    "independent chains"
]


def prepare(
    trajectories: Sequence[Path],
    top: Path | None,
    map: str | None,
    temperature: float | None,
    out: Path,
    *,
    protein: Protein | None = None,
    native: Path | None = None,
    stride: int = 1,
    interval: float | None = None,
    weights: Path | None = None,
    split: tuple[float, float, float] = (0.7, 0.1, 0.2),
    forces: bool = False,
    chunk: int | None = None,
    on_progress: Progress | None = None,
) -> Dataset:
    """Make the DATASET folder `out` from all-atom `trajectories`, each file one chain, and return it.

    `trajectories`: files, or one folder with them and a PDB (see `collection`); `top`: the topology file, None where the
    trajectories carry it; `map`: see `mapping`; `temperature` K; `protein`: a known one, which says map, temperature,
    native structure and its collection's interval where these are None; `native`: a PDB of the native structure;
    `interval` ps between the frames IN THE FILES (before `stride`), None to take it from the files' times; `weights`: a
    .npy or text file of one number for every frame of the files, before `stride`; `split`: fractions (train, validation,
    test); `forces`: also map the forces in TRR files (`bead_forces`).
    What a user should know is in `provenance["warnings"]` and in `equilibrium`. Raises InputError on any bad input;
    then, as with every other failure, nothing is left behind.
    """
    refuse_existing(out)
    trajectories, top, pieces, notes, every = gather(trajectories, top)
    if protein is not None:
        map, temperature, native = map or protein.map, temperature or protein.temperature, native or protein.native
        interval, more = known_interval(protein, trajectories, interval, every)
        notes += more
    if map is None:
        raise InputError(
            "--map is missing: ca, backbone, backbone5, backbone_caps, an mdtraj selection or a JSON of groups"
        )
    temperature = _check_settings(trajectories, temperature, stride, interval, chunk)
    check_fractions(split)
    digests = digests_of([*trajectories, *(path for path in (top, weights, native) if path)])
    check_different(trajectories, digests)
    name = protein.name if protein else (top or trajectories[0]).name.split(".")[0]
    topology = load_topology(top, trajectories[0])
    beads = bead_map(map, topology, name)
    molecule, more = _with_native(beads.molecule, map, native, protein)
    notes += topology_notes(beads) + more
    frame_weights = _load_weights(weights) if weights else None
    _check_hands(trajectories, topology)
    with new_folder(out) as draft:
        sources = []
        with ArrayFile(draft / "positions.npy", (beads.molecule.n_beads, 3)) as file:
            for k, path in enumerate(trajectories):
                report = on_progress and (lambda k=k: on_progress(k, len(trajectories), file.length))
                sources.append(_stream(path, bead_chunks(path, topology, beads, stride, chunk), file, report))
        kept_interval, more = common_interval(sources, None if interval is None else interval * stride)
        kept_weights = _kept_weights(frame_weights, sources, stride)
        if kept_weights is not None:
            write_array(draft / "weights.npy", kept_weights)
        mapped = write_bead_forces(trajectories, topology, beads, stride, draft / "forces.npy") if forces else None
        positions = np.load(draft / "positions.npy", mmap_mode="r")
        lengths = tuple(len(s.times) for s in sources)
        whole = Trajectory(molecule, positions, lengths, temperature, kept_interval, kept_weights)
        notes += (
            more + _check_bead_bonds(whole, map) + hand_notes(whole) + native_notes(whole) + (_PIECES if pieces else [])
        )
        stretches = (split_pieces if pieces else split_chains)(lengths, split)
        labels = tuple(label(s, sources, stride) for s in stretches)
        provenance = _provenance(sources, top, weights, digests, stride, beads, notes) | _described_forces(mapped)
        finish_dataset(_divided(whole, stretches, labels, map, provenance), draft)
    return load_dataset(out, verify_hashes=False)


def _check_hands(trajectories: Sequence[Path], topology: mdtraj.Topology) -> None:
    """Raise InputError if the first frame of an all-atom file is a mirror image."""
    for path in trajectories:
        x = first_frame(path, topology)
        if x is not None:
            check_hand(path, topology, x)


def _divided(
    whole: Trajectory, stretches: Sequence[Stretch], labels: tuple[str, ...], map: str, provenance: dict[str, Any]
) -> Dataset:
    """The dataset whose chains are `stretches` of the files' frames."""
    return Dataset(
        replace(whole, chain_lengths=tuple(s.stop - s.start for s in stretches)),
        tuple(s.split for s in stretches),
        labels,
        Path(map).name if map.endswith(".json") else map,
        provenance,
        equilibrium_report(whole),
    )


def _with_native(
    molecule: Molecule, map: str, native: Path | None, protein: Protein | None
) -> tuple[Molecule, list[str]]:
    """The molecule with its native structure, and notes on that."""
    if protein is not None and map == protein.map:
        protein.check_sequence(list(molecule.residue_names))
    if native is None:
        return molecule, []
    x, notes = native_structure(native, map, molecule)
    return replace(molecule, native=x), notes


def _check_settings(
    trajectories: Sequence[Path], temperature: float | None, stride: int, interval: float | None, chunk: int | None
) -> float:
    if not trajectories:
        raise InputError("no trajectory given")
    if not (temperature is not None and np.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature {temperature} must be a positive number of K: give it as --temperature 300")
    if stride < 1:
        raise InputError(f"stride {stride} must be 1 or more")
    if chunk is not None and chunk < 1:
        raise InputError(f"chunk {chunk} must be 1 frame or more")
    if interval is not None and not (np.isfinite(interval) and interval > 0):
        raise InputError(f"interval {interval} must be a positive number of ps between the frames of a file")
    return float(temperature)


def _stream(path: Path, chunks: Any, file: ArrayFile, report: Callable[[], None] | None) -> Source:
    read, times = 0, []
    for piece in chunks:
        file.append(piece.positions)
        times.append(piece.times)
        read = piece.so_far
        if report:
            report()
    if not sum(map(len, times)):
        raise InputError(f"{path} holds no frames")
    return Source(path, read, np.concatenate(times).astype(float))


def _load_weights(path: Path) -> Float[np.ndarray, " f"]:
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, ndmin=1)
        values = np.asarray(values, float)
    except (OSError, ValueError, TypeError, EOFError):
        raise InputError(f"weights {path} are not a .npy array or a text file of one number a frame") from None
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise InputError(f"weights {path} must be one finite number a frame, none negative, not all 0")
    return values


def _kept_weights(
    weights: Float[np.ndarray, " f"] | None, sources: Sequence[Source], stride: int
) -> Float[np.ndarray, " k"] | None:
    """The weights of the frames kept, with mean 1."""
    if weights is None:
        return None
    total = sum(s.read for s in sources)
    if len(weights) != total:
        raise InputError(f"{len(weights)} weights for {total} frames in the trajectories (before stride)")
    parts = np.split(weights, np.cumsum([s.read for s in sources])[:-1])
    kept = np.concatenate([part[::stride] for part in parts])
    if not kept.any():
        raise InputError(f"the weights of all frames that stride {stride} keeps are 0")
    return (kept / kept.mean()).astype(np.float32)


def _check_bead_bonds(trajectory: Trajectory, map: str) -> list[str]:
    """Warnings about bonds that are too long. Raises InputError if the typical bond of a named map is implausible."""
    if map not in BOND_RANGES or not trajectory.molecule.bonds:
        return []
    shortest, longest = BOND_RANGES[map]
    medians = np.median(bond_lengths(trajectory.thin(1000)), axis=0)
    if not shortest <= np.median(medians) <= longest:
        raise InputError(
            f"bonds of map {map!r} are {np.median(medians):.3g} nm long: "
            f"{wrong_length(float(np.median(medians)), (shortest, longest))}"
        )
    long = [b for b, m in zip(trajectory.molecule.bond_pairs, medians, strict=True) if m > longest]
    words = lambda bond: gap_words(trajectory.molecule, int(bond[0]), int(bond[1]))
    return [f"bond {_bond_name(trajectory.molecule, b)} is longer than {longest} nm: {words(b)}" for b in long]


def _bond_name(molecule: Molecule, bond: np.ndarray) -> str:
    return "-".join(f"{molecule.residue_names[i]}{molecule.residue_ids[i]}:{molecule.bead_names[i]}" for i in bond)


def _described_forces(mapped: Mapped | None) -> dict[str, Any]:
    """What the force of a bead is made of, and its root mean square beside that of the bead's own atoms."""
    if mapped is None:
        return {}
    rms = {"rms_kj_mol_nm": mapped.rms, "rms_of_own_atoms_kj_mol_nm": mapped.rms_of_own_atoms}
    return {"forces": {"map": "linear, least variance"} | {key: float(f"{v:.6g}") for key, v in rms.items()}}


def _provenance(
    sources: Sequence[Source],
    top: Path | None,
    weights: Path | None,
    digests: dict[Path, str],
    stride: int,
    beads: BeadMap,
    notes: list[str],
) -> dict[str, Any]:
    def described(path: Path | None) -> dict[str, Any] | None:
        return path and {"file": path.name, "bytes": path.stat().st_size, "sha256": digests[path]}

    return {
        "made_by": "scorefield prepare",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions("scorefield", "mdtraj", "numpy"),
        "trajectories": [
            {**(described(s.path) or {}), "frames_read": s.read, "frames_kept": len(s.times)} for s in sources
        ],
        "topology": described(top) or "in the trajectories",
        "weights": described(weights),
        "stride": stride,
        "beads": describe_atoms(beads),
        "warnings": notes,
    }
