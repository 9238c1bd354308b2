"""The documentation: its commands are commands, its tables are made of all results, its blocks are run or installations."""

import importlib
import json
import re
import shlex
from pathlib import Path

import pytest

from scorefield.cli import app
from scorefield.config import Config
from scorefield.metrics import METRICS, TIMED

ROOT = Path(__file__).parent.parent


@pytest.fixture
def script(monkeypatch):
    """Imports a module of scripts/."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module


def lines(script):
    """Every line of every block that is run by a shell, with its page."""
    tool = script("check_docs")
    for page in tool.PAGES:
        for block in tool.blocks(page):
            if block.run and block.language == "sh":
                yield from ((page.name, line) for line in block.text.splitlines() if line.strip())


def test_every_command_shown_is_one(script):
    shown = list(lines(script))
    assert len(shown) > 25
    for page, line in shown:
        name, *words = shlex.split(re.sub(r" > \S+$", "", line), comments=True)
        assert name == "scorefield", (page, line)
        app.parse_args(words, print_error=False, exit_on_error=False)


def test_amounts_are_cut_down_and_nothing_else(script):
    smaller = script("check_docs").smaller
    for _, line in lines(script):
        if line.startswith("scorefield launch"):
            continue
        words = lambda text: [w for w in shlex.split(text, comments=True) if not w.replace(".", "").isdigit()]
        assert set(words(line)) <= set(words(smaller(line)))
    assert smaller("scorefield run data -o out").endswith("--time-ps 4 -o out")


def test_only_installations_may_be_left_out(script, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: installs -->\n```sh\npip install .\n```\n")
    assert [block.run for block in script("check_docs").blocks(page)] == [False]
    page.write_text("<!-- not run: slow -->\n```sh\nscorefield run ala2\n```\n")
    with pytest.raises(SystemExit, match="must run"):
        list(script("check_docs").blocks(page))


def test_a_configuration_with_an_unknown_key_does_not_pass(script, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```toml\n[training]\nstep = 3\n```\n")
    with pytest.raises(Exception, match=r"training\.step"):
        script("check_docs").check(page, tmp_path / "out")


def test_tables_are_made_of_every_result(script):
    results = script("docs_results")
    text = results.everything()
    for path in results.RESULTS.glob("*.json"):
        assert f"### {path.name}" in text
        for row in json.loads(path.read_text())["bars"]:
            assert row["name"].replace("|", "\\|") in text
    ours = [line for line in results.peers().splitlines() if "**scorefield**" in line]
    assert [line.split(" | ")[1] for line in ours] == ["samples", "simulation"]
    assert "population of φ > 0" in results.held_out()
    assert "| prior+contrast |" in script("docs_tables").group("method")


def test_reference_pages_name_all_there_is(script):
    reference = script("docs_reference")
    assert all(f"`{name}`" in reference.metrics() for name in METRICS | TIMED)
    commands = reference.commands()
    assert all(f"## scorefield {name}\n" in commands for name in ("prepare", "train", "simulate", "run", "completion"))
    assert "## simulate\n" in reference.names()
    settings = reference.settings()
    assert all(f"| `{key}` |" in settings for key in Config.model_fields["training"].default.model_dump())
    assert 'kind = "graph_transformer" or "graph_transformer_direct"' in settings
