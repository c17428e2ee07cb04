# One-word verbs. `make run` and `make test` set everything up by themselves.
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
LOCKED := pyproject.toml pdk_stack/pyproject.toml constraints.txt
# PYTHON: the Python to use. TORCH: cpu, cuda, or auto, which looks for an NVIDIA GPU (docs/install.md).
export PYTHON TORCH TORCH_INDEX
# Processes that the tests are shared out to.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup dev lock run lab app gallery docs test lint types unit e2e contract golden fuzz soak browser-test \
	participants-test images-test wheel-test dist sbom clean

help:
	@echo "make run    the whole walkthrough, headless, on the embedded stack"
	@echo "make lab    JupyterLab on your copies of the notebooks (work/), with the embedded stack up"
	@echo "make app    the prediction panel as a page of its own, with the embedded stack up"
	@echo "make gallery  the executed notebooks of the newest run as pages for a browser without internet"
	@echo "make docs   the documentation as a site (build/docs/html), with the outputs of the newest run"
	@echo "make test   lint, types, tests (with the walkthrough as end-to-end tests)"
	@echo "make participants-test  eight walkthroughs at the same time on two cores (about ten minutes)"
	@echo "make browser-test  the notebooks, the panel and the app in a real browser (minutes; pictures in runs/browser)"
	@echo "make wheel-test  both wheels in an empty environment, without a checkout (minutes)"
	@echo "make lock   resolve the dependencies for all versions of Python (needs uv)"
	@echo "make clean  stop the stack; delete the environment, its state and results"

# What the lab needs; `dev` is what its tests need on top.
setup: $(STAMP)
dev: $(DEV)

# The stamps are written last, so that a broken installation is tried again.
$(STAMP): $(LOCKED)
	@sh scripts/setup.sh $(VENV)
	@touch $@

$(DEV): $(STAMP)
	@sh scripts/setup.sh $(VENV) dev
	@touch $@

# Resolves all dependencies anew for all versions of Python, and keeps the pins that fit; UPGRADE=1 takes the newest.
lock:
	python3 scripts/lock.py $(if $(UPGRADE),--upgrade)

run: setup
	$(BIN)/pdk-nb run --with-stack

lab: setup
	$(BIN)/pdk-nb up
	@trap '$(BIN)/pdk-nb down' EXIT INT TERM; \
		eval "$$($(BIN)/pdk-nb env)" && $(BIN)/pdk-nb lab

app: setup
	$(BIN)/pdk-nb up
	@trap '$(BIN)/pdk-nb down' EXIT INT TERM; $(BIN)/pdk-nb app

# The newest run, or a new one when there is none.
gallery: setup
	@test -f runs/latest/summary.json || $(MAKE) run
	$(BIN)/pdk-nb gallery

# A link that leads nowhere, or a page that the navigation lacks, is an error.
docs: setup
	@$(BIN)/python -c 'import furo, myst_nb, sphinx, sphinx_copybutton' 2>/dev/null || sh scripts/setup.sh $(VENV) docs
	$(BIN)/python -m scripts.build_docs

test: lint types unit

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev
	$(BIN)/mypy

# The tests wait more than they compute. A file stays in one process: its fixtures start stacks.
unit: dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

e2e: dev
	$(BIN)/python -m pytest tests/e2e

# A browser is no Python package: root installs Debian's, others are told how.
CHROMIUM = $(or $(PDK_CHROMIUM),$(shell command -v chromium || command -v chromium-browser || command -v google-chrome-stable || command -v google-chrome))
browser-test: dev
	@if [ -z "$(CHROMIUM)" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-liberation >/dev/null; \
		else echo "There is no Chromium."; \
			echo "  what to do: sudo apt-get install chromium fonts-liberation, or PDK_CHROMIUM=/path/to/chrome make browser-test"; \
			exit 1; fi; fi
	@$(BIN)/python -c 'import axe_playwright_python, playwright' 2>/dev/null || sh scripts/setup.sh $(VENV) browser
	PDK_BROWSER_TESTS=1 $(BIN)/python -m pytest tests/browser

# On the embedded stack, or with PDK_KUBECONFIG=~/.kube/config on a cluster.
contract: dev
	$(BIN)/python -m pytest tests/contract

# Needs the recorded answers: a folder `golden` in PDK_REFERENCE_DIR, or in `shared` beside the checkout.
golden: dev
	$(BIN)/python -m tests.golden

# Odd requests to every service; SERVICES="s3 grpc" and COUNT=20000 for some and more.
COUNT ?= 2000
SEED ?= 1
fuzz: dev
	$(BIN)/python -m tests.fuzz $(SERVICES) --count $(COUNT) --seed $(SEED)

# About 10 minutes; --count 1000 takes 10 times as long.
soak: dev
	$(BIN)/python -m benchmarks.soak

# Eight walkthroughs at the same time on two cores: about ten minutes.
participants-test: dev
	PDK_PARTICIPANTS_TESTS=1 $(BIN)/python -m pytest tests/e2e/test_many_participants.py

# Builds both wheels, and runs the walkthrough with them in an empty environment: minutes, and gigabytes.
wheel-test: dev
	PDK_WHEEL_TESTS=1 $(BIN)/python -m pytest tests/e2e/test_wheels.py

# Installs Debian packages and needs root: builds both images, pushes, pulls and runs them.
images-test: dev
	$(BIN)/python scripts/try_images.py

# What a release consists of. Its tools stay apart from the environment that they describe.
RELEASE := .venv-release
$(RELEASE)/.installed:
	$(or $(PYTHON),python3) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check build cyclonedx-bom packaging
	@touch $@

dist: $(RELEASE)/.installed
	rm -rf dist
	$(RELEASE)/bin/python -m build --outdir dist .
	$(RELEASE)/bin/python -m build --outdir dist pdk_stack

sbom: setup $(RELEASE)/.installed
	$(RELEASE)/bin/python scripts/make_sbom.py --environment $(VENV) --out build/sbom

clean:
	@if [ -x $(BIN)/pdk-nb ]; then $(BIN)/pdk-nb down --purge; fi
	rm -rf $(VENV) $(RELEASE) .venv-sdk .venv-sdk.lock .pdk runs gallery build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
