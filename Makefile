# Everything a fresh machine needs is Python, make and a package index.
#
#   make serve      set up, then run the server on http://localhost:8000 (PORT=…)
#   make example    set up, then run the small example application instead
#   make tools      write the pages for debugging (JWT decoder and others) to build/tools: one file each (DIR=…)
#   make test       set up, then lint, types and tests: under five minutes
#   make test-all   on top of make test: every Python, long multi-process runs
#   make soak       real processes, real faults, and a judge (DURATION_S=… STORE=sqlite|postgres|valkey|valkey-cluster SEED=…)
#   make bench      Coatcheck beside others, docs/benchmarks.md: 40 minutes (BENCH=--quick: 5; BENCH=--help says more)
#   make figures    the figures in docs/reference/figures.md
#   make docs       the documentation as a site: build/site/index.html (SERVE=1: and on http://localhost:8100)
#   make verify     the exhaustive model of revocation, every rule of it taken away in turn: some minutes, a C++ compiler
#                   (QUICK=1: smaller, seconds)
#   make pins       write requirements/*.txt anew

PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet
WORKERS ?= 4
DURATION_S ?= 20
STORE ?= postgres
SEED ?=
DIR ?= build/tools

ifeq ($(origin CXX),default)
CXX := c++
endif

.PHONY: serve example tools test test-all soak bench figures docs verify pins format clean
.DEFAULT_GOAL := test

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Coatcheck needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.server: requirements/server.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/server.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.server

serve: $(VENV)/.server
	PYTHONPATH=src exec $(BIN)/python -m coatcheck.cli serve --port $(PORT)

example: $(VENV)/.server
	PYTHONPATH=src exec $(BIN)/python -m examples.starlette_app --port $(PORT)

tools: $(VENV)/.server
	PYTHONPATH=src $(BIN)/python -m coatcheck.cli tools --write $(DIR)

# Some tests compare with what others use from npm; where there is no npm, they say that they were skipped.
$(VENV)/.npm: tests/node/package-lock.json | $(BIN)/python
	@if command -v npm >/dev/null; then cd tests/node && npm ci --silent; \
	else echo "no npm on this machine: the tests with axe-core and jose are skipped"; fi
	@touch $@

test: $(VENV)/.dev $(VENV)/.npm
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/pytest -q -n $(WORKERS) -m "not long"

test-all: $(VENV)/.dev $(VENV)/.npm
	$(BIN)/pytest -q -n 2 -m long
	@bash scripts/every_python

soak: $(VENV)/.dev
	$(BIN)/python -m soak --store $(STORE) --duration $(DURATION_S) --seed "$(SEED)"

# An environment of its own: where uvloop and httptools are, uvicorn takes them, and the tests want it as it comes.
$(VENV)-bench/.ready: requirements/bench.txt benchmarks/peers/package-lock.json | $(BIN)/python
	$(PYTHON) -m venv $(VENV)-bench
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(VENV)-bench/bin/python -m pip install --quiet --require-hashes -r requirements/bench.txt
	@if command -v npm >/dev/null; then cd benchmarks/peers && npm ci --silent; \
	else echo "no npm on this machine: better-auth is left out"; fi
	@touch $@

bench: $(VENV)-bench/.ready
	@PYTHONPATH=src $(VENV)-bench/bin/python benchmarks/side_by_side.py $(BENCH)

figures: $(VENV)/.dev
	$(BIN)/python benchmarks/check.py
	$(BIN)/python benchmarks/sign_in.py
	$(BIN)/python benchmarks/tokens.py
	$(BIN)/python benchmarks/fleet.py
	$(BIN)/python benchmarks/server.py
	$(BIN)/python benchmarks/adapters.py

MODEL := verification/build/verify

$(MODEL): verification/verify.cpp $(wildcard verification/*.hpp)
	@command -v $(firstword $(CXX)) >/dev/null || { echo "The model is checked by a C++17 program, and there is no \
	$(firstword $(CXX)) here. Install g++ or clang++ (Debian: apt install g++; macOS: xcode-select --install), or name \
	one: make verify CXX=…" >&2; exit 1; }
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O2 -Wall -Wextra -o $@.$$$$ $< && mv $@.$$$$ $@

verify: $(MODEL)
	$(MODEL) $(if $(QUICK),--quick) --json verification/build/results.json

pins: | $(BIN)/python
	$(PIP) uv
	for name in bench dev server; do \
		$(BIN)/uv pip compile pyproject.toml --extra server --extra postgres --extra valkey $$([ $$name = server ] || echo --group $$name) --universal \
			--python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --quiet \
			--output-file requirements/$$name.txt; \
	done

docs: $(VENV)/.dev
	$(BIN)/python scripts/site.py $(if $(SERVE),--serve)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

clean:
	rm -rf $(VENV) .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis verification/build
