# make demo, make test: both set up first, and do nothing twice.
PYTHON ?= python3
EXTRAS ?= dev
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Where the browser tests leave their pictures of the report.
export SIDMINT_SCREENSHOTS ?= $(CURDIR)/build/screenshots

.PHONY: help setup demo test test-slow test-all lint format bench results recommenders ranking paper-drq docs dist clean
.DEFAULT_GOAL := help

help:  ## what can be asked for
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /	/' | expand -t 14

setup: $(VENV)/.installed  ## create .venv and install the pinned versions

$(VENV)/.installed: pyproject.toml constraints.txt setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

demo: setup  ## the main job on the built-in catalogue, to a published table
	@$(BIN)/sidmint demo

test: setup  ## the fast tests (about five minutes)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: setup  ## the tests marked slow: real catalogues, whole chains
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

test-all: test test-slow  ## every test

lint: setup  ## style, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

DATA ?= ../shared/data
bench: setup  ## speed beside the peers, then every stage on a real catalogue (DATA/beauty)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS),bench]'
	$(BIN)/python benchmarks/assignment.py
	$(BIN)/python benchmarks/kmeans.py
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/diagnostics.py
	$(BIN)/python benchmarks/item_to_item.py
	$(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/refresh.py --data $(DATA)/beauty --million
	$(BIN)/python benchmarks/embed_again.py --items $(DATA)/beauty/items.parquet
	$(BIN)/python benchmarks/pairs.py --items $(DATA)/beauty/items.parquet \
	    --interactions $(DATA)/beauty/interactions.parquet
	$(BIN)/python benchmarks/chain.py --items $(DATA)/beauty/items.parquet \
	    --interactions $(DATA)/beauty/interactions.parquet --vectors $(DATA)/beauty/minilm_l6_v2.npy

results: setup  ## docs/RESULTS.md: every tokenizer on DATA/beauty and DATA/toys; goes on where it stopped
	$(BIN)/python benchmarks/quality.py --data $(DATA)

recommenders: setup  ## docs/RECOMMENDERS.md: what ids are worth to a recommender; goes on where it stopped
	$(BIN)/python benchmarks/recommenders.py --data $(DATA)

ranking: setup  ## docs/RANKING.md: how ids serve a click model; goes on where it stopped
	$(BIN)/python benchmarks/ranking_probe.py --data $(DATA)

paper-drq: setup  ## docs/PAPER_DRQ.md: DRQ's Tables 1-5 beside ours, at 3 x 4,096 and on DATA; resumable
	$(BIN)/python benchmarks/paper_drq.py --data $(DATA)

docs: setup  ## the documentation as a site in build/site, links checked
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS),docs]'
	$(BIN)/python tools/reference.py build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

dist: setup  ## a wheel in dist/, for machines without a clone: pip install dist/sidmint-*.whl
	rm -rf build/lib build/bdist.* dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean:  ## remove what a build made; keeps .venv, your files and the registry
	rm -rf data/build .sidmint
