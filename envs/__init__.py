"""Environments with the vector interface of `mawm.types`."""
