# What CI and CONTRIBUTING call. `make check PYTHON=.venv/bin/python` uses another interpreter.
PYTHON ?= python

.PHONY: check docs docs-commands notebooks format core test slow storm soak gpu smac cluster

check: docs  ## Lint, formatting, types, and the docs without a warning.
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

docs:  ## The site, from docs/ and the docstrings, into build/docs; a warning is an error.
	$(PYTHON) -m sphinx -q -j auto -W --keep-going -b html docs build/docs

docs-commands:  ## Run all commands of README and docs, with fewer steps, and the notebooks.
	$(PYTHON) -m pytest -m "slow or not slow" tests/test_documented_commands.py tests/test_notebooks.py tests/test_docs.py

notebooks:  ## Run the notebooks of the docs in full, and draw the figures that their pages show.
	$(PYTHON) tests/notebook_runner.py

format:  ## Mend what ruff can mend.
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

core:  ## The tests to run at every edit: engine, learner, sharing. The files are listed in tests/conftest.py.
	$(PYTHON) -m pytest -m core

test:  ## The fast suite.
	$(PYTHON) -m pytest

SURVIVED = killed_runs resume_exact run_signals signal_handlers full_disk checkpoint safe_read replay checked_env nonfinite \
	process_env own_environment fuzz

storm:  ## Kills, damage, full disks, hostile files, faults and random settings in their long versions, and a table of them.
	$(PYTHON) -m pytest -m "slow or not slow" $(SURVIVED:%=tests/test_%.py)

soak:  ## A million environment steps, watched: memory, threads, file handles, disk.
	$(PYTHON) -m mawm.benchmarks.soak

gpu:  ## All checks that need a GPU, in at most eight minutes.
	$(PYTHON) -m mawm.benchmarks.gpu

slow:  ## The tests that take more than a few seconds each.
	$(PYTHON) -m pytest -m slow

SMAC = smac_driver smac_package conversations standin standin_process starcraft_games

smac:  ## The packages smac and smacv2 on the stand-in, all maps (docs/starcraft.md says how to install them).
	$(PYTHON) -m pytest -m "slow or not slow" $(SMAC:%=tests/test_%.py)

CLUSTER = ray_placement

cluster:  ## Learners on a cluster of Ray's nodes on this machine (the extra `ray`), in at most five minutes.
	$(PYTHON) -m pytest -n 0 -m "slow or not slow" $(CLUSTER:%=tests/test_%.py)
