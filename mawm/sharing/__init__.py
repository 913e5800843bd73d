"""Sharing between agents: selectors, budgets, messages, the channel and its ledger."""
