"""From a sequence or a structure file to one molecule with all its hydrogens, ready for a force field."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from ..extras import extra

CODES = "ACDEFGHIKLMNPQRSTVWY"

_PEPTIDE_BOND = 0.2  # nm; C and N of neighbouring residues further apart than this are not bonded: a gap
_WATERS = {"HOH", "WAT", "H2O", "SOL", "TIP3"}


class Structure(NamedTuple):
    """One molecule: its OpenMM `topology`, `positions` in nm, and what the user should know of its making."""

    topology: Any
    positions: Float[np.ndarray, "a 3"]
    notes: tuple[str, ...] = ()


def load_structure(system: str, capped: bool, force_field: Any) -> Structure:
    """The molecule that `system` names: one-letter codes of a peptide, or a PDB or mmCIF file.

    Hydrogens that are missing are added for pH 7. Raises InputError if it is neither, or the file holds several chains, a
    gap, residues that the force field does not know, or lacks heavy atoms.
    """
    app = extra("openmm.app", "openmm")
    path = Path(system)
    if path.suffix.lower() in {".pdb", ".cif", ".mmcif", ".pdbx"} or path.is_file():
        modeller, notes = _from_file(path, app)
    elif system and set(system.upper()) <= set(CODES):
        modeller, notes = _from_sequence(system.upper(), capped, app), ()
    else:
        raise InputError(f"{system!r} is neither a PDB or mmCIF file nor a sequence of one-letter codes ({CODES})")
    reference = extra("openmm", "openmm").Platform.getPlatformByName("Reference")  # the same on any number of threads
    drawn = random.getstate()
    random.seed(0)  # OpenMM starts hydrogens at random places
    try:
        modeller.addHydrogens(force_field, pH=7.0, platform=reference)
    except Exception as error:  # OpenMM raises ValueError, and KeyError on damaged templates
        raise InputError(f"{system}: {_reason(error)}") from None
    finally:
        random.setstate(drawn)
    return Structure(modeller.topology, _nm(modeller.positions), notes)


def _reason(error: Exception) -> str:
    """What OpenMM says of a residue that it cannot take, and what to do."""
    text = " ".join(str(error).split())
    if "No template" in text or "missing" in text:
        return (
            f"{text[:200]} The file must hold all heavy atoms of standard residues; complete it first, for example "
            "with PDBFixer"
        )
    return text[:300]


def _nm(positions: Any) -> Float[np.ndarray, "a 3"]:
    unit = extra("openmm.unit", "openmm")
    return np.array(positions.value_in_unit(unit.nanometer), dtype=float)


def _from_file(path: Path, app: Any) -> tuple[Any, tuple[str, ...]]:
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file")
    try:
        loaded = app.PDBFile(str(path)) if path.suffix.lower() == ".pdb" else app.PDBxFile(str(path))
        modeller = app.Modeller(loaded.topology, loaded.positions)
    except Exception as error:  # parsers raise nearly every kind on damaged files
        raise InputError(f"{path} cannot be read as a structure: {_reason(error)}") from None
    waters = [r for r in modeller.topology.residues() if r.name in _WATERS]
    modeller.delete(waters)
    notes = (f"{len(waters)} water molecules left out: the solvent is implicit",) if waters else ()
    _check_chain(path, modeller)
    return modeller, notes


def _check_chain(path: Path, modeller: Any) -> None:
    """Raise InputError unless there is one chain without gaps."""
    chains = list(modeller.topology.chains())
    if len(chains) != 1:
        names = ", ".join(c.id for c in chains) or "none"
        raise InputError(f"{path} has {len(chains)} chains ({names}); keep one: molecules would drift apart in no box")
    x = _nm(modeller.positions)
    if not np.isfinite(x).all():
        raise InputError(f"{path} has coordinates that are not finite")
    for here, following in pairwise(chains[0].residues()):
        ends = [a for a in here.atoms() if a.name == "C"], [a for a in following.atoms() if a.name == "N"]
        if not all(ends):
            continue
        distance = float(np.linalg.norm(x[ends[0][0].index] - x[ends[1][0].index]))
        if distance > _PEPTIDE_BOND:
            raise InputError(
                f"{path}: {here.name}{here.id} and {following.name}{following.id} are {distance:.2f} nm apart: residues "
                "are missing between them; model them first, for example with PDBFixer"
            )


def _from_sequence(sequence: str, capped: bool, app: Any) -> Any:
    """An extended chain of heavy atoms. Caps are what is left of a glycine at either end: ACE-...-NME."""
    builder = extra("PeptideBuilder", "openmm")
    element = extra("openmm.app.element", "openmm")
    built = builder.make_extended_structure(f"G{sequence}G" if capped else sequence)
    if not capped:
        built = builder.add_terminal_OXT(built)
    residues = list(built.get_residues())
    topology, x = app.Topology(), []
    chain = topology.addChain("A")
    for k, residue in enumerate(residues):
        name, names = residue.get_resname(), {a.get_name(): a.get_name() for a in residue}
        if capped and k == 0:
            name, names = "ACE", {"CA": "CH3", "C": "C", "O": "O"}
        elif capped and k == len(residues) - 1:
            name, names = "NME", {"N": "N", "CA": "C"}
        added = topology.addResidue(name, chain)
        for atom in residue:
            if atom.get_name() in names:
                topology.addAtom(names[atom.get_name()], element.Element.getBySymbol(atom.element), added)
                x.append(atom.get_coord() * 0.1)  # Ångström to nm
    topology.createStandardBonds()
    return app.Modeller(topology, np.array(x) * extra("openmm.unit", "openmm").nanometer)
