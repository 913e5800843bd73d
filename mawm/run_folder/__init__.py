"""A run's folder: its location, its manifest, its checkpoints, and the continuation of a run."""
