"""Vendor the structure viewer of the reports: `npm pack 3dmol@VERSION`, unpack, then

    python scripts/vendor_3dmol.py package

writes src/scorefield/data/viewer/: the minified build as published, packed; its licence; where it comes from, with hashes.
"""

import gzip
import hashlib
import json
import sys
from pathlib import Path

VIEWER = Path(__file__).parents[1] / "src/scorefield/data/viewer"


def main() -> None:
    """Write the three files."""
    package = Path(sys.argv[1])
    code = (package / "build/3Dmol-min.js").read_bytes()
    version = json.loads((package / "package.json").read_text())["version"]
    packed = gzip.compress(code, 9, mtime=0)  # no time stamp: the same bytes whenever it is made
    (VIEWER / "3Dmol-min.js.gz").write_bytes(packed)
    licence = "\n".join(line.expandtabs(4).rstrip() for line in (package / "LICENSE").read_text().splitlines())
    (VIEWER / "LICENSE").write_text(licence + "\n")
    source = {
        "name": "3Dmol.js",
        "version": version,
        "package": "3dmol, of the npm registry, build/3Dmol-min.js",
        "licence": "BSD-3-Clause, in LICENSE",
        "cite": "Rego, Koes, Bioinformatics 31, 1322 (2015)",
        "sha256": hashlib.sha256(code).hexdigest(),
    }
    (VIEWER / "source.json").write_text(json.dumps(source, indent=1) + "\n")
    print(f"3Dmol.js {version}: {len(code):,} bytes, packed {len(packed):,}")


if __name__ == "__main__":
    main()
