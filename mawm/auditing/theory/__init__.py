"""The papers' statements, checked on cases with a known answer (`python -m mawm.verify theory`)."""
