# Each target does all the set-up by itself, in .venv. Needs Python >= 3.11 with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo test lint docs docs-code package clean

demo: $(VENV)/installed
	$(BIN)/scorefield run ala2 -o demo/ala2

test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(VENV)/docs
	$(BIN)/python scripts/check_names.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

docs-code: $(VENV)/docs
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/check_docs.py

package: $(VENV)/docs
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -c 'import pathlib; assert all(f.stat().st_size < 6e6 for f in pathlib.Path("dist").iterdir())'

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scorefield needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt --editable .
	touch $@

$(VENV)/dev: $(VENV)/installed
	$(PIP) --constraint constraints.txt pytest pytest-xdist hypothesis beartype ruff "pyright[nodejs]"
	$(PIP) --constraint constraints.txt --editable ".[openmm,openmmml,ase,ipi,launch,atoms]"
	touch $@

$(VENV)/docs: $(VENV)/dev
	$(PIP) --constraint constraints.txt build twine
	$(PIP) --constraint constraints.txt --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) demo build dist
