"""Make src/scorefield/data/bond_lengths.json: the equilibrium lengths of all bonds between heavy atoms of amino acids.

    python scripts/make_bond_lengths.py

They are those of ff14SB, as OpenMM ships it (`pip install '.[openmm]'`), in nm, by residue and atom names; "C +N" is
the bond to the next residue.
"""

import json
import xml.etree.ElementTree as xml
from pathlib import Path

import openmm.app

from scorefield.proteins import ONE_LETTER

_FORCE_FIELD = Path(openmm.app.__file__).parent / "data/amber14/protein.ff14SB.xml"
_OUT = Path(__file__).parents[1] / "src/scorefield/data/bond_lengths.json"
_NAMES = {"HIS": "HIE", "HSD": "HID", "HSE": "HIE", "HSP": "HIP"}


def main() -> None:
    """Write the table."""
    root = xml.parse(_FORCE_FIELD).getroot()
    force = root.find("HarmonicBondForce")
    assert force is not None
    lengths = {
        frozenset((b.attrib["type1"], b.attrib["type2"])): round(float(b.attrib["length"]), 5)
        for b in force.findall("Bond")
    }
    residues = {r.attrib["name"]: r for r in root.iter("Residue")}
    table: dict[str, dict[str, float]] = {}
    for name in sorted(ONE_LETTER):
        residue = residues[_NAMES.get(name, name)]
        types = {a.attrib["name"]: a.attrib["type"] for a in residue.findall("Atom")}
        bonds = [(b.attrib["atomName1"], b.attrib["atomName2"]) for b in residue.findall("Bond")]
        heavy = sorted(tuple(sorted(b)) for b in bonds if not any(a.startswith("H") for a in b))
        table[name] = {f"{a} {b}": lengths[frozenset((types[a], types[b]))] for a, b in heavy}
        table[name]["C OXT"] = lengths[frozenset(("protein-C", "protein-O2"))]  # of a last residue
        table[name]["C +N"] = lengths[frozenset(("protein-C", "protein-N"))]
    rows = ",\n".join(f" {json.dumps(name)}: {json.dumps(bonds)}" for name, bonds in table.items())
    _OUT.write_text(f"{{\n{rows}\n}}\n")
    print(f"{sum(map(len, table.values()))} bonds, {_OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
