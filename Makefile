.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PYTHON ?= python3
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup torch browser build test test-quick lint format bench clean

help: ## Say what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: $(READY) ## Install everything, pinned, into .venv

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "imagemill needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

torch: $(VENV)/torch ## Install PyTorch too, which the tests of loading for training need

# Not in requirements.lock: an index has it for processors or for CUDA, by the machine that it serves.
$(VENV)/torch: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	@touch $@

browser: $(READY) ## Install what tests of the review page need beside Chromium
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[browser]'

build: $(READY) ## Build every dataset of params.yaml; only what changed
	@imagemill build

test: $(READY) lint ## Check style and types, run every test
	pytest -n 2 --dist worksteal

test-quick: $(READY) ## Run the tests that take seconds
	pytest -n 2 --dist worksteal -m 'not slow'

lint: $(READY) ## Check style, format and types
	ruff check .
	ruff format --check .
	mypy

format: $(READY) ## Mend style and format
	ruff check --fix .
	ruff format .

bench: $(READY) ## Measure speed; see bench/README.md
	python -m bench.pipeline

clean: ## Forget everything that can be made again, but for DVC's cache
	rm -rf $(VENV) .imagemill .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find data -mindepth 2 -maxdepth 2 -not -name config.yaml -exec rm -rf {} +
