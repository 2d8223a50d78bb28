# Each target does its own set-up: a virtual environment in VENV, pinned by constraints.txt, made once and
# renewed when pyproject.toml, constraints.txt or the Python version changes. Needs Python 3.11+, make and pip.
#   make test PYTHON=python3.13 VENV=.venv313      another Python beside the first
#   make test ARGS='-k iql -x' WORKERS=8           arguments for pytest, and how many processes share the files

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
WORKERS ?= 2

PYVERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
NEW_ENOUGH := $(shell $(PYTHON) -c 'import sys; print("yes" if sys.version_info >= (3, 11) else "")' 2>/dev/null)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt

.DELETE_ON_ERROR:
.PHONY: help demo test check

help:
	@echo 'make demo    install, then train on maze data and write runs/.../report.html (under 3 minutes)'
	@echo 'make test    install with the test tools, then run the whole suite'
	@echo 'make check   formatting, lint and types; what must pass before a commit'

demo: $(VENV)/.core-$(PYVERSION)
	$(BIN)/stitch demo $(ARGS)

test: $(VENV)/.dev-$(PYVERSION)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --max-worker-restart 0 $(ARGS)

check: $(VENV)/.dev-$(PYVERSION)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# An environment of another Python version is made anew; a folder that is no environment is never cleared.
$(VENV)/.python-$(PYVERSION):
	$(if $(NEW_ENOUGH),,$(error stitchrl needs Python 3.11 or newer; $(PYTHON) is $(or $(PYVERSION),not there). Try PYTHON=python3.12 or another))
	@echo 'Making $(VENV) with Python $(PYVERSION)'
	@$(PYTHON) -m venv $(if $(wildcard $(VENV)/pyvenv.cfg),--clear) $(VENV)
	@touch $@

# The build backend goes in first, so that it is pinned like everything else.
$(VENV)/.core-$(PYVERSION): $(VENV)/.python-$(PYVERSION) pyproject.toml constraints.txt
	@echo 'Installing stitchrl into $(VENV)'
	@$(INSTALL) hatchling
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev-$(PYVERSION): $(VENV)/.core-$(PYVERSION)
	@echo 'Installing the test tools into $(VENV)'
	@$(INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@
