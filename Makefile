# make demo   run the main job on this machine; needs Python 3.10 or newer, pip and make, nothing else
# make test   lint, types, import contracts and tests; exactly what CI runs
# make clean  remove both virtual environments
#
# Each environment is built once and again only when pyproject.toml or constraints.txt changed.

PYTHON ?= python3
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# The machine's own pip is called once, and writes into our environment: neither refusal nor warning applies.
export PIP_REQUIRE_VIRTUALENV := 0
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help demo test clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: .demo/installed
	.demo/bin/shoestring run smollm2 "What is the capital of France?" --temperature 0

test: .venv/installed
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/pytest -q

clean:
	rm -rf .demo .venv

.demo/installed: INSTALL := --editable .
.venv/installed: INSTALL := --editable . --group dev

# Environments start empty and get the pinned pip from outside: quicker than bundling one to replace it,
# and it works where Debian ships Python without ensurepip.
.demo/installed .venv/installed: pyproject.toml constraints.txt
	@echo "Setting up $(@D)..."
	@$(PYTHON) -m venv --without-pip $(@D)
	@$(PYTHON) $(PIP_INSTALL) --upgrade --target "$$($(@D)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" pip
	@$(@D)/bin/python $(PIP_INSTALL) --build-constraint constraints.txt $(INSTALL)
	@touch $@
