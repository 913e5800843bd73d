"""Explorers beside the primary, of which a stated part reaches it."""

from typing import Literal

from mawm.beside import State
from mawm.gating.explorers import Explorers
from mawm.team import Team
from mawm.types import Metrics


class Gated:
    """Explorers beside the primary. The primary's weights are read, by copy; of theirs `handover` alone comes back.

    handover: None in `strict` mode, nothing of theirs reaches the primary; `consider` in `policy` mode, their segments
    are where some of its imagination starts, never what its model is fitted on; `mix` in `open` mode, the ablation:
    their segments enter the replay of its world model.
    """

    def __init__(
        self, explorers: Explorers, names: tuple[str, ...], handover: Literal["consider", "mix"] | None
    ) -> None:
        self.explorers = explorers
        self.names = names
        self.handover = handover
        self.evolved_at = 0

    def round(self, team: Team, vector_steps: int, env_steps: int) -> Metrics:
        """Explorers play as many steps as the primary did, evolve when due, and hand over what the mode allows."""
        explorers = self.explorers
        segments = explorers.explore(vector_steps)
        if env_steps - self.evolved_at >= explorers.config.evolve_every:
            self.evolved_at = env_steps
            explorers.evolve(list(zip(self.names, team.map("policy_weights"), strict=True)))
        if self.handover is not None:
            team.map(self.handover, [[s for s in segments if s.origin.agent in members] for members in team.members])
        return {
            **explorers.metrics,
            "env_steps": float(explorers.collector.env_steps),
            "replay_steps": float(len(explorers.replay)),
        }

    def state(self) -> State | None:
        """The explorers' state, and when they last evolved."""
        arrays, rest = self.explorers.state()
        return arrays, {**rest, "evolved_at": self.evolved_at}

    def load_state(self, state: State) -> None:
        """Continue from `state`."""
        self.explorers.load_state(*state)
        self.evolved_at = int(state[1]["evolved_at"])
