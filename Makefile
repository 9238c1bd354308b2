# Each target does all the set-up by itself, in .venv. Needs Python >= 3.11 with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo test lint clean

demo: $(VENV)/installed
	$(BIN)/scorefield run ala2 -o demo/ala2

test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scorefield needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt --editable .
	touch $@

$(VENV)/dev: $(VENV)/installed
	$(PIP) --constraint constraints.txt pytest pytest-xdist hypothesis beartype ruff "pyright[nodejs]"
	$(PIP) --constraint constraints.txt --editable ".[openmm,openmmml,ase,ipi,launch,atoms]"
	touch $@

clean:
	rm -rf $(VENV) demo
