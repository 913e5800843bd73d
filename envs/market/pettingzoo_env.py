"""The market as a PettingZoo `ParallelEnv`, for other libraries' learners."""

from typing import Any, ClassVar

import numpy as np

from mawm.envs.market.rules import MarketRules
from mawm.envs.market.vector import HOLD, MarketVectorEnv
from mawm.envs.team_parallel_env import TeamParallelEnv


class MarketParallelEnv(TeamParallelEnv):
    """One session at a time; agents are called trader_0, trader_1, ...

    Actions: 0 hold, 1 buy, 2 sell. A forbidden action is replaced by hold. `explored`: explorers take part.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "market_v0", "render_modes": [], "is_parallelizable": True}
    episode: ClassVar[str] = "session"
    fallback: ClassVar[int] = HOLD

    def __init__(self, seed: int = 0, rules: MarketRules | None = None, *, explored: bool = False) -> None:
        self.rules, self.explored = rules or MarketRules(), explored
        super().__init__(seed, np.inf, -np.inf, np.inf)

    def _make(self, seed: int) -> MarketVectorEnv:
        return MarketVectorEnv(1, seed, self.rules, explored=self.explored)

    def _names(self) -> list[str]:
        return [f"trader_{i}" for i in range(self.rules.traders)]


parallel_env = MarketParallelEnv
"""The environment by PettingZoo's usual name."""
