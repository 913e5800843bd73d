"""Plays battles with a team that learns nothing from them."""

import math
from dataclasses import dataclass

import numpy as np

from mawm.team import Team
from mawm.types import VectorEnv


@dataclass(frozen=True)
class Evaluation:
    """Outcome of `episodes` battles, each row's first one: no battle is dropped for being long."""

    episodes: int
    wins: int
    mean_return: float
    mean_length: float

    @property
    def win_rate(self) -> float:
        """Share of battles won."""
        return self.wins / self.episodes

    def interval(self, sigmas: float = 1.959964) -> tuple[float, float]:
        """Wilson's interval for the win rate (95 % by default): sensible at 0 and at 1 too."""
        n, p = self.episodes, self.win_rate
        centre = (p + sigmas**2 / (2 * n)) / (1 + sigmas**2 / n)
        half = sigmas / (1 + sigmas**2 / n) * math.sqrt(p * (1 - p) / n + sigmas**2 / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)


def evaluate(env: VectorEnv, team: Team, mode: str = "greedy") -> Evaluation:
    """Play one battle in every row of `env` to its end, every agent acting on its own observation and memory alone."""
    step, batch = env.reset(), env.batch
    team.begin("eval", batch)
    first, done, won = np.ones(batch, np.bool_), np.zeros(batch, np.bool_), np.zeros(batch, np.bool_)
    returns, lengths = np.zeros(batch, np.float64), np.zeros(batch, np.int64)
    while not done.all():
        step = env.step(team.act(step.obs, step.avail, first, slot="eval", mode=mode))
        first = step.terminated | step.truncated
        returns += np.where(done, 0.0, step.reward)
        lengths += ~done
        won |= step.battle_won & first & ~done
        done |= first
    return Evaluation(batch, int(won.sum()), float(returns.mean()), float(lengths.mean()))
