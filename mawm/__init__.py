"""Decentralized, Dreamer-style world models for cooperative multi-agent reinforcement learning."""

__version__ = "0.2.0"
