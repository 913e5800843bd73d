"""How many bytes a sender may broadcast: a share of what it produces, a number per environment step, or any."""
