# make demo    the main example, in an environment of its own; options in DEMO_ARGS='...'
# make test    lint, types, documentation and tests
# make docs    the documentation alone, as HTML under docs/_build
# make lint    style and types alone
# make format  rewrite the sources in the project's style
# make clean   remove the environment and everything built

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
DEMO_ARGS ?=

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test docs lint format clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/.installed-demo
	$(BIN)/python examples/01_two_stage_pretraining.py $(DEMO_ARGS)

# The checks of shapes that all other tests run with cannot be compiled, hence the run of its own.
test: lint docs
	$(BIN)/python -m pytest -m compile --jaxtyping-packages= tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

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
	rm -rf $(VENV) build dist *.egg-info docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis

# An environment is made once; packages are installed again when what is asked for has changed.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "molspectra needs Python 3.10 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) could not make a virtual environment (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@touch $@

$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "Installing molspectra and what the demo needs into $(VENV) ..."
	@$(INSTALL) -e '.[plots]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "Installing molspectra and the development tools into $(VENV) ..."
	@$(INSTALL) -e '.[dev]'
	@touch $@
