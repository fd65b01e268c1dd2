# Everything runs from .venv, which `make setup` makes of pinned packages. Nothing else is installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The site's tools have versions of their own, apart from the program's.
DOCS := $(VENV)/docs
# Each takes some 800 MB; tests mostly wait, so three fit on two cores.
PLANES ?= 3
CHAOS_SECONDS ?= 300
# Rooms whose tests need servers, or a browser.
SERVERS := tests/chaos tests/browser tests/integration tests/local
SERVERLESS := tests $(addprefix --ignore=,$(SERVERS) tests/localstack)
# Compiled once for every run, and kept out of the sources.
export PYTHONDONTWRITEBYTECODE =
export PYTHONPYCACHEPREFIX = $(CURDIR)/$(VENV)/pycache

.PHONY: help setup demo test unit slow integration lint format chaos mutants audit bench chart metrics screenshots docs docs-serve test-localstack image-by-hand clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11; name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Making $(VENV) of the pinned packages ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# Two of them are sources in the old form, of which older versions of pip warn whoever installs them.
	@$(BIN)/python -W ignore -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(READY) ## Make .venv

demo: $(READY) ## The main job, told in a terminal on real parts (DEMO_KEEP=1 leaves them running)
	@$(BIN)/gco-stream demo

lint: $(READY) ## ruff, mypy, and the rules of what may import what
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(READY) ## The tests that need no server (seconds)
	$(BIN)/pytest -q -n 2 -m "not slow" $(SERVERLESS)

slow: $(READY) ## Those that talk over sockets, start processes, wait, or try very many examples
	$(BIN)/pytest -q -n 4 -m slow $(SERVERLESS)

integration: $(READY) ## The tests on real parts (PLANES=3 control planes at once)
	$(BIN)/pytest -q -n $(PLANES) --dist loadfile --no-loadscope-reorder $(SERVERS)

test: lint unit slow docs integration ## Everything that CI runs

chaos: $(READY) ## Three replicas under faults of every kind (CHAOS_SECONDS=300 CHAOS_SEED=...)
	$(BIN)/python -m tests.chaos.run --seconds $(CHAOS_SECONDS) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

mutants: $(READY) ## Break each promise on purpose and see its tests object (minutes; nothing here is changed)
	$(BIN)/python -m tests.mutants

screenshots: $(READY) ## The pictures of the status page and the dashboard in docs/images/, from runs of the real parts
	$(BIN)/python -m tools.screenshots
	$(BIN)/python -m tools.dashboard

chart: $(READY) ## Write the chart's schema and README anew, of its values and the settings
	$(BIN)/python -m tools.chart

metrics: $(READY) ## Write docs/metrics.md and the dashboard anew, of the code
	$(BIN)/python -m tools.metrics

audit: $(READY) ## Ask for known vulnerabilities of the pinned packages (needs a network)
	$(BIN)/python tools/audit/check.py

bench: $(READY) ## Measure (bench/results/)
	$(BIN)/python -m bench

test-localstack: $(READY) ## The stack of docker-compose.yml without an engine, on LocalStack (needs Python 3.13)
	$(BIN)/pytest -q --timeout 600 tests/localstack

image-by-hand: $(READY) ## The Dockerfile's steps in an empty folder (FOLDER=... TARGET=run), without an engine
	$(BIN)/python dev/image_by_hand.py --target $(or $(TARGET),run) $(or $(FOLDER),$(shell mktemp -d))

$(DOCS)/.ready: requirements/docs.txt | $(READY)
	@test -x $(DOCS)/bin/python || $(BIN)/python -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

docs: $(DOCS)/.ready ## The site of the documentation in build/site; a wrong link or page fails
	$(BIN)/python tools/docs/settings_page.py --check
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --quiet --strict
	$(BIN)/python tools/docs/nothing_from_outside.py build/site

docs-serve: $(DOCS)/.ready ## The site, built anew with each change, on http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs serve

clean: ## Remove what was made here
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
