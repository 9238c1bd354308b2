"""Known proteins as data, `scorefield/data/proteins`: NAME.toml describes, NAME.pdb is the native structure.

Nothing depends on them: a user's own protein needs a PDB, trajectories and a temperature. For these the numbers are
given, the published figures to compare with, and where the trajectories are to be had.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from .errors import InputError

_DATA = files("scorefield") / "data" / "proteins"
ONE_LETTER = {
    "ALA": "A", "ARG": "R", "ASN": "N", "ASP": "D", "CYS": "C", "GLN": "Q", "GLU": "E", "GLY": "G", "HIS": "H",
    "ILE": "I", "LEU": "L", "LYS": "K", "MET": "M", "PHE": "F", "PRO": "P", "SER": "S", "THR": "T", "TRP": "W",
    "TYR": "Y", "VAL": "V",
    # protonation states and disulfides, as force fields name them
    "HID": "H", "HIE": "H", "HIP": "H", "HSD": "H", "HSE": "H", "HSP": "H", "ASH": "D", "GLH": "E", "LYN": "K",
    "CYX": "C", "CYM": "C",
}  # fmt: skip
"""Of the standard amino acids, in all their names; any other residue is X."""


@dataclass(frozen=True)
class Protein:
    """A protein as its TOML file describes it.

    `sequence` in one-letter codes, X for what is none of the twenty; `temperature` in K of its trajectories; `map`;
    `native`, the file of its native structure; `trajectories` (source, cite, collection, interval_ps), `settings`
    (names of configurations, the paper's simulation) and `published` figures, as in the file.
    """

    name: str
    description: str
    sequence: str
    temperature: float
    map: str
    native: Path
    trajectories: dict[str, Any]
    settings: dict[str, Any]
    published: list[dict[str, Any]]

    def check_sequence(self, residue_names: list[str]) -> None:
        """Raise InputError unless these are the protein's residues, protonation apart."""
        found = one_letter(residue_names)
        if len(found) != len(self.sequence):
            raise InputError(
                f"the topology has {len(found)} residues, {self.name} has {len(self.sequence)}: {found} is not "
                f"{self.sequence}; residues are missing, or it is another protein"
            )
        for k, (ours, theirs) in enumerate(zip(self.sequence, found, strict=True)):
            if ours != theirs:
                raise InputError(
                    f"residue {k + 1} of the topology is {residue_names[k]}, of {self.name} it is {ours} "
                    f"({self.sequence}): it is another protein, or a mutant; prepare it without --system"
                )

    def how_to_get(self) -> str:
        """Where its trajectories are to be had, and what to do then."""
        return (
            f"trajectories of {self.name} ({self.trajectories['collection']}) come from {self.trajectories['source']}; "
            f"then: scorefield prepare FOLDER --system {self.name} -o DATA"
        )


def one_letter(residue_names: list[str]) -> str:
    """Names of residues as one-letter codes."""
    return "".join(ONE_LETTER.get(name, "X") for name in residue_names)


def proteins() -> list[str]:
    """Names of all known proteins, from short to long."""
    names = [entry.name.removesuffix(".toml") for entry in _DATA.iterdir() if entry.name.endswith(".toml")]
    return sorted(names, key=lambda name: len(protein(name).sequence))


def protein(name: str) -> Protein:
    """The known protein `name`. Raises InputError if there is none of that name."""
    file = _DATA / f"{name}.toml"
    if not name.isidentifier() or not file.is_file():
        raise InputError(f"no known protein {name!r}; there are: {', '.join(proteins())}")
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    with as_file(_DATA / data["native"]) as native:
        return Protein(
            name,
            data["description"],
            data["sequence"],
            float(data["temperature_K"]),
            data["map"],
            native,
            data["trajectories"],
            data["settings"],
            data["published"],
        )
