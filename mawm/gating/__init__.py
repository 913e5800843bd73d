"""Auxiliary teams that explore beside the primary one, and what of theirs may reach it. No world model imports this."""
