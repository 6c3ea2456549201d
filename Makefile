# faultline: everything lives in .venv; each target sets up what it needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

WORLDS ?= 256

.PHONY: help demo test lint format bench clean
help:
	@echo "make demo   set up, stress a lending market on the embedded default, print the report's path"
	@echo "make test   set up and run the tests"
	@echo "make lint   ruff, mypy --strict, import-linter"
	@echo "make bench  speed, memory and compile time, as ratios where a peer is in the run"
	@echo "make clean  remove .venv, results and caches"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev,scale]'
	@touch $@ $(VENV)/.core

demo: $(VENV)/.core
	$(BIN)/python -m experiments.stress worlds=$(WORLDS) name=demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.core
	$(BIN)/python -m experiments.bench

clean:
	rm -rf $(VENV) results build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
