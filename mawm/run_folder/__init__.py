"""A run on disk: its folder, its manifest, its checkpoints, and how a run goes on from them."""
