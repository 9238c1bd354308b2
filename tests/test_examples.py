"""Every script in examples/ is run by a test: those of engines by theirs, the others here."""

import runpy
import sys
from pathlib import Path

import tiny

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_every_example_is_run_by_a_test():
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert all(path.stem in tests for path in EXAMPLES.glob("*.py"))


def test_training_and_judging_in_python_is_what_the_commands_do(data_folder, run_folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "tiny.toml").write_text(tiny.config().to_toml())
    out = tmp_path / "out"
    words = [
        data_folder,
        "-o",
        out,
        "--config",
        tmp_path / "tiny.toml",
        "--samples",
        64,
        "--replicas",
        4,
        "--time-ps",
        2,
    ]
    monkeypatch.setattr(sys, "argv", ["train_and_judge", *map(str, words)])
    runpy.run_path(str(EXAMPLES / "train_and_judge.py"), run_name="__main__")
    assert (out / "run/model.safetensors").read_bytes() == (run_folder / "model.safetensors").read_bytes()
    assert {path.name for path in out.iterdir()} == {"run", "samples", "simulation", "report"}
    assert "distance_js" in capsys.readouterr().out
