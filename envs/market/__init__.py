"""A small market whose dynamics change when exploratory strategies take part: the task of the gating ablation."""
