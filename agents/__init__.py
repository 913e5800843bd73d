"""The parts of one agent. No module here refers to a second agent."""
