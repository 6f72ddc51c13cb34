# make demo         the main example, in an environment of its own; options in DEMO_ARGS='...'
# make check        style, types and the fast tests: 3 minutes on 2 cores
# make test         everything: style, types, documentation, all tests, coverage of branches: 24 minutes on 2 cores
# make test-float64 the fast tests of tensors with float64 as the default dtype of torch
# make test-oldest  the fast tests with the lowest versions that pyproject.toml allows, in an environment of their own
# make mutation     the share of small faults that tests of noise, objectives and geometry find; options in MUTATION_ARGS
# make docs         the documentation alone, as HTML under docs/_build
# make lint         style and types alone
# make format       rewrite the sources in the project's style
# make clean        remove the environments and everything built

PYTHON ?= python3
VENV ?= .venv
VENV_OLDEST ?= .venv-oldest
CONSTRAINTS ?= constraints.txt
PYTEST_ARGS ?=
DEMO_ARGS ?=
MUTATION_ARGS ?=

BIN := $(VENV)/bin
INSTALL := -m pip install --quiet --disable-pip-version-check

# One process per core, of one thread each. A process that has run out of tests takes half of those that another has left.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
PARALLEL := -n logical --dist worksteal
# Tests start many processes, which would otherwise translate all sources again, each for itself.
unexport PYTHONDONTWRITEBYTECODE
FAST := -m "not slow and not compile"
# The folders of tests/ follow those of the library. The files beside them test whole programs, text and packaging.
NUMERIC := tests/*/
# A tensor that the library makes without a dtype has another one than its neighbors then.
TEST_FLOAT64 = $(ONE_THREAD) $(BIN)/python -m pytest $(PARALLEL) $(FAST) --default-dtype=float64 $(NUMERIC)

.PHONY: help demo check test test-float64 test-oldest mutation docs lint format clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/.installed-demo
	$(BIN)/python examples/01_two_stage_pretraining.py $(DEMO_ARGS)

check: lint
	$(ONE_THREAD) $(BIN)/python -m pytest $(PARALLEL) $(FAST) $(PYTEST_ARGS)

# The checks of shapes that all other tests run with cannot be compiled, hence the run of its own.
test: lint docs
	$(ONE_THREAD) $(BIN)/python -m pytest $(PARALLEL) -m compile --jaxtyping-packages= tests
	$(TEST_FLOAT64)
	$(ONE_THREAD) $(BIN)/python -m pytest $(PARALLEL) -m "not compile" --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

test-float64: $(VENV)/.installed-dev
	$(TEST_FLOAT64) $(PYTEST_ARGS)

test-oldest: $(VENV_OLDEST)/.installed-oldest
	$(ONE_THREAD) $(VENV_OLDEST)/bin/python -m pytest $(PARALLEL) $(FAST) $(PYTEST_ARGS)

mutation: $(VENV)/.installed-mutation
	$(ONE_THREAD) $(BIN)/python -m tools.mutation $(MUTATION_ARGS)

docs: $(VENV)/.installed-dev
	$(BIN)/python -m sphinx -W --keep-going --quiet -b html docs docs/_build/html

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VENV_OLDEST) build dist *.egg-info docs/_build docs/notebooks docs/reference .coverage* .mypy_cache .mutation .pytest_cache .ruff_cache .hypothesis

# An environment is made once; packages are installed again when what is asked for has changed.
%/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "molspectra needs Python 3.10 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $* || { rm -rf $*; \
	  echo "$(PYTHON) could not make a virtual environment (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@touch $@

$(VENV)/.installed-demo: pyproject.toml $(CONSTRAINTS) | $(VENV)/.created
	@echo "Installing molspectra and what the demo needs into $(VENV) ..."
	@$(BIN)/python $(INSTALL) -e '.[plots]' -c $(CONSTRAINTS)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/.created
	@echo "Installing molspectra and the development tools into $(VENV) ..."
	@$(BIN)/python $(INSTALL) -e '.[dev]' -c $(CONSTRAINTS)
	@touch $@

$(VENV)/.installed-mutation: $(VENV)/.installed-dev
	@$(BIN)/python $(INSTALL) -e '.[mutation]' -c $(CONSTRAINTS)
	@touch $@

$(VENV_OLDEST)/.installed-oldest: pyproject.toml constraints-oldest.txt | $(VENV_OLDEST)/.created
	@echo "Installing molspectra and the lowest versions of what it needs into $(VENV_OLDEST) ..."
	@$(VENV_OLDEST)/bin/python $(INSTALL) -e '.[test]' -c constraints-oldest.txt
	@touch $@
