PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
INSTALLED_DOCS := $(VENV)/installed-docs
UV = $(shell command -v uv || echo $(BIN)/uv)
PINS := --constraint constraints.txt --build-constraints constraints.txt
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

.PHONY: help install demo quick test lint format docs wheel clean

help:  ## Say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## Make .venv with rayred and its pinned dependencies

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "rayred needs Python 3.11 to 3.13; choose one with: make PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || \
		{ echo "making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@command -v uv >/dev/null || test -x $(BIN)/uv || \
		{ echo "installing uv into $(VENV)"; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv; }
	@echo "installing rayred and its dependencies into $(VENV) (constraints.txt: $$(grep -c == constraints.txt) pins)"
	$(UV) pip install --python $(BIN)/python $(PINS) --compile-bytecode --editable '.[dev]'
	@touch $@

demo: install  ## Run the main job on scikit-learn's digits
	$(BIN)/rayred run digits

quick: install  ## Run the tests that start neither Ray nor a training
	$(PYTEST) -p tests.quick

test: install  ## Run all tests, those on several hosts last and alone
	$(PYTEST) --ignore tests/cluster
	$(BIN)/python -m pytest tests/cluster

lint: install  ## Check style, types and what may import what
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED_DOCS)  ## Build the site of the documentation into site/
	rm -rf build/docs site
	$(BIN)/python -m sphinx --quiet --fail-on-warning -c docs -d build/docs/trees . build/docs/site
	mv build/docs/site site

$(INSTALLED_DOCS): $(INSTALLED)
	$(UV) pip install --python $(BIN)/python $(PINS) --compile-bytecode --editable '.[docs]'
	@touch $@

wheel: install  ## Build a wheel for pip into dist/
	$(UV) build --wheel --build-constraints constraints.txt

clean:  ## Remove the virtual environment, the site and all caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist site
