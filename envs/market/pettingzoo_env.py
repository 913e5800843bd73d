"""The market as a PettingZoo `ParallelEnv`, for other libraries' learners."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from mawm.envs.market.rules import MarketRules
from mawm.envs.market.vector import HOLD, MarketVectorEnv

Observation = dict[str, NDArray[Any]]
Infos = dict[str, dict[str, Any]]


class MarketParallelEnv(ParallelEnv[str, Observation, int]):
    """One session at a time; agents are called trader_0, trader_1, ...

    An observation is {"observation": (5,) float32, "action_mask": (3,) int8}; the mask also comes as
    infos[agent]["action_mask"]. Actions: 0 hold, 1 buy, 2 sell. All agents get the team's reward. An action that its
    mask forbids counts as hold and sets infos[agent]["replaced"]. `explored`: exploratory strategies take part.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "market_v0", "render_modes": [], "is_parallelizable": True}

    def __init__(self, seed: int = 0, rules: MarketRules | None = None, *, explored: bool = False) -> None:
        self.render_mode = None
        self.rules, self.explored = rules or MarketRules(), explored
        self.possible_agents = [f"trader_{i}" for i in range(self.rules.traders)]
        self.agents: list[str] = []
        self._seen_space = spaces.Dict(
            {
                "observation": spaces.Box(-np.inf, np.inf, (5,), np.float32),
                "action_mask": spaces.Box(0, 1, (3,), np.int8),
            }
        )
        self.observation_spaces: dict[str, spaces.Space[Any]] = dict.fromkeys(self.possible_agents, self._seen_space)
        self.action_spaces = {agent: spaces.Discrete(3) for agent in self.possible_agents}
        self.state_space = spaces.Box(-np.inf, np.inf, (3 + self.rules.traders,), np.float32)
        self._begin(seed)

    def _begin(self, seed: int) -> None:
        """Fresh sessions of a seed, of which the first begins."""
        self._engine = MarketVectorEnv(1, seed, self.rules, explored=self.explored)
        self._now = self._engine.reset()
        self._fresh = True

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The same space object at every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """The same space object at every call."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], Infos]:
        """Begin the next session, or with a seed session 0 of that seed. There are no `options`: they are ignored."""
        if seed is not None:
            self._begin(seed)
        elif not self._fresh:
            self._now = self._engine.reset()
        self._fresh = False
        self.agents = list(self.possible_agents)
        return self._shown(self._now.obs[0], self._now.avail[0], won=False, replaced=[])

    def step(
        self, actions: Mapping[str, int]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Trade once. ValueError for an unknown agent, a missing one, or an action outside its space."""
        if not self.agents:
            raise ValueError("the session is over and step was called: call reset() first")
        if set(actions) != set(self.agents):
            raise ValueError(f"actions name {sorted(actions)}; give one to each of {self.agents}")
        joint = np.array([[int(actions[agent]) for agent in self.possible_agents]])
        outside = [a for a, action in zip(self.possible_agents, joint[0], strict=True) if not 0 <= action <= 2]
        if outside:
            raise ValueError(f"{outside[0]}: action {actions[outside[0]]} is outside its space; actions are 0 to 2")
        forbidden = ~np.take_along_axis(self._now.avail, joint[..., None], -1)[..., 0]
        joint[forbidden] = HOLD
        replaced = [agent for agent, hit in zip(self.possible_agents, forbidden[0], strict=True) if hit]
        self._now = now = self._engine.step(joint)
        over = bool(now.terminated[0])
        obs, avail = (now.final_obs[0], now.final_avail[0]) if over else (now.obs[0], now.avail[0])
        observations, infos = self._shown(obs, avail, won=bool(now.battle_won[0]), replaced=replaced)
        rewards = dict.fromkeys(self.agents, float(now.reward[0]))
        terminated, truncated = dict.fromkeys(self.agents, over), dict.fromkeys(self.agents, False)
        if over:
            self.agents, self._fresh = [], True  # the engine has begun the next session already
        return observations, rewards, terminated, truncated, infos

    def state(self) -> NDArray[np.float32]:
        """The trend, the team's last volume, the time left, and all positions, while a session runs."""
        if not self.agents:
            raise ValueError("no session is running and state was called: call reset() first")
        state: NDArray[np.float32] = self._now.state[0].copy()
        return state

    def _shown(
        self, obs: NDArray[np.float32], avail: NDArray[np.bool_], *, won: bool, replaced: list[str]
    ) -> tuple[dict[str, Observation], Infos]:
        observations: dict[str, Observation] = {}
        infos: Infos = {}
        for i, agent in enumerate(self.possible_agents):
            mask = avail[i].astype(np.int8)
            observations[agent] = {"observation": obs[i].copy(), "action_mask": mask}
            infos[agent] = {"action_mask": mask.copy(), "battle_won": won, "replaced": agent in replaced}
        return observations, infos


def parallel_env(seed: int = 0, **arguments: Any) -> MarketParallelEnv:
    """The environment by PettingZoo's customary name; arguments as for `MarketParallelEnv`."""
    return MarketParallelEnv(seed, **arguments)
