# What CI and CONTRIBUTING call. `make check PYTHON=.venv/bin/python` uses another interpreter.
PYTHON ?= python

.PHONY: check format test slow storm

check:  ## Lint, formatting, types.
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

format:  ## Mend what ruff can mend.
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

test:  ## The fast suite.
	$(PYTHON) -m pytest

storm:  ## Kills, damage, hostile files and random settings in their long versions.
	$(PYTHON) -m pytest -n 0 -m "slow or not slow" --durations=0 tests/test_storm.py tests/test_checkpoint.py tests/test_careful.py tests/test_guard.py tests/test_env_process.py tests/test_own_environment.py tests/test_watch.py tests/test_fuzz.py

slow:  ## The tests that take more than a few seconds each.
	$(PYTHON) -m pytest -m slow
