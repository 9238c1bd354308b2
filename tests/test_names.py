"""The names of the package: each is what it says in whatever order modules are imported, and each is documented."""

import importlib
import sys
from pathlib import Path

import pytest

import scorefield

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.mark.parametrize("name", scorefield.__all__)
def test_a_name_is_that_of_its_module(name):
    value = getattr(scorefield, name)
    assert not isinstance(value, type(sys))
    assert getattr(importlib.import_module(value.__module__), name) is value
    assert name in dir(scorefield)


def test_a_module_of_the_same_name_does_not_hide_the_function():
    importlib.import_module("scorefield.pipeline")  # which imports most of them
    importlib.import_module("scorefield.verify.base")
    assert all(callable(getattr(scorefield, name)) for name in scorefield.__all__)
    assert isinstance(sys.modules["scorefield.train"], type(sys))


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        scorefield.nothing  # noqa: B018


def test_every_public_name_is_documented_with_shapes_units_errors_and_source(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    documented, total, gaps = importlib.import_module("check_names").count()
    assert gaps == []
    assert documented == total > 100


def test_the_count_of_what_is_documented_sees_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(SCRIPTS)
    tool = importlib.import_module("check_names")
    (tmp_path / "made.py").write_text(
        "def bare(x): ...\n"
        'def length(x: "np.ndarray") -> float:\n    """Its length."""\n    _check(x)\n'
        'def _check(x):\n    raise InputError("no")\n'
        'def fine(time_ps: float) -> int:\n    """Steps. Raises InputError if none (Nobody 1999)."""\n    _check(1)\n'
    )
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "MODULES", ["made"])
    monkeypatch.setattr(tool, "THEORY", {"made"})
    found = {name.place: tool.missing(name) for name in tool.public()}
    assert found["made.bare"] == ["words", "type of x", "type of the result", "source"]
    assert found["made.length"][1:] == ["units", "errors", "source"]
    assert found["made.fine"] == []
