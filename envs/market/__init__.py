"""A small market whose dynamics change when explorers trade in it: the task of the gating ablation."""
