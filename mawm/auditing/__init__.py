"""What `python -m mawm.audit gating` does: one stream of the primary, replayed beside explorers of every kind."""
