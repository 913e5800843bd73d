"""A vector environment with one row as a PettingZoo `ParallelEnv`, for other libraries' learners."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from mawm.types import Ints, Step, VectorEnv

Observation = dict[str, NDArray[Any]]
Infos = dict[str, dict[str, Any]]


class TeamParallelEnv(ParallelEnv[str, Observation, int]):
    """One battle at a time, with the same reward for all agents. Subclasses create the engine and name the agents.

    A forbidden action is replaced, because PettingZoo's own tests sample without masks. An observation is
    {"observation": (O,) float32, "action_mask": (A,) int8}. infos[agent] has `action_mask`, `battle_won` and
    `replaced`: whether the agent's action was forbidden and another one was played.
    """

    episode: ClassVar[str] = "battle"
    """The word for an episode in error messages."""
    fallback: ClassVar[int] = 0
    """The action of a living agent in place of a forbidden one. For a dead agent it is 0."""
    strict = False
    """Whether a forbidden action is a ValueError instead."""

    def __init__(self, seed: int, obs_bound: float, state_low: float, state_high: float) -> None:
        self.render_mode = None
        self._begin(seed)
        self.possible_agents = self._names()
        self.agents: list[str] = []
        sizes = self._engine.spaces
        obs, mask = spaces.Box(-obs_bound, obs_bound, (sizes.obs_size,), np.float32), (sizes.n_actions,)
        self.observation_spaces = {
            agent: spaces.Dict({"observation": obs, "action_mask": spaces.Box(0, 1, mask, np.int8)})
            for agent in self.possible_agents
        }
        self.action_spaces = {agent: spaces.Discrete(sizes.n_actions) for agent in self.possible_agents}
        self.state_space = spaces.Box(state_low, state_high, (sizes.state_size,), np.float32)

    def _make(self, seed: int) -> VectorEnv:
        """A new engine with one row."""
        raise NotImplementedError

    def _names(self) -> list[str]:
        """The names of all agents."""
        raise NotImplementedError

    def _joint(self, actions: Mapping[str, int]) -> tuple[Ints, list[str]]:
        """Checked actions (1, N), and the agents whose actions were replaced. Dead agents may be omitted."""
        for agent in actions:
            if agent not in self.action_spaces:
                known = ", ".join(self.possible_agents)
                raise ValueError(f"actions name '{agent}', which is no agent; agents are {known}")
        alive, avail = self._now.alive[0], self._now.avail[0]
        joint = np.zeros((1, len(self.possible_agents)), np.int64)
        replaced = []
        for i, agent in enumerate(self.possible_agents):
            if agent not in actions:
                if alive[i]:
                    raise ValueError(f"actions lack '{agent}', which is alive: give every living agent one")
                continue
            action = int(actions[agent])
            if not 0 <= action < len(avail[i]):
                raise ValueError(f"{agent}: action {action} is outside its space; actions are 0 to {len(avail[i]) - 1}")
            if not avail[i, action] and not self.strict:
                replaced.append(agent)
                action = self.fallback if alive[i] else 0
            joint[0, i] = action
        return joint, replaced

    def _info(self, avail: NDArray[np.bool_], *, first: bool) -> dict[str, Any]:
        """Further infos of an agent with mask (A,); `first`: at the reset."""
        return {}

    def _begin(self, seed: int) -> None:
        """Create an engine, whose row holds battle 0 of this seed."""
        self._engine = self._make(seed)
        self._now: Step = self._engine.reset()
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
        """Begin the next battle, or battle 0 of a given seed. `options` are ignored."""
        if seed is not None:
            self._begin(seed)
        elif not self._fresh:
            self._now = self._engine.reset()
        self._fresh = False
        self.agents = list(self.possible_agents)
        return self._shown(self._now.obs[0], self._now.avail[0], replaced=[], first=True)

    def step(
        self, actions: Mapping[str, int]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Play one step. ValueError for an unknown agent, a missing one, or an action outside its space."""
        if not self.agents:
            raise ValueError(f"the {self.episode} is over and step was called: call reset() first")
        joint, replaced = self._joint(actions)
        self._now = now = self._engine.step(joint)
        over = bool(now.terminated[0] or now.truncated[0])
        # The engine begins the next battle at once; final_* hold the last arrival of this one.
        obs, avail = (now.final_obs[0], now.final_avail[0]) if over else (now.obs[0], now.avail[0])
        observations, infos = self._shown(obs, avail, replaced=replaced, first=False)
        rewards = dict.fromkeys(self.agents, float(now.reward[0]))
        terminated, truncated = (dict.fromkeys(self.agents, bool(x[0])) for x in (now.terminated, now.truncated))
        if over:
            self.agents, self._fresh = [], True
        return observations, rewards, terminated, truncated, infos

    def state(self) -> NDArray[np.float32]:
        """The global state (S,) of the running battle."""
        if not self.agents:
            raise ValueError(f"no {self.episode} is running and state was called: call reset() first")
        return np.array(self._now.state[0])

    def _shown(
        self, obs: NDArray[np.float32], avail: NDArray[np.bool_], *, replaced: list[str], first: bool
    ) -> tuple[dict[str, Observation], Infos]:
        """Observations and infos of all agents from obs (N, O) and masks (N, A)."""
        observations: dict[str, Observation] = {}
        infos: Infos = {}
        won = not first and bool(self._now.battle_won[0])
        for i, agent in enumerate(self.possible_agents):
            mask = avail[i].astype(np.int8)
            observations[agent] = {"observation": obs[i].copy(), "action_mask": mask}
            common = {"action_mask": mask.copy(), "battle_won": won, "replaced": agent in replaced}
            infos[agent] = {**common, **self._info(avail[i], first=first)}
        return observations, infos
