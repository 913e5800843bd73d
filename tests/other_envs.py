"""Small environments that are no `ParallelEnv`, with habits of users. Processes import it, so it imports little."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv
from pettingzoo.utils import AgentSelector

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)


class Cycle(AECEnv):
    """Three agents act in a cycle, after which the state changes. `deaths` says at which cycle an agent dies."""

    metadata: ClassVar[dict[str, Any]] = {"name": "cycle", "is_parallelizable": True}
    possible_agents: ClassVar[list[str]] = ["red", "blue", "green"]
    render_mode = None
    deaths: ClassVar[dict[str, int]] = {"red": 2, "blue": 4, "green": 4}
    cut_at = 99

    def __init__(self) -> None:
        self._box = {agent: spaces.Box(-1.0, 1.0, (3,), np.float32) for agent in self.possible_agents}
        self._discrete = {agent: spaces.Discrete(3) for agent in self.possible_agents}

    def observation_space(self, agent: str) -> spaces.Space:
        """Three numbers."""
        return self._box[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """Three actions."""
        return self._discrete[agent]

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        """Begin."""
        self.rng, self.t = np.random.default_rng(seed), 0
        self.agents = list(self.possible_agents)
        self.rewards, self._cumulative_rewards = dict.fromkeys(self.agents, 0.0), dict.fromkeys(self.agents, 0.0)
        self.terminations, self.truncations = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, False)
        self.infos = {agent: self.told(agent) for agent in self.agents}
        self.chosen: dict[str, int] = {}
        self.numbers = self.rng.random(3).astype(np.float32)
        self.selector = AgentSelector(self.agents)
        self.agent_selection = self.selector.reset()

    def told(self, agent: str) -> dict[str, Any]:
        """The infos of an agent."""
        return {}

    def observe(self, agent: str) -> Any:
        """The same numbers for all, until the cycle ends."""
        return self.numbers

    def step(self, action: int | None) -> None:
        """Choose the action of the selected agent; the last one ends the cycle."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self.chosen[agent] = int(action)
        if self.selector.is_last():
            self.t += 1
            self.numbers = self.rng.random(3).astype(np.float32)
            self.rewards = {one: float(self.chosen[one] == 1) for one in self.agents}
            self.terminations = {one: self.t >= self.deaths[one] for one in self.agents}
            self.truncations = dict.fromkeys(self.agents, self.t >= self.cut_at)
            self.infos = {one: self.told(one) for one in self.agents}
            living = [one for one in self.agents if not (self.terminations[one] or self.truncations[one])]
            self.selector.reinit(living)
            self.agent_selection = self.selector.reset() if living else self.agents[0]
        else:
            self.agent_selection = self.selector.next()
        self._accumulate_rewards()
        self._deads_step_first()

    def close(self) -> None:
        """Nothing to close."""


class CycleCut(Cycle):
    """Is truncated after three cycles."""

    deaths: ClassVar[dict[str, int]] = {"red": 9, "blue": 9, "green": 9}
    cut_at = 3


class CycleMaskSeen(CycleCut):
    """Shows masks in the observation."""

    def observe(self, agent: str) -> Any:
        """Numbers and a mask: only the action of the cycle's number is allowed."""
        return {"observation": self.numbers, "action_mask": np.eye(3, dtype=np.int8)[self.t % 3]}


class CycleMaskTold(CycleCut):
    """Tells masks in the infos."""

    def told(self, agent: str) -> dict[str, Any]:
        """A mask."""
        return {"action_mask": np.eye(3, dtype=np.int8)[self.t % 3]}


class OutOfOrder(Cycle):
    """Says that it is parallelizable, but its agents do not act in a cycle."""

    def step(self, action: int | None) -> None:
        """Play, and select the first agent again."""
        super().step(action)
        self.agent_selection = "red"


class Alone(gymnasium.Env):
    """One agent that sees three numbers. Action 1 pays. It is truncated after four steps, and never terminates."""

    observation_space: spaces.Space = BOX
    action_space: spaces.Space = spaces.Discrete(3)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        """Begin."""
        super().reset(seed=seed)
        self.t = 0
        return self.look(), {}

    def look(self) -> Any:
        """What the agent sees."""
        return self.np_random.random(3).astype(np.float32)

    def step(self, action: int) -> Any:
        """Play a step."""
        self.t += 1
        return self.look(), float(action == 1), False, self.t == 4, {"is_success": self.t >= 3}


class Endless(Alone):
    """Never ends."""

    def step(self, action: int) -> Any:
        """Play a step."""
        return (*super().step(action)[:3], False, {})


class Team(gymnasium.Env):
    """Two agents with tuples of spaces; action 1 pays. It ends after four steps."""

    observation_space = spaces.Tuple((BOX, spaces.Box(-1.0, 1.0, (2,), np.float64)))
    action_space = spaces.Tuple((spaces.Discrete(3), spaces.Discrete(2)))

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        """Begin."""
        super().reset(seed=seed)
        self.t = 0
        return self.look(), self.told()

    def look(self) -> Any:
        """What the agents see."""
        return [self.np_random.random(3).astype(np.float32), self.np_random.random(2)]

    def told(self) -> Any:
        """The infos."""
        return {}

    def pay(self, actions: Any) -> Any:
        """The rewards."""
        return [float(action == 1) for action in actions]

    def ends(self) -> Any:
        """Terminated, truncated."""
        return self.t >= 4, False

    def step(self, actions: Any) -> Any:
        """Play a step."""
        assert isinstance(actions, tuple) and all(isinstance(action, int) for action in actions)
        self.t += 1
        return self.look(), self.pay(actions), *self.ends(), self.told()
