# Every target installs what it needs from the committed lock. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ONLY ?=

.DEFAULT_GOAL := help
.PHONY: help up install test check bench faults lock clean

help:        ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

up: install  ## the whole system with a demo agent, in the foreground; Ctrl-C stops all
	@$(BIN)/vedette up --demo

install: $(VENV)/.installed  ## .venv with everything the other targets need, from the lock

# --no-deps: the lock is complete, and it leaves out pandas, pyarrow and numpy (0.4 GB), which chdb-core asks for and the server does not need.
$(VENV)/.installed: requirements.lock pyproject.toml sdk/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Vedette needs Python 3.11 or newer; try: make PYTHON=python3.12 install")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing from requirements.lock ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e ./sdk -e .
	@touch $@

# Tests mostly wait: two workers, each with a Kafka and a ClickHouse of its own, and the longest files first.
test: install     ## the whole suite
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not faults and not bench"

check: install    ## ruff, mypy, import-linter, schema compatibility
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@MYPYPATH=scorers/hosted/shim $(BIN)/mypy --config-file= --strict -p vedette -p judgeval
	@$(BIN)/lint-imports
	@$(BIN)/python -m schemas.avro --check

bench: install    ## benchmarks; one with ONLY=bridge
	@$(BIN)/python -m pytest -m bench -s -q $(if $(ONLY),-k $(ONLY))

faults: install   ## long fault and soak runs
	@$(BIN)/python -m pytest -m faults

LOCK := uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url --quiet

lock:             ## renews the locks; needs uv
	$(LOCK) --extra local --extra registry --extra dev --no-emit-package pandas --no-emit-package pyarrow --no-emit-package numpy \
	  pyproject.toml sdk/pyproject.toml -o requirements.lock
	$(LOCK) --extra registry pyproject.toml sdk/pyproject.toml -o deploy/requirements.lock
	$(LOCK) deploy/build.in -o deploy/build.lock

clean:            ## removes the environment, never data
	rm -rf $(VENV)
