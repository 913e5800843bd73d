"""Files that survive a crash: atomic writes, safe reads, retries, append-only tables, the metrics log, the lock."""
