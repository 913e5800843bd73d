"""Finds agents whose rewards oppose each other: their mean, the reward of the team, then says little."""

from collections.abc import Mapping
from typing import Any

import numpy as np

STEPS = 200
"""Steps after which the rewards are judged."""
LEAST = 20
"""Steps that a judgement needs at least."""
OPPOSED = -0.5
"""Largest correlation of two agents' rewards that counts as opposed. In a zero-sum game of two it is -1. Agents of a
team that are paid for their own finds have correlations near 0."""


class OpposingRewards:
    """Judges the rewards of the first 200 steps in which at least two agents were paid."""

    def __init__(self, agents: list[Any]) -> None:
        self._agents = agents
        self._rows: list[list[float]] = []
        self.judged = len(agents) < 2
        """Whether the judgement is made."""

    def add(self, rewards: Mapping[Any, float]) -> str:
        """Add the rewards of a step. Returns a sentence for the user at the judgement, and only then."""
        if self.judged:
            return ""
        if len(rewards) > 1:
            self._rows.append([rewards.get(agent, np.nan) for agent in self._agents])
        return "" if len(self._rows) < STEPS else self.judge()

    def judge(self) -> str:
        """Judge the rewards added so far. Returns a sentence for the user, or an empty text."""
        if self.judged or len(self._rows) < LEAST:
            return ""
        self.judged = True
        return self._judge(np.array(self._rows))

    def _judge(self, rows: np.ndarray) -> str:
        """The sentence about the two agents with the most negative correlation; empty if none are opposed."""
        worst, pair = 0.0, (0, 0)
        for i in range(rows.shape[1]):
            for j in range(i):
                both = rows[np.isfinite(rows[:, (i, j)]).all(1)][:, (i, j)]
                if len(both) < max(LEAST, len(rows) // 2) or (both.std(0) < 1e-9).any():
                    continue
                found = float(np.corrcoef(both.T)[0, 1])
                if found < worst:
                    worst, pair = found, (j, i)
        if worst > OPPOSED:
            return ""
        one, other = (self._agents[i] for i in pair)
        return (
            f"the rewards of {one} and {other} oppose each other (correlation {worst:.2f} in {len(rows)} steps), and "
            "the reward of the team is the mean of its agents' rewards. This mean says little if agents play against "
            "each other: leave the opponents to a fixed policy inside the environment"
        )
