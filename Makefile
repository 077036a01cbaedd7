# What a newcomer types. Everything runs in .venv, which the first command makes.
PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro test lint

help:  ## Show this help
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */  make \1\t/' | expand -t 16

setup: .venv/installed  ## Make the environment in .venv (about 2 minutes, 6 GB of disk)

repro: setup  ## Run the whole pipeline on the settings of params.yaml (sample: 10 to 30 minutes on 2 cores)
	@echo "dvc repro: crawl, fine-tune, stylize, report. 10 to 30 minutes on 2 cores; a second run takes seconds."
	@start=$$(date +%s); dvc repro || exit 1; \
	 echo "Done in $$(($$(date +%s) - start)) s. Open data/report/index.html"

test: lint  ## Check style and types, run the tests (about 9 minutes on 2 cores)
	@echo "pytest: about 9 minutes on 2 cores"
	pytest --numprocesses 2 --dist worksteal

lint: setup
	@echo "ruff and mypy: about 20 seconds"
	ruff check .
	ruff format --check .
	mypy

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	 || { echo "error: this needs Python 3.11; name it with make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making the environment in .venv: about 2 minutes, 6 GB of disk"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
