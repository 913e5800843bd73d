"""Records the inputs of selectors in a real run, for tests/golden/losses."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mawm.build import temporary_run
from mawm.configs.train import TrainConfig
from mawm.loop import round_
from mawm.sharing.broadcast import Broadcaster
from mawm.sharing.budgets import Unlimited
from mawm.sharing.selector import Items
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
        self.lengths: list[Ints] = []
        self.items = 0

    def propose(self, losses: NDArray[np.float64], lengths: Ints, items: Items) -> Bools:
        """Record the losses and select no item."""
        kept = min(len(losses), self.most - self.items)
        self.losses.append(losses[:kept])
        self.lengths.append(lengths[:kept])
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
    with temporary_run(config) as run:
        if len(run.names) > 1:
            raise ValueError(f"losses are recorded of one learner; {config.method} has {len(run.names)}")
        agent = cast(InlineTeam, run.team).learners[0]
        agent.experience, agent.rollouts = Broadcaster(segments, Unlimited()), Broadcaster(rollouts, Unlimited())
        while run.collector.env_steps < config.env_steps:
            round_(run)
            if run.schedule.passed("log", run.collector.env_steps, 4000):
                report(f"{run.collector.env_steps} steps, {segments.items} segments, {rollouts.items} rollouts")
    return {
        "losses": np.concatenate(segments.losses).astype(np.float16),
        "arrivals": np.concatenate(segments.lengths).astype(np.uint8),
        "critic": np.concatenate(rollouts.losses)[:, 0].astype(np.float16),
    }
