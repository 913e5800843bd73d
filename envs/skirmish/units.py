"""Unit data of StarCraft II's multiplayer layers, which SMAC's battles use, for every version in `Rules`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from mawm.envs.skirmish.rules import Version

ATTRIBUTES = ("light", "armored", "biological", "mechanical", "massive", "structure")
PROTOSS = frozenset({"stalker", "zealot", "colossus"})
"""SMAC's observations include shields for Protoss teams only."""


@dataclass(frozen=True)
class Unit:
    """One kind of unit. Lengths in cells, times in game seconds (16 loops), speeds in cells per game second."""

    name: str
    hp: float
    shield: float = 0.0
    armor: float = 0.0
    dmg: float = 0.0
    bonus: dict[str, float] = field(default_factory=dict)
    hits: int = 1
    second_hit_delay: float = 0.0
    period: float = 1.0
    range: float = 0.0
    range_slop: float = 1.0
    scan_range: float = 5.0
    """Distance, edge to edge, within which it selects targets without an order."""
    damage_point: float = 0.0
    backswing: float = 0.5
    speed: float = 0.0
    accel: float = 1000.0
    radius: float = 0.375
    sep_radius: float = 0.375
    attrs: tuple[str, ...] = ()
    targets: str = ""
    plane: str = "ground"
    missile_speed: float = 0.0
    """Speed of its missiles; 0: its shots hit at once."""
    always_threatens: bool = False
    """Whether it is a threat to every enemy, although it does not attack (`behaviour.threatens`)."""
    hp_regen: float = 0.0
    suicide: bool = False
    splash_radius: float = 0.0
    structure_dmg: float = 0.0
    melee_range: float = 0.0
    melee_damage_point: float = 0.0
    melee_period: float = 0.0
    energy_start: float = 0.0
    energy_max: float = 0.0
    energy_regen: float = 0.0
    heal_per_s: float = 0.0
    energy_per_hp: float = 0.0
    heal_range: float = 0.0
    autocast_range: float = 0.0

    @property
    def heals(self) -> bool:
        """Whether it heals instead of attacking."""
        return self.heal_per_s > 0

    @property
    def flies(self) -> bool:
        """Whether it is an air unit, which moves over all terrain and all ground units."""
        return self.plane == "air"


@cache
def units(version: Version = "4.10", *, allied: bool = False) -> dict[str, Unit]:
    """All kinds of unit by name. The allied ones are SMAC's own copies, which differ in a few fields."""
    table = json.loads((resources.files("mawm.envs.skirmish") / "units.json").read_text())
    if version not in table["versions"]:
        known_versions = ", ".join(table["versions"])
        raise ValueError(f"rules.version is {version!r}; known are the unit data of {known_versions}")
    known = set(Unit.__dataclass_fields__)
    out = {}
    for name, values in table["units"].items():
        values = values | table["versions"][version].get(name, {}) | (table["allied"].get(name, {}) if allied else {})
        kept = {key: value for key, value in values.items() if key in known}
        out[name] = Unit(**kept | {"name": name, "attrs": tuple(values["attrs"])})
    return out


def kinds_of(allies: Sequence[str], enemies: Sequence[str], version: Version) -> list[Unit]:
    """The units of a battle, allies first."""
    own, foes = units(version, allied=True), units(version)
    return [own[kind] for kind in allies] + [foes[kind] for kind in enemies]
