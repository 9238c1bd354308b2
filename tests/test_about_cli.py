"""What every command offers: help at once, defaults, JSON, examples, where to look, completion in shells."""

import subprocess
import sys
from pathlib import Path

import pytest
from commands import invoke

from scorefield.cli import app


def ok(*words):
    """What a command prints that must end well."""
    result = invoke(*words)
    assert result.code == 0, result
    return result


HEAVY = {
    "jax",
    "jaxlib",
    "equinox",
    "optax",
    "numpy",
    "scipy",
    "mdtraj",
    "deeptime",
    "matplotlib",
    "pydantic",
    "sklearn",
}


@pytest.mark.parametrize("words", [["--help"], ["simulate", "--help"], ["completion", "bash"], ["--version"]])
def test_what_answers_at_once_imports_nothing_that_takes_its_time(words):
    code = f"import sys; sys.argv[1:] = {words}; from scorefield.cli import main; main(); "
    code += f"print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_all_but_inputs_has_a_default():
    """Only what a command works on must be named; of options, a reference, and how long and how warm a new simulation is."""
    needed = {}
    for name in (name for name in app if not name.startswith("-")):
        arguments = app[name].assemble_argument_collection()
        needed[name] = {a.name for a in arguments if a.required and a.name.startswith("--")}
    wanted = {"reference": {"--ns", "--temperature"}, "evaluate": {"--reference"}, "refine": {"--reference"}}
    assert {name: options for name, options in needed.items() if options} == wanted


def test_every_command_prints_json_and_shows_an_example():
    for name in (name for name in app if not name.startswith("-")):
        arguments = app[name].assemble_argument_collection()
        assert name == "completion" or any("--json" in a.names for a in arguments), name
        assert "Example: scorefield " in (app[name].help or ""), name
        assert all(a.parameter.help for a in arguments if a.name != "*"), name


@pytest.mark.parametrize("words", [(), ("data", "--nothing", 1), ("data", "--steps", "many")])
def test_what_is_missing_or_unknown_ends_with_where_to_look(words):
    result = invoke("train", *words)
    assert result.code == 2
    assert result.err.endswith("see: scorefield train --help\n")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(shell):
    script = ok("completion", shell).out
    assert all(word in script for word in ("simulate", "replicas", "evaluate"))


def test_completion_is_installed_where_it_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    path = Path(ok("completion", "bash", "--install").out.splitlines()[0])
    assert tmp_path in path.parents
    assert "simulate" in path.read_text()
