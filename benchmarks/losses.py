"""Records the inputs of selectors in a real run, for tests/golden/losses."""

import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mawm.agents.agent import Agent
from mawm.build import make_run, make_team
from mawm.configs.train import TrainConfig
from mawm.envs.registry import make_env
from mawm.gating.build import make_explorer_hook
from mawm.loop import round_
from mawm.sharing.broadcast import Broadcaster
from mawm.sharing.budgets import Unlimited
from mawm.sharing.selectors import AllOrNone
from mawm.team import InlineTeam
from mawm.types import Bools, Ints


class Recorder(AllOrNone):
    """A selector that selects no item and records the losses of the first `most` items."""

    def __init__(self, most: int) -> None:
        super().__init__(False)
        self.active = True
        self.most = most
        self.losses: list[NDArray[np.float64]] = []
        self.arrivals: list[Ints] = []
        self.items = 0

    def propose(self, losses: NDArray[np.float64], arrivals: Ints) -> Bools:
        """Record the losses and select no item."""
        kept = min(len(losses), self.most - self.items)
        self.losses.append(losses[:kept])
        self.arrivals.append(arrivals[:kept])
        self.items += kept
        self.active = self.items < self.most
        return np.zeros(len(losses), np.bool_)


def record(config: TrainConfig, most_rollouts: int, report: Callable[[str], None]) -> dict[str, NDArray[Any]]:
    """Run `config` with one learner for the team, and record the inputs of its selectors.

    Arrays: `losses` (n, 4) float16, the losses (`SCORES`) of every segment of every agent in nats per arrival;
    `arrivals` (n,) uint8, the lengths of the segments; `critic` (r,) float16, the critic's loss of the first
    `most_rollouts` rollouts. Recording does not change the run. ValueError for a team of several learners.
    """
    segments, rollouts = Recorder(10**9), Recorder(most_rollouts)
    with tempfile.TemporaryDirectory() as folder, closing(make_env(config, "train", config.schedule.battles)) as env:
        team = cast(InlineTeam, make_team(config, env.spaces, "cpu", "inline"))
        if len(team.members) > 1:
            raise ValueError(f"losses are recorded of one learner; {config.method} has {len(team.members)}")
        explorer_hook = make_explorer_hook(config, env.spaces)
        run = make_run(config, env, team, explorer_hook, Path(folder), lambda run, metrics: None, None)
        agent = cast(Agent, team.learners[0])
        agent.experience, agent.rollouts = Broadcaster(segments, Unlimited()), Broadcaster(rollouts, Unlimited())
        while run.collector.env_steps < config.env_steps:
            round_(run)
            if run.schedule.passed("log", run.collector.env_steps, 4000):
                report(f"{run.collector.env_steps} steps, {segments.items} segments, {rollouts.items} rollouts")
        for writer in run.writers:
            writer.close()
    return {
        "losses": np.concatenate(segments.losses).astype(np.float16),
        "arrivals": np.concatenate(segments.arrivals).astype(np.uint8),
        "critic": np.concatenate(rollouts.losses)[:, 0].astype(np.float16),
    }
