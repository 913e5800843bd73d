"""Benchmarks, each with a baseline in the same run: `python -m mawm.bench`."""
