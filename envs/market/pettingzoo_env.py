"""The market as a PettingZoo `ParallelEnv`, for other libraries' learners."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from mawm.envs.market.rules import MarketRules
from mawm.envs.market.vector import HOLD, MarketVectorEnv
from mawm.envs.team_parallel_env import TeamParallelEnv
from mawm.types import Ints


class MarketParallelEnv(TeamParallelEnv):
    """One session at a time; agents are called trader_0, trader_1, ...

    Actions: 0 hold, 1 buy, 2 sell. A forbidden action is replaced by hold. `explored`: explorers take part.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "market_v0", "render_modes": [], "is_parallelizable": True}
    episode: ClassVar[str] = "session"

    def __init__(self, seed: int = 0, rules: MarketRules | None = None, *, explored: bool = False) -> None:
        self.rules, self.explored = rules or MarketRules(), explored
        super().__init__(seed, np.inf, -np.inf, np.inf)

    def _make(self, seed: int) -> MarketVectorEnv:
        return MarketVectorEnv(1, seed, self.rules, explored=self.explored)

    def _names(self) -> list[str]:
        return [f"trader_{i}" for i in range(self.rules.traders)]

    def _joint(self, actions: Mapping[str, int]) -> tuple[Ints, list[str]]:
        if set(actions) != set(self.agents):
            raise ValueError(f"actions name {sorted(actions)}; give one to each of {self.agents}")
        joint = np.array([[int(actions[agent]) for agent in self.possible_agents]])
        outside = [a for a, action in zip(self.possible_agents, joint[0], strict=True) if not 0 <= action <= 2]
        if outside:
            raise ValueError(f"{outside[0]}: action {actions[outside[0]]} is outside its space; actions are 0 to 2")
        forbidden = ~np.take_along_axis(self._now.avail, joint[..., None], -1)[..., 0]
        joint[forbidden] = HOLD
        return joint, [agent for agent, hit in zip(self.possible_agents, forbidden[0], strict=True) if hit]


def parallel_env(seed: int = 0, **arguments: Any) -> MarketParallelEnv:
    """The environment by PettingZoo's usual name; arguments as for `MarketParallelEnv`."""
    return MarketParallelEnv(seed, **arguments)
