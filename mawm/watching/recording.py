"""Plays battles with a trained team and records what the environment, the agents and their memories held."""

from collections.abc import Iterator

import numpy as np

from mawm.agents.agent import Agent
from mawm.agents.ppo.learner import Ppo
from mawm.collect import Collector
from mawm.filming.recording import Battle, RecordedBattles
from mawm.seeds import named_generator
from mawm.team import Actors, InlineTeam
from mawm.trained.run import TrainedRun
from mawm.types import Bools, Floats, Ints, Segment, VectorEnv

SLOT = "eval"
"""The memory with which a watched team acts: no lane of it is greedy where the mode is `sample`."""


class RecordedTeam(Actors):
    """A trained team that writes the latent states with which it acts into the battle."""

    def __init__(self, team: InlineTeam, battles: RecordedBattles) -> None:
        self.team, self.battles, self.members = team, battles, team.members

    def begin(self, slot: str, batch: int) -> None:
        """Forget everything before the first battle."""
        self.team.begin(SLOT, batch)

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (1, N) of the team."""
        actions = self.team.act(obs, avail, is_first, slot=SLOT, mode=mode)
        states = [a.memories[SLOT].state for a in self.team.learners if isinstance(a, Agent)]
        if states:
            order = np.argsort([agent for members in self.members for agent in members])
            battle = self.battles.battle
            battle.deter.append(np.concatenate([state.deter.numpy() for state in states])[order])
            battle.stoch.append(np.concatenate([state.stoch.numpy() for state in states])[order])
        return actions


def play(trained: TrainedRun, env: VectorEnv, mode: str, seed: int) -> Iterator[Battle]:
    """Play one battle after the other without end; the same seed and mode give the same battles."""
    config = trained.config.agent
    for learner in trained.team.learners:
        if isinstance(learner, Agent | Ppo):
            learner.rngs["evaluate"] = named_generator(seed, f"watch/{learner.name}")
    battles = RecordedBattles(env)
    team = RecordedTeam(trained.team, battles)
    length = config.world_model.seq_len
    collector = Collector(battles, team, seq_len=length, discount=config.behaviour.discount)
    segments: list[list[Segment]] = [[] for _ in team.members]
    while True:
        for kept, new in zip(segments, collector.collect(1, mode), strict=True):
            kept += new
        if battles.finished is not None:
            battles.finished.segments, segments = segments, [[] for _ in team.members]
            yield battles.finished
