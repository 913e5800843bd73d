"""Environments, all behind the one vector interface of `mawm.types`."""
