# What people and continuous integration run. It wants make and Python 3.11 or later, and sets up the rest in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
GROUPS_OF_TOOLS := dev
TYPED := cutover $(wildcard demo)
# It looks for the package beside the first python of the path, and on its own asks the net for newer versions.
PYRIGHT := PATH="$(CURDIR)/$(BIN):$$PATH" PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

.PHONY: help setup demo check test docs bench clean

help:
	@echo "make demo   watch a shop move from one back end to another, about a minute"
	@echo "make test   set up, check, and run every test"
	@echo "make check  lint, format, types, layers, docs"
	@echo "make docs   build the pages into docs/_build/html"
	@echo "make bench  measure the cost of routing, and how fast a change travels"
	@echo "make setup  only set up; PYTHON=python3.12 chooses another Python"

setup: $(STAMP)

# Written last, so that a set-up that was broken off is done again.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "cutover needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
			"choose another with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[all]' $(GROUPS_OF_TOOLS:%=--group %)
	$(BIN)/python -m compileall -q cutover
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m demo

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(TYPED)
	@echo "pyright --verifytypes cutover"
	@report=$$($(PYRIGHT) --verifytypes cutover --ignoreexternal) || { echo "$$report"; exit 1; }
	$(BIN)/lint-imports
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

test: $(STAMP) check
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup

docs: $(STAMP)
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(STAMP)
	@for file in $(filter-out benchmarks/timing.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
