"""The rules of battle that a user may set: the version of the unit data, and rules that are not in the game's data."""

from dataclasses import dataclass, fields
from typing import Annotated, Literal

import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray

from mawm.types import Common, Share

Version = Literal["4.10", "4.6.2", "5.0"]
"""Versions of StarCraft II whose unit data are known. SMAC's results use 4.10 unless their authors say otherwise."""
Switch = Annotated[float, Interval(ge=0.0, le=1.0)]


@dataclass(frozen=True)
class Rules:
    """Rules of battle: lengths are in cells. Every field except `version` is a float, so that a kernel can read it."""

    version: Annotated[Version, Common] = "4.10"
    """The version of StarCraft II whose unit data are used."""
    spawn_spacing: Annotated[float, Interval(ge=0.01, le=10.0)] = 1.0
    """Distance of neighbours in unit diameters, for units created at one point, which stand on a square grid."""
    spawn_jitter: Annotated[float, Interval(ge=0.0, le=128.0), Common] = 0.1
    """Largest random shift of start positions in x and y, in cells. 0: always the same positions."""
    cliff_margin: Annotated[float, Interval(ge=0.0, le=8.0)] = 0.0
    """Width in cells of the ground along cliffs that is not walkable (the map editor suggests 0 or 1)."""
    threat: Switch = 1.0
    """1: an enemy leaves a target that does not attack it for an agent that does; 0: it keeps one in weapon range."""
    missiles: Switch = 1.0
    """1: shots of stalkers, marauders, hydralisks and spine crawlers are missiles with a speed; 0: they hit at once."""
    yielding: Share = 0.35
    """Share of an overlap by which a walking unit moves a standing, attacking ally of it; 0.5: both move equally."""
    least_turn: Switch = 0.0
    """1: among equal agents in weapon range an enemy prefers the one to which it turns least; 0: the first created."""
    carry_cooldown: Switch = 0.0
    """1: the part of a loop by which a cooldown ended early shortens the next; 0: cooldowns round up to whole loops."""
    backswing: Switch = 1.0
    """1: after a hit a unit ends its backswing before it walks or changes its target without order; 0: no backswing."""

    def array(self) -> NDArray[np.float64]:
        """All fields except `version` (F,), in the order of `INDEX`."""
        return np.array([getattr(self, name) for name in INDEX], np.float64)


INDEX = {name: i for i, name in enumerate(entry.name for entry in fields(Rules) if entry.name != "version")}
"""Index of each field in `Rules.array`."""
