# faultline: everything lives in .venv; each target sets up what it needs.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --constraint constraints.txt
IS_311 := -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'
PYTHON ?= $(shell for name in python3.11 python3 python; do \
	$$name $(IS_311) 2>/dev/null && command -v $$name && break; done)
WORLDS ?= 256
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
unexport PYTHONPATH VIRTUAL_ENV

.PHONY: help demo test lint format bench clean
help:
	@echo "make demo     stress a lending market on the embedded default, print the report's path"
	@echo "make test     run the tests"
	@echo "make lint     ruff, mypy --strict, import-linter"
	@echo "make format   put the sources into ruff's format"
	@echo "make bench    speed, memory and compile time, as ratios where a peer is in the run"
	@echo "make clean    remove .venv, results and caches"
	@echo "Each sets up .venv by itself; WORLDS=$(WORLDS) sizes the demo, PYTHON=... picks a Python 3.11."

$(BIN)/python:
	@"$(PYTHON)" $(IS_311) 2>/dev/null || { echo "faultline needs Python 3.11 and found $(or $(PYTHON),none): install it, or name it as in make PYTHON=/opt/python3.11/bin/python3.11" >&2; exit 1; }
	@echo "making $(VENV) and installing what faultline needs, a minute or two"
	@"$(PYTHON)" -m venv $(VENV)

# A stamp is touched after an installation that succeeded, so an interrupted one is done again.
$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@$(PIP) --editable '.[dev,rl,scale]'
	@touch $@ $(VENV)/.core

demo: $(VENV)/.core
	@$(BIN)/python -m experiments.stress worlds=$(WORLDS) name=demo

test: $(VENV)/.dev
	@$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.bench: pyproject.toml constraints.txt | $(BIN)/python
	@$(PIP) --editable '.[bench]'
	@touch $@ $(VENV)/.core

bench: $(VENV)/.bench
	@$(BIN)/python -m experiments.bench

clean:
	rm -rf $(VENV) results build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
