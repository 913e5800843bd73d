"""Speed, measured against a named baseline in the same run: `python -m mawm.bench`."""
