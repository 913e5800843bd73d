"""The audit of the gate (`python -m mawm.audit gating`), and checks of the papers' statements."""
