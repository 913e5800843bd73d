"""Explorers: auxiliary teams beside the primary team, and the gate between them. No world model imports this."""
