"""SMACv2's maps: their names, sizes and kinds of units."""

from dataclasses import dataclass

LIMIT = 200
"""Steps of a battle on every map."""
SIZE = 32
"""Width and height of every map in cells; the ground is open and flat."""
KINDS = {
    "protoss": ("stalker", "zealot", "colossus"),
    "terran": ("marine", "marauder", "medivac"),
    "zerg": ("zergling", "hydralisk", "baneling"),
}
"""The kinds of each race, in the order of the type bits; the last one is the rare one."""
SHARES = (0.45, 0.45, 0.1)
"""The chance of each kind of a race, in the same order."""
MAY_FILL_A_TEAM = frozenset({"colossus"})
"""Rare kinds of which a whole team may consist. A team of medivacs or banelings alone is drawn again."""
SIZES = ((5, 5), (10, 10), (10, 11), (20, 20), (20, 23))
"""Published numbers of allies and enemies."""


@dataclass(frozen=True)
class DrawnMap:
    """One of SMACv2's maps."""

    name: str
    race: str
    n_agents: int
    n_enemies: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the race, in the order of the type bits."""
        return KINDS[self.race]


def _maps() -> dict[str, DrawnMap]:
    """All maps by name: the published sizes, and SMACv2's own map names, which have 5 units a side."""
    sized = [DrawnMap(f"10gen_{race}_{n}_vs_{m}", race, n, m) for race in KINDS for n, m in SIZES]
    return {spec.name: spec for spec in (*sized, *(DrawnMap(f"10gen_{race}", race, 5, 5) for race in KINDS))}


DRAWN_MAPS = _maps()
"""SMACv2's maps by name: `10gen_terran_5_vs_5` and so on; `10gen_terran` is the same as `10gen_terran_5_vs_5`."""
