"""The field of the embedded engine at any time of a battle: what the page and the films draw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish import layout as col
from mawm.filming.recording import Battle

MARGIN = 2.5
"""Cells around the places of all units that are shown."""


def aims_of(bodies: NDArray[np.float64], agents: int) -> NDArray[np.float64]:
    """The unit at which each unit aims (..., U) by the engine's rows (..., U, BODY); -1: none."""
    aims: NDArray[np.float64] = np.where(bodies[..., col.ORDER] == col.ATTACK, bodies[..., col.TARGET], -1.0)
    # An enemy on its way to a point has a target, too.
    aims[..., agents:] = bodies[..., agents:, col.TARGET]
    aims[bodies[..., col.HP] <= 0.0] = -1.0
    return aims


@dataclass(frozen=True, eq=False)
class Scene:
    """A recorded battle of the engine as arrays: T+1 frames, U units of which the first `agents` are agents.

    place (T+1, U, 2) in cells, health, shield (T+1, U), aim (T+1, U).
    """

    battle: Battle
    agents: int
    place: NDArray[np.float64]
    health: NDArray[np.float64]
    shield: NDArray[np.float64]
    aim: NDArray[np.int64]

    @classmethod
    def of(cls, battle: Battle) -> "Scene":
        """The scene of a battle."""
        bodies, agents = np.stack(battle.bodies), len(battle.actions[0])
        place = bodies[..., [col.X, col.Y]]
        health = np.maximum(bodies[..., col.HP], 0.0)
        return cls(battle, agents, place, health, bodies[..., col.SHIELD], aims_of(bodies, agents).astype(np.int64))

    def extent(self) -> tuple[float, float, float, float]:
        """West, east, south and north end of the part of the map in which the battle happens, in cells."""
        low, high = self.place.min((0, 1)) - MARGIN, self.place.max((0, 1)) + MARGIN
        return float(low[0]), float(high[0]), float(low[1]), float(high[1])

    def places_at(self, time: float) -> NDArray[np.float64]:
        """The places (U, 2) at a time between two frames, on straight lines; a unit that dies stays where it was."""
        frame = min(int(time), self.battle.steps)
        later = min(frame + 1, self.battle.steps)
        part = np.where(self.health[later] > 0.0, time - frame, 0.0)[:, None]
        between: NDArray[np.float64] = self.place[frame] * (1.0 - part) + self.place[later] * part
        return between
