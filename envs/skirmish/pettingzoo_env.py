"""The embedded engine as a PettingZoo `ParallelEnv`, for other libraries' learners."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish.battles import make_battles
from mawm.envs.skirmish.maps import MapSpec
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.smacv2.maps import DrawnMap
from mawm.envs.skirmish.smacv2.vector import DrawnVectorEnv
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.envs.team_parallel_env import TeamParallelEnv


class SkirmishParallelEnv(TeamParallelEnv):
    """One battle at a time; agents are called marine_0, marine_1, ... in SMAC's order.

    On SMACv2's maps (`10gen_terran_5_vs_5` ...) they are called agent_0, agent_1, ..., because each battle draws kinds.

    All agents stay until the battle ends, because they receive the team's reward: a dead agent observes zeros and has
    only action 0, which may be omitted. A battle that reaches its time limit is truncated, not terminated. infos[agent]
    also has `dead_allies`, `dead_enemies` and `alive`.

    A forbidden action is replaced by stop (no-op if dead); with `strict` it is a ValueError, as in SMAC.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "skirmish_v0", "render_modes": [], "is_parallelizable": True}
    fallback: ClassVar[int] = 1

    def __init__(
        self,
        map: str | Path | MapSpec | DrawnMap = "3m",
        seed: int = 0,
        rules: Rules | None = None,
        *,
        strict: bool = False,
        **engine: Any,
    ) -> None:
        """`engine` takes further arguments of the vector environment, e.g. `sparse=True`."""
        self.strict = strict
        self._map, self._rules, self._engine_options = map, rules, engine
        # Some cooldowns in the state exceed 1, because SMAC divides them by less than the longest one.
        super().__init__(seed, 1.0, -1.0, 2.0)

    def _make(self, seed: int) -> SkirmishVectorEnv | DrawnVectorEnv:
        self._skirmish = make_battles(self._map, 1, seed, self._rules, **self._engine_options)
        return self._skirmish

    def _names(self) -> list[str]:
        spec = self._skirmish.spec
        kinds = ["agent"] * spec.n_agents if isinstance(spec, DrawnMap) else spec.allies
        return [f"{kind}_{kinds[:i].count(kind)}" for i, kind in enumerate(kinds)]

    def _info(self, avail: NDArray[np.bool_], *, first: bool) -> dict[str, Any]:
        allies, enemies = (0, 0) if first else self._skirmish.deaths[0].tolist()
        return {"dead_allies": allies, "dead_enemies": enemies, "alive": not avail[0]}


parallel_env = SkirmishParallelEnv
"""The environment by PettingZoo's usual name."""
