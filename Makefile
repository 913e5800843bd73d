# What CI and CONTRIBUTING call. `make check PYTHON=.venv/bin/python` uses another interpreter.
PYTHON ?= python

.PHONY: check format test slow

check:  ## Lint, formatting, types.
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

format:  ## Mend what ruff can mend.
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

test:  ## The fast suite.
	$(PYTHON) -m pytest

slow:  ## The tests that take more than a few seconds each.
	$(PYTHON) -m pytest -m slow
