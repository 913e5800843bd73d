"""Builds the arrays that the kernel reads from a map, the unit data and the rules."""

import math

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish import layout as col
from mawm.envs.skirmish.maps import MapSpec
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.units import ATTRIBUTES, Unit, kinds_of, units

LOOPS_PER_SECOND = 16.0
SCAN_MARGIN = 0.5
"""Cells added to the scan range of the data, for all units that can walk: fitted to real battles.

For ranged kinds the sum equals weapon range + range slop, the distance at which a running attack is not cancelled.
"""
CREATED = (
    *("colossus", "stalker", "zealot", "marine", "marauder", "medivac"),
    *("hydralisk", "zergling", "baneling", "spine_crawler"),
)
"""The order in which SMAC's map scripts create the kinds of one spawn point; the first kinds are nearest to it."""

# The two hits of a colossus are two sweeps at the same time, so it has no second-hit delay.
COPIED = {
    "hp": col.S_HP, "shield": col.S_SHIELD, "armor": col.S_ARMOR, "dmg": col.S_DMG, "hits": col.S_HITS,
    "second_hit_delay": col.S_SECOND, "period": col.S_PERIOD, "range": col.S_RANGE, "range_slop": col.S_SLOP,
    "damage_point": col.S_POINT, "backswing": col.S_BACKSWING, "speed": col.S_SPEED, "accel": col.S_ACCEL,
    "radius": col.S_RADIUS, "sep_radius": col.S_SEP, "flies": col.S_AIR, "hp_regen": col.S_REGEN,
    "suicide": col.S_SUICIDE, "splash_radius": col.S_BURST, "structure_dmg": col.S_STRUCTURE_DMG,
    "heal_per_s": col.S_HEAL, "energy_per_hp": col.S_HEAL_COST, "heal_range": col.S_HEAL_RANGE,
    "autocast_range": col.S_HEAL_SCAN, "energy_start": col.S_ENERGY, "energy_max": col.S_ENERGY_MAX,
    "energy_regen": col.S_ENERGY_REGEN, "melee_range": col.S_MELEE, "melee_damage_point": col.S_MELEE_POINT,
    "melee_period": col.S_MELEE_PERIOD, "always_threatens": col.S_ALWAYS,
}  # fmt: skip
"""Fields of `Unit` that are copied into a column as they are."""


def stat_table(spec: MapSpec, rules: Rules) -> NDArray[np.float64]:
    """Unit data (U, STAT) of each unit's kind, allies first; `layout` names the columns (S_...)."""
    kinds = kinds_of(spec.allies, spec.enemies, rules.version)
    table = np.array([kind_stats(kind, rules) for kind in kinds])
    agents = len(spec.allies)
    table[agents:, col.S_ALWAYS] = table[:agents, col.S_ALWAYS].max(initial=0.0)
    return table


def kind_stats(kind: Unit, rules: Rules) -> NDArray[np.float64]:
    """The row (STAT,) of `stats` of a kind; S_ALWAYS is that of an ally, S_CREATED is 0."""
    row = np.zeros(col.STAT, np.float64)
    for name, column in COPIED.items():
        row[column] = getattr(kind, name)
    row[col.S_SCAN] = max(kind.scan_range, kind.range) + (SCAN_MARGIN if kind.speed > 0.0 else 0.0)
    row[col.S_MISSILE] = kind.missile_speed / LOOPS_PER_SECOND if rules.missiles > 0.0 else 0.0
    row[col.S_HITS_AIR] = "air" in kind.targets
    row[col.S_STRUCTURE], row[col.S_BIO] = "structure" in kind.attrs, "biological" in kind.attrs
    row[col.S_SWEEP] = row[col.S_CLIFFS] = kind.name == "colossus"
    for k, attribute in enumerate(ATTRIBUTES):
        row[col.S_BONUS + k] = kind.bonus.get(attribute, 0.0)
        row[col.S_ATTR + k] = float(attribute in kind.attrs)
    return row


def formation(spec: MapSpec, rules: Rules) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Start positions (U, 2) in cells, and each unit's creation number (U,) among the units of its spawn point.

    Units of one team and spawn point stand on a square grid around it; the enemies' grid mirrors the allies'. Allies of
    one kind are numbered by x, then y, as in SMAC. `spawn_jitter` is added later, in every battle; it replaces unknown
    sources of randomness of the real game. Agent i has the same grid position in every battle, as in the real game.
    """
    starts: list[tuple[float, float]] = []
    created: list[int] = []
    known = units(rules.version)
    for kinds, points, side in ((spec.allies, spec.ally_spawns, 1.0), (spec.enemies, spec.enemy_spawns, -1.0)):
        team, places = list(points), [0] * len(points)
        for point in dict.fromkeys(points):
            group = [u for u, at in enumerate(points) if at == point]
            group.sort(key=lambda u: CREATED.index(kinds[u]))
            members = [known[kinds[u]] for u in group]
            spacing = 2.0 * max(kind.sep_radius for kind in members) * rules.spawn_spacing
            flies = all(kind.flies for kind in members)
            grid = _places(point, len(group), spacing, side, spec.walkable, flies)
            for number, (u, place) in enumerate(zip(group, grid, strict=True)):
                team[u], places[u] = place, number
        starts += team
        created += places
    for kind in dict.fromkeys(spec.allies):
        numbers = [u for u, other in enumerate(spec.allies) if other == kind]
        ordered = sorted((starts[u], created[u]) for u in numbers)
        for u, (start, rank) in zip(numbers, ordered, strict=True):
            starts[u], created[u] = start, rank
    return np.array(starts, np.float64), np.array(created, np.float64)


def grid_offsets(count: int) -> list[tuple[int, int]]:
    """The places of a square grid around its centre (0, 0), nearest first: more than enough for `count` units."""
    reach = 2 * math.ceil(math.sqrt(count)) + 8
    offsets = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)]
    # Of equal distances the north and south positions come first, so that small teams stand in a column.
    return sorted(offsets, key=lambda o: (o[0] ** 2 + o[1] ** 2, abs(o[0]), o[0], o[1]))


def _places(
    point: tuple[float, float], count: int, spacing: float, side: float, grid: NDArray[np.bool_], flies: bool
) -> list[tuple[float, float]]:
    places = []
    for i, j in grid_offsets(count):
        x, y = point[0] + side * i * spacing, point[1] + j * spacing
        inside = 0.0 <= x < grid.shape[0] and 0.0 <= y < grid.shape[1]
        if inside and (flies or grid[int(x), int(y)]):
            places.append((x, y))
        if len(places) == count:
            return places
    raise ValueError(
        f"there is no room for {count} units around {list(point)}, {spacing:g} cells apart; choose a point with more "
        "walkable cells, or a smaller rules.spawn_spacing or rules.cliff_margin"
    )
