# Everything runs from .venv, which `make setup` creates from pinned packages. No other setup is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The documentation tools have their own environment and pins.
DOCS := $(VENV)/docs
# Each control plane needs about 1 GB. Tests often wait, so two cores can run four.
PLANES ?= 4
CHAOS_SECONDS ?= 300
# Folders with tests that need servers or a browser.
SERVERS := tests/chaos tests/browser tests/integration tests/local
SERVERLESS := tests $(addprefix --ignore=,$(SERVERS) tests/localstack)
# Python keeps its bytecode, so that no command compiles what it imports a second time.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPYCACHEPREFIX

.PHONY: help setup demo test unit slow integration lint format chaos mutants audit bench chart metrics screenshots docs docs-serve test-localstack image-by-hand clean
.DEFAULT_GOAL := help

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11; use another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Creating $(VENV) from pinned packages ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# -W ignore: older versions of pip print a deprecation warning for two packages that have only a legacy source archive.
	@$(BIN)/python -W ignore -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q gco_stream
	@touch $@

setup: $(READY) ## Create .venv from pinned packages

demo: $(READY) ## Demo on a real API server and DynamoDB (DEMO_KEEP=1 leaves them running)
	@$(BIN)/gco-stream demo

lint: $(READY) ## Run ruff and mypy, and check the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(READY) ## Run the tests that need no server (seconds)
	$(BIN)/pytest -q -n 2 -m "not slow" $(SERVERLESS)

slow: $(READY) ## Run slow tests without servers: sockets, processes, waits, many examples
	$(BIN)/pytest -q -n 4 -m slow $(SERVERLESS)

integration: $(READY) ## Run the tests on real servers (PLANES=4 control planes at once)
	$(BIN)/pytest -q -n $(PLANES) --dist loadfile --no-loadscope-reorder $(SERVERS)

test: lint unit slow docs integration ## Run everything that CI runs

chaos: $(READY) ## Run three replicas with fault injection (CHAOS_SECONDS=300 CHAOS_SEED=...)
	$(BIN)/python -m tests.chaos.run --seconds $(CHAOS_SECONDS) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

mutants: $(READY) ## Check that tests catch deliberate bugs (minutes; works on a copy of the sources)
	$(BIN)/python -m tests.mutants

screenshots: $(READY) ## Regenerate the images of the status page and the dashboard in docs/images/
	$(BIN)/python -m tools.screenshots
	$(BIN)/python -m tools.dashboard

chart: $(READY) ## Regenerate the chart's schema and README from its values and the settings
	$(BIN)/python -m tools.chart

metrics: $(READY) ## Regenerate docs/metrics.md and the dashboard from the code
	$(BIN)/python -m tools.metrics

audit: $(READY) ## Check the pinned packages for known vulnerabilities (needs a network)
	$(BIN)/python tools/audit/check.py

bench: $(READY) ## Run the benchmarks (results in bench/results/)
	$(BIN)/python -m bench

test-localstack: $(READY) ## Test against LocalStack, without Docker (needs Python 3.13)
	$(BIN)/pytest -q --timeout 600 tests/localstack

image-by-hand: $(READY) ## Run the Dockerfile's steps in an empty folder, without Docker (FOLDER=... TARGET=run)
	$(BIN)/python dev/image_by_hand.py --target $(or $(TARGET),run) $(or $(FOLDER),$(shell mktemp -d))

$(DOCS)/.ready: requirements/docs.txt | $(READY)
	@test -x $(DOCS)/bin/python || $(BIN)/python -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

docs: $(DOCS)/.ready ## Build the documentation in build/site; fails on broken links
	$(BIN)/python tools/docs/settings_page.py --check
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --quiet --strict
	$(BIN)/python tools/docs/nothing_from_outside.py build/site

docs-serve: $(DOCS)/.ready ## Serve the documentation on http://127.0.0.1:8000 and rebuild it on changes
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs serve

clean: ## Remove everything that make created here
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
