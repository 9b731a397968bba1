# `make run` and `make test` need Python 3.11 or later, make, and nothing else.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# uv takes a tenth of pip's time. It may be missing, or know no index that only pip is
# configured for: then pip installs, and says what is wrong.
UV := $(BIN)/uv
INSTALL = $(UV) pip install --quiet --python $(BIN)/python $(1) 2>/dev/null || $(PIP) install $(1)

# Bytecode is kept: without it, pytest takes half as long again to collect the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run install test pytest test-databases test-as-on-citus test-on-postgres-15 \
	lint types fuzz bench lock clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: .venv/run ## Serve the API on http://127.0.0.1:8000, with an embedded database
	@$(BIN)/todo-api serve

install: .venv/dev ## Install everything for running, testing and linting

test: lint pytest ## Lint, and run all tests against a PostgreSQL of their own

pytest: .venv/dev
	$(PYTEST) -n 3 # for two cores, since some tests wait rather than work

test-databases: test-as-on-citus test-on-postgres-15 ## Run tests on other databases again

test-as-on-citus: .venv/dev
	TEST_DATABASE_KIND=citus $(PYTEST) -n 2 $(AS_ON_CITUS)

test-on-postgres-15: .venv/dev
	if test -x $(POSTGRES_15)/postgres; then TEST_POSTGRES_BIN=$(POSTGRES_15) \
		$(PYTEST) -n 2 $(ON_POSTGRES_15); fi

PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
POSTGRES_15 := /usr/lib/postgresql/15/bin
AS_ON_CITUS := $(addprefix tests/,test_isolation.py test_outcome_unknown.py test_sync.py \
	models/test_concurrency.py models/test_isolation.py models/test_tasks.py \
	models/postgres/test_database.py models/postgres/test_outages.py)
ON_POSTGRES_15 := -m "not once" --ignore=tests/models/embedded $(addprefix tests/,models \
	handlers/test_filters.py handlers/test_lists.py)

lint: .venv/dev ## Check the code and the contract
	$(BIN)/datamodel-codegen --check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tests/contract/lint.py

types: .venv/dev ## Generate openapi/types.py from the contract
	$(BIN)/datamodel-codegen

fuzz: .venv/dev ## Fuzz a running service with Schemathesis (TOKEN, URL)
	$(BIN)/schemathesis run $(URL)/openapi.yaml -H "Authorization: Bearer $(TOKEN)"

URL ?= http://127.0.0.1:8000

bench: .venv/dev ## Run the benchmarks; half an hour, on an otherwise idle machine
	$(BIN)/python -m benchmarks

lock: .venv/dev ## Upgrade the dependencies and lock them with hashes
	echo uv | $(UV) pip compile $(COMPILE) - --output-file requirements/uv.txt
	$(UV) pip compile $(COMPILE) --extra embedded --extra redis --group build \
		pyproject.toml --output-file requirements/run.txt
	$(UV) pip compile $(COMPILE) --extra embedded --extra otel --extra redis --group dev \
		--constraint requirements/run.txt pyproject.toml --output-file requirements/dev.txt

COMPILE := --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --no-annotate

clean: ## Remove what was installed; keeps the data in .data
	rm -rf .venv tests/*/node_modules

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; set PYTHON to one."; exit 1; }
	@$(PYTHON) -m venv .venv || \
		{ echo "Python cannot make a virtual environment; on Debian, install python3-venv."; exit 1; }

.venv/uv: requirements/uv.txt | .venv/bin/python
	@echo "Installing; this happens once."
	@$(PIP) install --require-hashes -r requirements/uv.txt || true
	@touch $@

.venv/run: requirements/run.txt pyproject.toml .venv/uv
	@$(call INSTALL,--require-hashes -r requirements/run.txt)
	@$(call INSTALL,--no-deps --no-build-isolation --editable .)
	@touch $@

.venv/dev: requirements/dev.txt .venv/run
	@$(call INSTALL,--require-hashes -r requirements/dev.txt)
	@touch $@
