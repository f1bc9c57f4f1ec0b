# make demo, make test: both set up first, and do nothing twice.
PYTHON ?= python3
EXTRAS ?= dev
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo test test-slow test-all lint format bench clean
.DEFAULT_GOAL := help

help:  ## what can be asked for
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /	/' | expand -t 14

setup: .venv/.installed  ## create .venv and install the pinned versions

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

demo: setup  ## the main job on the built-in catalogue, to a published table
	@$(BIN)/sidmint demo

test: setup  ## the fast tests (under five minutes)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: setup  ## the tests marked slow: real catalogues, whole chains
	$(BIN)/python -m pytest -m slow

test-all: test test-slow  ## every test

lint: setup  ## style, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

BENCH_DATA ?= ../shared/data/beauty
bench: setup  ## time and memory of every stage on BENCH_DATA (a real catalogue)
	$(BIN)/python benchmarks/chain.py --items $(BENCH_DATA)/items.parquet \
	    --interactions $(BENCH_DATA)/interactions.parquet --vectors $(BENCH_DATA)/minilm_l6_v2.npy

clean:  ## remove what a build made; keeps .venv, your files and the registry
	rm -rf data/build .sidmint
