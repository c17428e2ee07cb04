# One-word verbs. `make run` and `make test` set everything up by themselves.
PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3),python3.11)
VENV   := .venv
BIN    := $(VENV)/bin
STATE  ?= .pdk
STAMP  := $(VENV)/.installed
# Uploads beyond 10 MB would be lost without a word at Jupyter's own limit; containers often have no other user than root.
LAB_FLAGS := --ServerApp.tornado_settings="{'websocket_max_message_size': 104857600}" $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help setup run lab test lint types unit e2e clean

help:
	@echo "make run    the whole walkthrough, headless, on the embedded stack"
	@echo "make lab    JupyterLab on notebooks/ with the embedded stack up"
	@echo "make test   lint, types, tests (with the walkthrough as end-to-end tests)"
	@echo "make clean  stop the stack; delete the environment, its state and results"

setup: $(STAMP)

# The stamp is written last, so that a broken installation is tried again.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 12))' 2>/dev/null || \
		{ echo "PDK Lab needs Python 3.10 or 3.11 (kserve 0.13 does not run on later ones)."; \
		  echo "  what to do: install it, then make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV) (a few minutes, once) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@

run: setup
	$(BIN)/pdk-nb run --with-stack --state-dir $(STATE)

lab: setup
	$(BIN)/pdk-nb up --state-dir $(STATE)
	@trap '$(BIN)/pdk-nb down --state-dir $(STATE)' EXIT INT TERM; \
		eval "$$($(BIN)/pdk-nb env --state-dir $(STATE))" && $(BIN)/jupyter lab notebooks $(LAB_FLAGS)

test: lint types unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

unit: setup
	$(BIN)/python -m pytest

e2e: setup
	$(BIN)/python -m pytest tests/e2e

clean:
	@if [ -x $(BIN)/pdk-nb ]; then $(BIN)/pdk-nb down --purge --state-dir $(STATE); fi
	rm -rf $(VENV) $(STATE) runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
