"""The embedded engine as a PettingZoo `ParallelEnv`, for other libraries' learners."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish.maps import MapSpec
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.envs.team_parallel_env import TeamParallelEnv
from mawm.types import Ints

NO_OP, STOP_ACTION = 0, 1


class SkirmishParallelEnv(TeamParallelEnv):
    """One battle at a time; agents are called marine_0, marine_1, ... in SMAC's order.

    All agents stay until the battle ends, because they receive the team's reward: a dead agent observes zeros and has
    only action 0, which may be omitted. A battle that reaches its time limit is truncated, not terminated. infos[agent]
    also has `dead_allies`, `dead_enemies` and `alive`.

    A forbidden action is replaced by stop (no-op if dead), because PettingZoo's own tests sample without masks; with
    `strict` it is a ValueError, as in SMAC.
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
        self._map, self._rules, self._engine_options = map, rules, engine
        # Some cooldowns in the state exceed 1, because SMAC divides them by less than the longest one.
        super().__init__(seed, 1.0, -1.0, 2.0)

    def _make(self, seed: int) -> SkirmishVectorEnv:
        self._skirmish = SkirmishVectorEnv(self._map, 1, seed, self._rules, **self._engine_options)
        return self._skirmish

    def _names(self) -> list[str]:
        kinds = self._skirmish.spec.allies
        return [f"{kind}_{kinds[:i].count(kind)}" for i, kind in enumerate(kinds)]

    def _joint(self, actions: Mapping[str, int]) -> tuple[Ints, list[str]]:
        """Actions (1, N) in agent order, and the agents whose actions were replaced. Dead agents may be omitted."""
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

    def _info(self, avail: NDArray[np.bool_], *, first: bool) -> dict[str, Any]:
        allies, enemies = (0, 0) if first else self._skirmish.deaths[0].tolist()
        return {"dead_allies": allies, "dead_enemies": enemies, "alive": not avail[NO_OP]}


def parallel_env(map: str | Path | MapSpec = "3m", seed: int = 0, **arguments: Any) -> SkirmishParallelEnv:
    """The environment by PettingZoo's usual name; arguments as for `SkirmishParallelEnv`."""
    return SkirmishParallelEnv(map, seed, **arguments)
