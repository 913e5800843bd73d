"""The rules of battle that a user may choose: the version of the unit data, and the rest that no data file tells."""

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Version = Literal["4.10", "4.6.2", "5.0"]
"""Versions of StarCraft II whose unit data are known. SMAC's results are of 4.10 unless their authors say otherwise."""


@dataclass(frozen=True)
class Rules:
    """Lengths in cells. Every field but `version` is a number, so that a kernel can read it."""

    version: Version = "4.10"
    """The version of StarCraft II whose unit data are used."""
    spawn_spacing: float = 1.0
    """Formation: units of one point stand on a square grid this many diameters apart, centred on the point."""
    spawn_jitter: float = 0.1
    """Each unit's start is moved by up to this much in x and y; 0: all battles begin alike."""
    cliff_margin: float = 0.0
    """Cells that the pathing grid is tighter than the cliff outline (1 is expected by one editor's reading)."""
    threat: float = 1.0
    """1: an enemy leaves a target that does not attack it for a foe that does; 0: it keeps a target in weapon range."""
    missiles: float = 1.0
    """1: shots of stalkers, marauders, hydralisks and spine crawlers fly at their data's speed; 0: they hit at once."""
    yielding: float = 0.35
    """Share of an overlap by which a unit that stands and shoots gives way to a friend that walks; 0.5: half each."""
    least_turn: float = 0.0
    """1: of several equal foes in weapon range an enemy attacks the one that takes the least turn; 0: the one that was
    created first."""
    carry_cooldown: float = 0.0
    """1: the part of a loop by which a cooldown ended early shortens the next; 0: cooldowns round up to whole loops."""
    backswing: float = 1.0
    """1: a unit that struck stands out its backswing before it walks or turns by itself (orders end it); 0: none."""

    def array(self) -> NDArray[np.float64]:
        """The numbers, at the places of `INDEX`."""
        return np.array([getattr(self, name) for name in INDEX], np.float64)


INDEX = {name: i for i, name in enumerate(entry.name for entry in fields(Rules) if entry.name != "version")}
"""Place of each number in `Rules.array`."""
