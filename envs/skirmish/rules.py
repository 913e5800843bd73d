"""What cannot be known without StarCraft II, as named parameters with the defaults that we assume."""

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rules:
    """Lengths in cells, times in game seconds (16 loops). Every field is a number, so that a kernel can read it."""

    spawn_spacing: float = 1.0
    """Formation: units of one point stand on a square grid this many diameters apart, centred on the point."""
    spawn_jitter: float = 0.0
    """Each unit's start is moved by up to this much in x and y."""
    cliff_margin: float = 0.0
    """Cells that the pathing grid is tighter than the cliff outline (1 is expected by one editor's reading)."""
    min_scan_range: float = 5.0
    """Enemies acquire within the larger of this and their weapon's range, edge to edge."""
    scan_uses_weapon_range: float = 1.0
    """0: range-6 units acquire at `min_scan_range` too."""
    switch_targets: float = 1.0
    """1: an enemy whose target is out of range turns to the nearest one within its scan range."""
    leash: float = 21.0
    """Enemies give up a chase this far from where it began."""
    resume_after_chase: float = 1.0
    """1: an enemy that lost its target goes on to the attack point; 0: it stays."""
    arrive_radius: float = 1.0
    """An attack-move ends this close to its point."""
    help_radius: float = 4.0
    """An attacked unit calls idle friends this near."""
    help_period: float = 2.0
    """Seconds between two calls for help of one unit."""
    delay_low: float = -0.0625
    """Random delay added to each weapon period, from here ..."""
    delay_high: float = 0.125
    """... to here."""
    carry_cooldown: float = 0.0
    """1: the part of a loop by which a cooldown ended early shortens the next; 0: cooldowns round up to whole loops."""
    backswing: float = 1.0
    """1: a unit that struck stands out its backswing before it walks or turns by itself (orders end it); 0: none."""
    sweep_half_length: float = 1.25
    """Colossus: half the length of the line that its beams sweep, across the line of fire."""
    sweep_radius: float = 0.15
    """Colossus: how far from that line a unit's edge may lie and still be hit."""
    burst_on_death: float = 1.0
    """1: a baneling that is killed bursts too."""
    splash_to_edge: float = 0.0
    """1: a burst reaches a unit's edge; 0: its centre must lie inside."""
    heal_lowest: float = 0.0
    """Enemy medivacs heal the nearest hurt friend (0) or the one with the least health (1)."""
    shield_delay: float = 10.0
    """Seconds without damage before shields regenerate."""
    shield_regen: float = 2.0
    """Shield points per second then."""
    min_damage: float = 0.5
    """Least damage of a hit on health, whatever the armour."""

    def array(self) -> NDArray[np.float64]:
        """The fields as numbers, in order of definition."""
        return np.array(astuple(self), np.float64)


INDEX = {entry.name: i for i, entry in enumerate(fields(Rules))}
"""Place of each rule in `Rules.array`."""
