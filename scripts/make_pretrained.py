"""Put a trained model into the package, as the built-in model of a system: without checkpoints and log.

python scripts/make_pretrained.py RUN ala2 "alanine dipeptide, replicas 0-27 of 64, validated on 28-31"

The arrays stay as they are (149 kB for alanine dipeptide), so that its forces are those of RUN, bit for bit.
"""

import json
import shutil
import sys
from pathlib import Path

import scorefield
from scorefield.model import load_model
from scorefield.storage import write_json

LIMIT = 500_000  # bytes


def main() -> None:
    """Copy, describe, read back."""
    run, name, data = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    load_model(run)
    out = Path(scorefield.__file__).parent / "data" / "models" / name
    out.mkdir(parents=True, exist_ok=True)
    for file in ("config.toml", "model.safetensors"):
        shutil.copyfile(run / file, out / file)
    described = json.loads((run / "model.json").read_text())
    described["training"]["dataset"] = data
    write_json(out / "model.json", described)
    load_model(out)
    size = sum(file.stat().st_size for file in out.iterdir())
    if size > LIMIT:
        raise SystemExit(f"{out} has {size} bytes, more than {LIMIT}")
    print(f"{out}: {size} bytes")


if __name__ == "__main__":
    main()
