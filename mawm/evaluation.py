"""Evaluation without learning: a team's win rates, and the errors of its world models."""

import hashlib
import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mawm.collect import Collector
from mawm.team import Actors, Team
from mawm.types import Metrics, VectorEnv

SIGMAS_95 = 1.959964
"""Half-width of the 95 % interval of a normal distribution, in standard deviations."""

Watch = Callable[[str, int], None]


def wilson(share: float, n: int, sigmas: float = SIGMAS_95) -> tuple[float, float]:
    """Wilson's interval (95 % by default) for a share that was found in `n` independent observations."""
    centre = (share + sigmas**2 / (2 * n)) / (1 + sigmas**2 / n)
    half = sigmas / (1 + sigmas**2 / n) * math.sqrt(share * (1 - share) / n + sigmas**2 / (4 * n * n))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if share == 0 else low), (1.0 if share == 1 else high)  # exactly, because differences round


@dataclass(frozen=True)
class AgentOutcome:
    """What one agent did in the battles of an evaluation.

    `deaths`: number of battles at whose end the agent was dead (in an environment of your own: out of the battle).
    `actions` (A,): how often it took each action while it was alive.
    """

    deaths: int
    actions: tuple[int, ...]

    def action_shares(self) -> list[float]:
        """The share (A,) of each action among its actions; zeros if it never acted."""
        total = max(sum(self.actions), 1)
        return [count / total for count in self.actions]


@dataclass(frozen=True)
class Evaluation:
    """Outcome of `episodes` battles; long battles are not dropped."""

    episodes: int
    wins: int
    mean_return: float
    mean_length: float
    distinct: int
    """Number of different sequences of joint actions among the battles, in [1, `episodes`]."""
    agents: tuple[AgentOutcome, ...] = ()
    """One entry for each agent (N,)."""
    return_deviation: float = 0.0
    """Standard deviation of the battles' returns."""
    first: tuple[tuple[int, ...], ...] = field(default=(), repr=False, compare=False)
    """The joint actions (T, N) of the first battle."""

    @property
    def win_rate(self) -> float:
        """Share of battles won."""
        return self.wins / self.episodes

    def interval(self, sigmas: float = SIGMAS_95) -> tuple[float, float]:
        """Wilson's interval for the win rate (95 % by default), with the number of distinct battles as sample size.

        Copies of one battle are one observation: 64 copies of a won battle give [0.21, 1], as one battle does.
        """
        return wilson(self.win_rate, self.distinct, sigmas)

    @property
    def deaths(self) -> float:
        """Mean number of agents that were dead at the end of a battle."""
        return sum(agent.deaths for agent in self.agents) / self.episodes

    def agent_facts(self, mode: str = "") -> list[dict[str, Any]]:
        """For each agent: the share of battles in which it died, its interval, and the shares (A,) of its actions."""
        facts = []
        for agent in self.agents:
            share = agent.deaths / self.episodes
            low, high = wilson(share, self.distinct)
            named = {f"deaths{mode}": share, f"deaths{mode}_low": low, f"deaths{mode}_high": high}
            facts.append({**named, f"actions{mode}": agent.action_shares()})
        return facts

    def metrics(self, mode: str = "") -> Metrics:
        """The outcome by name; `mode` is a part of each name, say `_sampled`."""
        low, high = self.interval()
        return {
            f"win_rate{mode}": self.win_rate,
            f"win_rate{mode}_low": low,
            f"win_rate{mode}_high": high,
            f"return{mode}": self.mean_return,
            f"length{mode}": self.mean_length,
            f"distinct_battles{mode}": float(self.distinct),
        }


@dataclass(frozen=True)
class TeamEvaluation:
    """The same battles, played twice: once with greedy and once with sampled actions."""

    greedy: Evaluation
    sampled: Evaluation

    def metrics(self) -> Metrics:
        """Both outcomes by name: `win_rate` is greedy, `win_rate_sampled` sampled, and so on."""
        return {**self.greedy.metrics(), **self.sampled.metrics("_sampled"), "episodes": float(self.greedy.episodes)}


def evaluate_both(
    make_env: Callable[[], VectorEnv], team: Actors, battles: int, watch: Watch | None = None
) -> TeamEvaluation:
    """Play the first `battles` of a fresh environment with greedy actions, then again with sampled ones."""
    with closing(make_env()) as env:
        greedy = evaluate(env, team, battles, "greedy", watch)
    with closing(make_env()) as env:
        return TeamEvaluation(greedy, evaluate(env, team, battles, "sample", watch))


def evaluate(
    env: VectorEnv, team: Actors, battles: int, mode: str = "greedy", watch: Watch | None = None
) -> Evaluation:
    """Play `battles` battles to their ends, every agent acting on its own observation and memory alone.

    Row b plays battles b, b + B, ...: a fixed number per row, so that short battles do not count more often.
    `watch` gets the mode and the number of ended battles after each step.
    """
    step, batch = env.reset(), env.batch
    team.begin("eval", batch)
    battle = np.arange(batch)  # of each row; a row has finished when its battle is not below `battles`
    first = np.ones(batch, np.bool_)
    won, returns, lengths = np.zeros(battles, np.bool_), np.zeros(battles, np.float64), np.zeros(battles, np.int64)
    played = [hashlib.blake2b(digest_size=16) for _ in range(battles)]
    opening: list[tuple[int, ...]] = []
    agents, n_actions = step.avail.shape[1:]
    deaths, taken = np.zeros(agents, np.int64), np.zeros((agents, n_actions), np.int64)
    while (rows := np.flatnonzero(battle < battles)).size:
        actions = team.act(step.obs, step.avail, first, slot="eval", mode=mode)
        for row in rows:
            played[battle[row]].update(actions[row].tobytes())
        if battle[0] == 0:
            opening.append(tuple(actions[0].tolist()))
        living = np.argwhere(step.alive[rows])  # rows of (place in `rows`, agent)
        np.add.at(taken, (living[:, 1], actions[rows[living[:, 0]], living[:, 1]]), 1)
        step = env.step(actions)
        first = step.terminated | step.truncated
        deaths += (~step.final_alive[rows[first[rows]]]).sum(0)
        returns[battle[rows]] += step.reward[rows]
        lengths[battle[rows]] += 1
        won[battle[rows]] |= step.battle_won[rows] & first[rows]
        battle += batch * first
        if watch is not None:
            watch(mode, int(np.minimum(battle // batch, -(-(battles - np.arange(batch)) // batch)).clip(0).sum()))
    distinct = len({one.digest() for one in played})
    outcomes = tuple(AgentOutcome(int(n), tuple(map(int, counts))) for n, counts in zip(deaths, taken, strict=True))
    mean, deviation, length = float(returns.mean()), float(returns.std()), float(lengths.mean())
    return Evaluation(battles, int(won.sum()), mean, length, distinct, outcomes, deviation, tuple(opening))


def model_errors(env: VectorEnv, team: Team, mode: str, *, seq_len: int, discount: float) -> Metrics:
    """One-step errors, averaged over learners, in battles of `env` without exploration and in their replays.

    deployed/obs_error, deployed/reward_error, trained/obs_error, trained/reward_error (`ModelTrainer.errors`); the gap
    is deployed minus trained. Empty for learners without a world model.
    """
    collector = Collector(env, team, seq_len=seq_len, discount=discount)
    segments = collector.collect(2 * env.spaces.episode_limit, mode)
    found = team.model_errors(segments)
    return {tag: float(np.mean([errors[tag] for errors in found])) for tag in found[0]}
