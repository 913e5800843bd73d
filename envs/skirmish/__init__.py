"""The embedded battle engine: the contract of SMAC without StarCraft II."""
