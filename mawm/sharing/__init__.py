"""What agents tell each other: selectors, budgets, messages, the channel and its ledger."""
