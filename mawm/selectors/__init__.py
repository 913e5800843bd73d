"""Which finished items a sender offers: the paper's Gaussian rule, others beside it, controls, and a user's own."""
