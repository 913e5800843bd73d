"""Crash-safe files: atomic writes, safe reads, retries, append-only tables, the metrics log, the folder lock."""
