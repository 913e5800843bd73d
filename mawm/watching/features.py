"""Where an agent's observation holds the other units, for the engine's two contracts.

Nothing is known about the observations of other environments: they are plain numbers (`numbers.py`).
"""

from dataclasses import dataclass

import numpy as np

from mawm.envs.skirmish.smacv2.vector import DrawnVectorEnv
from mawm.filming.recording import Battle, EngineEnv
from mawm.types import Bools, Floats, VectorEnv

DISTANCE, EAST, NORTH, HEALTH = 1, 2, 3, 4
"""Places of an observed unit's features after its first one: distance, x and y divided by the sight, and health."""
LEAST_DISTANCE = 0.5
"""Cells. A decoder writes small numbers where a unit is out of sight; a unit with a decoded distance below this counts
as believed out of sight. Units are larger, so a real distance is seldom as small."""


@dataclass(frozen=True)
class Features:
    """One agent's observation: each other unit's index, the place of its first feature, and the place of own health.

    `sight` and `reach` are the distances, in cells, up to which the agent sees, and may attack or heal.
    """

    units: tuple[int, ...]
    places: tuple[int, ...]
    own: int
    sight: float
    reach: float

    def seen(self, obs: Floats) -> Bools:
        """Whether each other unit is in sight by real observations (..., O): (..., units). A unit in sight has health.

        Without sight of it all its features are zero.
        """
        return obs[..., np.array(self.places, np.int64) + HEALTH] > 0.0

    def believed(self, decoded: Floats) -> Bools:
        """Whether each other unit counts as in sight by decoded observations (..., O); see `LEAST_DISTANCE`."""
        return decoded[..., np.array(self.places, np.int64) + DISTANCE] * np.float32(self.sight) > LEAST_DISTANCE

    def offsets(self, obs: Floats) -> Floats:
        """East and north of the agent in cells (..., units, 2) by observations (..., O)."""
        first = np.array(self.places, np.int64)
        both: Floats = np.stack([obs[..., first + EAST], obs[..., first + NORTH]], -1) * np.float32(self.sight)
        return both


def features_of(env: VectorEnv, battle: Battle, agent: int) -> Features:
    """The features of one agent's observation in a battle; without units if the environment is not the engine."""
    if not isinstance(env, EngineEnv):
        return Features((), (), 0, 0.0, 0.0)
    c = env.contract
    enemy, ally = 5 + int(c.enemy_shields) + c.type_bits, 5 + int(c.ally_shields) + c.type_bits
    kind = env.spec.kinds.index(battle.kinds[agent]) if isinstance(env, DrawnVectorEnv) else agent
    sight, reach = float(c.sight[kind]), float(c.reach[kind])
    foes = tuple(c.n_agents + k for k in range(c.n_enemies))
    others = tuple(j for j in range(c.n_agents) if j != agent)
    after = 4 + c.n_enemies * enemy
    places = (*(4 + k * enemy for k in range(c.n_enemies)), *(after + k * ally for k in range(len(others))))
    return Features(foes + others, places, after + len(others) * ally, sight, reach)
