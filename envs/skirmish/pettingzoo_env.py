"""The embedded engine as a PettingZoo `ParallelEnv`, for other libraries' learners."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from mawm.envs.skirmish.maps import MapSpec
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.vector import SkirmishVectorEnv

NO_OP, STOP_ACTION = 0, 1

Observation = dict[str, NDArray[Any]]
Infos = dict[str, dict[str, Any]]


class SkirmishParallelEnv(ParallelEnv[str, Observation, int]):
    """One battle at a time; agents are called marine_0, marine_1, ... in SMAC's order.

    An observation is {"observation": (O,) float32, "action_mask": (A,) int8}; the mask also comes as
    infos[agent]["action_mask"]. All agents stay until the battle ends, because the team's reward does: a dead one sees
    zeros and has only action 0, which may be left out. A battle that reaches its time limit is truncated, not
    terminated. infos[agent] has `battle_won`, `dead_allies`, `dead_enemies`, `alive`.

    An action that its mask forbids counts as stop (no-op if dead) and sets infos[agent]["replaced"], because
    PettingZoo's own tests sample without masks; with `strict` it is a ValueError, as in SMAC.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "skirmish_v0", "render_modes": [], "is_parallelizable": True}

    def __init__(
        self,
        map: str | Path | MapSpec = "3m",
        seed: int = 0,
        rules: Rules | None = None,
        *,
        strict: bool = False,
        **engine: Any,
    ) -> None:
        """`engine` takes further arguments of `SkirmishVectorEnv`, e.g. `sparse=True`."""
        self.strict = strict
        self.render_mode = None
        self._map, self._rules, self._engine_options = map, rules, engine
        self._begin(seed)
        kinds: Counter[str] = Counter()
        self.possible_agents: list[str] = []
        for kind in self._engine.spec.allies:
            self.possible_agents.append(f"{kind}_{kinds[kind]}")
            kinds[kind] += 1
        self.agents: list[str] = []
        sizes = self._engine.spaces
        self.observation_spaces = {
            agent: _observation_space(sizes.obs_size, sizes.n_actions) for agent in self.possible_agents
        }
        self.action_spaces = {agent: spaces.Discrete(sizes.n_actions) for agent in self.possible_agents}
        # Cooldowns exceed 1: SMAC divides some by less than the longest that occurs.
        self.state_space = spaces.Box(-1.0, 2.0, (sizes.state_size,), np.float32)

    def _begin(self, seed: int) -> None:
        """A fresh engine, whose row holds battle 0 of this seed from the beginning on."""
        self._engine = SkirmishVectorEnv(self._map, 1, seed, self._rules, **self._engine_options)
        self._fresh = True
        self._now = self._engine.reset()

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The same space object at every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """The same space object at every call."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], Infos]:
        """Begin the next battle, or with a seed battle 0 of that seed. There are no `options`: they are ignored."""
        if seed is not None:
            self._begin(seed)
        elif not self._fresh:
            self._engine.reset()
        self._fresh = False
        self._now = self._engine.show()
        self.agents = list(self.possible_agents)
        return self._shown(self._now.obs, self._now.avail, won=False, dead=(0, 0))

    def step(
        self, actions: Mapping[str, int]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Play one step. ValueError for an unknown agent, a missing one, or an action outside its space."""
        if not self.agents:
            raise ValueError("the battle is over and step was called: call reset() first")
        joint, replaced = self._joint(actions)
        step = self._engine.step(joint)
        over = bool(step.terminated[0] or step.truncated[0])
        # The engine begins the next battle at once; what this one ended with lies in final_*.
        obs, avail = (step.final_obs, step.final_avail) if over else (step.obs, step.avail)
        dead = (int(self._engine.deaths[0, 0]), int(self._engine.deaths[0, 1]))
        observations, infos = self._shown(obs, avail, won=bool(step.battle_won[0]), dead=dead)
        for agent in replaced:
            infos[agent]["replaced"] = True
        rewards = dict.fromkeys(self.agents, float(step.reward[0]))
        terminated = dict.fromkeys(self.agents, bool(step.terminated[0]))
        truncated = dict.fromkeys(self.agents, bool(step.truncated[0]))
        self._now = step
        if over:
            self.agents, self._fresh = [], True
        return observations, rewards, terminated, truncated, infos

    def state(self) -> NDArray[np.float32]:
        """SMAC's global state (S,) while a battle runs."""
        if not self.agents:
            raise ValueError("no battle is running and state was called: call reset() first")
        state: NDArray[np.float32] = self._now.state[0].copy()
        return state

    def _joint(self, actions: Mapping[str, int]) -> tuple[NDArray[np.int64], list[str]]:
        """Actions (1, N) in agent order, and whose were replaced. The dead, who have no choice, may be left out."""
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
                action = STOP_ACTION if alive[i] else NO_OP
            joint[0, i] = action
        return joint, replaced

    def _shown(
        self, obs: NDArray[np.float32], avail: NDArray[np.bool_], *, won: bool, dead: tuple[int, int]
    ) -> tuple[dict[str, Observation], Infos]:
        """Observations and infos of all agents from rows (1, N, ...)."""
        masks = avail[0].astype(np.int8)
        observations: dict[str, Observation] = {}
        infos: Infos = {}
        for i, agent in enumerate(self.possible_agents):
            observations[agent] = {"observation": obs[0, i].copy(), "action_mask": masks[i].copy()}
            infos[agent] = {
                "action_mask": masks[i].copy(),
                "battle_won": won,
                "dead_allies": dead[0],
                "dead_enemies": dead[1],
                "replaced": False,
                "alive": not masks[i, NO_OP],
            }
        return observations, infos


def _observation_space(obs_size: int, n_actions: int) -> spaces.Space[Any]:
    return spaces.Dict(
        {
            "observation": spaces.Box(-1.0, 1.0, (obs_size,), np.float32),
            "action_mask": spaces.Box(0, 1, (n_actions,), np.int8),
        }
    )


def parallel_env(map: str | Path | MapSpec = "3m", seed: int = 0, **arguments: Any) -> SkirmishParallelEnv:
    """The environment by PettingZoo's customary name; arguments as for `SkirmishParallelEnv`."""
    return SkirmishParallelEnv(map, seed, **arguments)
