"""Sweeps: many runs of mawm.train. Grid, manifest, runner, and the table in the terminal."""
