"""The engine as a game: a field on which units are created, ordered and read one by one."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish import kernel, layout
from mawm.envs.skirmish.behaviour import command
from mawm.envs.skirmish.maps import MapSpec, Point
from mawm.envs.skirmish.movement import ways_round
from mawm.envs.skirmish.rules import INDEX, Rules
from mawm.envs.skirmish.setup import formation, stat_table
from mawm.envs.skirmish.units import units

ALLY, ENEMY = 1, 2
"""Owners, numbered as in SMAC: the units that take orders, and those that the engine plays."""
Mode = Literal["respawn", "empty", "hunt"]
_EDGE = 0.5
"""Cells from the edge of the map to the nearest point at which a unit is created."""
_NO_ATTACK = np.full((2, 2), -1.0)


@dataclass(frozen=True)
class FieldUnit:
    """A living unit: `x`, `y` in cells from the south-west corner, `cooldown` in game loops until its next attack."""

    id: int
    kind: str
    owner: int
    x: float
    y: float
    health: float
    health_max: float
    shield: float
    shield_max: float
    energy: float
    energy_max: float
    cooldown: float


class _Teams(NamedTuple):
    """What the kernel reads of `Contract`."""

    n_agents: int
    grid: NDArray[np.bool_]


class _Arrival(NamedTuple):
    """A unit that the next call of `play` brings onto the field."""

    id: int
    kind: str
    owner: int
    at: Point


class Field:
    """One battle after another on the ground of a map, by the kernel, and so the rules, of the vector environment.

    `mode` says what happens while no unit lives. "respawn": the map's units come back, as the trigger of SMAC's maps
    makes them; battle k, with the same seed, is battle k of `SkirmishVectorEnv`. "empty": nothing. "hunt": nothing, and
    every 8 loops enemies without an order are sent to the nearest ally, as on SMACv2's map (`behaviour.hunt`).

    Units come at a call of `play`, and a call that brings units onto a field without living units plays no loop: so a
    battle always begins in its start positions. `late`: loops that must pass before units come back or created units
    come. The units of a map are there at the start.

    Each unit has an id that no other unit ever has.
    """

    def __init__(
        self, spec: MapSpec, seed: int, rules: Rules | None = None, *, mode: Mode = "respawn", late: int = 0
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"mode is {mode!r}; it must be one of {', '.join(get_args(Mode))}")
        if late < 0:
            raise ValueError(f"late is {late}; it is a number of game loops, at least 0")
        self.spec, self.mode, self.late = spec, mode, late
        self.rules = rules or Rules()
        self.loops = 0
        """The clock: all loops that `play` was asked for."""
        self._seed, self._battles, self._waited = np.uint64(seed), 0, 0
        self._grounds = np.stack([spec.walkable, spec.pathable])
        self._toward = ways_round(spec.walkable)
        self._numbers = self.rules.array()
        self._log = np.zeros((1, 5), np.float64)
        self._book = np.zeros(layout.BOOK, np.uint64)
        self._next_id, self._created = 1, 0
        self._arrivals: list[_Arrival] = []
        self._set_rows([], [], [], np.zeros((0, layout.STAT)))
        if mode == "respawn":
            self._map_starts, created = formation(spec, self.rules)
            self._map_stats = stat_table(spec, self.rules)
            self._map_stats[:, layout.S_CREATED] = created
            self._respawn()

    def create(self, kind: str, owner: int, x: float, y: float) -> int:
        """Create a unit at a point in cells; it comes at the next call of `play`. Returns its id.

        Units of one owner that come to one point at one time stand on a square grid around it, as those of a map do.
        Points at the edge are moved half a cell inwards. ValueError for an unknown kind or owner, or a point outside.
        """
        known = units(self.rules.version)
        if kind not in known:
            raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(known)}")
        if owner not in (ALLY, ENEMY):
            raise ValueError(f"owner is {owner}; it must be {ALLY} (takes orders) or {ENEMY} (played by the engine)")
        width, height = self.spec.walkable.shape
        if not (0.0 <= x <= width and 0.0 <= y <= height):  # also refuses NaN
            raise ValueError(f"({x}, {y}) lies outside the map; it must be 0 <= x <= {width} and 0 <= y <= {height}")
        at = (min(max(x, _EDGE), width - _EDGE), min(max(y, _EDGE), height - _EDGE))
        self._arrivals.append(_Arrival(self._new_ids(1)[0], kind, owner, at))
        return self._arrivals[-1].id

    def kill(self, ids: Iterable[int]) -> None:
        """Remove units at once; those that are dead already stay so. ValueError for an id that no unit ever had."""
        for unit in ids:
            row = self._row_of(unit)
            self._arrivals = [arrival for arrival in self._arrivals if arrival.id != unit]
            if row is not None:
                self._bodies[row, layout.HP] = 0.0

    def stop(self, unit: int) -> bool:
        """Order an ally to stop. Returns whether it obeys: a dead unit does not.

        ValueError, as for every order, for an id that no unit ever had, or that of an enemy.
        """
        row = self._row_of(unit)
        x, y = (0.0, 0.0) if row is None else self._bodies[row, [layout.X, layout.Y]].tolist()
        return self._order(unit, layout.STOP, -1.0, x, y)

    def move(self, unit: int, x: float, y: float) -> bool:
        """Order an ally to walk to a point in cells. Returns whether it obeys. ValueError for NaN or infinity."""
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(f"unit {unit} is to move to ({x}, {y}); a point has two finite numbers")
        return self._order(unit, layout.MOVE, -1.0, x, y)

    def attack(self, unit: int, target: int) -> bool:
        """Order an ally to attack an enemy, or, if it is a medivac, to heal another ally. Returns whether it obeys.

        It does not if it or the target is dead, or if the target belongs to the wrong owner.
        """
        row, aim = self._own_row_of(unit), self._row_of(target)
        if row is None or aim is None or aim == row:
            return False
        heals = self._stats[row, layout.S_HEAL] > 0.0
        if self._owner(aim) != (ALLY if heals else ENEMY):
            return False
        return self._order(unit, layout.ATTACK, float(aim), 0.0, 0.0)

    def play(self, loops: int) -> None:
        """Play game loops (16 are a game second), or bring units onto the field; see the class."""
        if loops < 0:
            raise ValueError(f"loops is {loops}; it must be at least 0")
        self.loops += loops
        lived = self._lives()
        if self._arrivals or (self.mode == "respawn" and not lived):
            if self._waited < self.late:
                self._waited += loops
            else:
                self._waited = 0
                self._join(lived) if self._arrivals else self._respawn()
                if not lived:
                    return
        if lived:
            kernel.play(
                self._stats, self._numbers, self._grounds, self._toward, self._bodies, self._book, self._scratch,
                self._log, self._teams.n_agents, loops, self.mode == "hunt",
            )  # fmt: skip

    def units(self) -> list[FieldUnit]:
        """All living units: allies in the order in which they came, then enemies."""
        return [self._read(row) for row in np.flatnonzero(self._bodies[:, layout.HP] > 0.0).tolist()]

    def find(self, unit: int) -> FieldUnit | None:
        """The living unit with this id; None if there is none."""
        row = self._living_row(unit)
        return None if row is None else self._read(row)

    def _read(self, row: int) -> FieldUnit:
        body, stat = self._bodies[row].tolist(), self._stats[row].tolist()
        return FieldUnit(
            self._ids[row], self._kinds[row], self._owner(row), body[layout.X], body[layout.Y],
            body[layout.HP], stat[layout.S_HP], body[layout.SHIELD], stat[layout.S_SHIELD],
            body[layout.ENERGY], stat[layout.S_ENERGY_MAX], max(0.0, body[layout.COOLDOWN]),
        )  # fmt: skip

    def _owner(self, row: int) -> int:
        return ALLY if row < self._teams.n_agents else ENEMY

    def _lives(self) -> bool:
        return bool((self._bodies[:, layout.HP] > 0.0).any())

    def _row_of(self, unit: int) -> int | None:
        """Row of a living unit; None if it is dead or has not come yet."""
        if not 1 <= unit < self._next_id:
            raise ValueError(f"unit {unit} does not exist: use an id that create() returned or units() lists")
        return self._living_row(unit)

    def _living_row(self, unit: int) -> int | None:
        row = self._rows.get(unit)
        return None if row is None or self._bodies[row, layout.HP] <= 0.0 else row

    def _own_row_of(self, unit: int) -> int | None:
        """As `_row_of`, for a unit that is to get an order. ValueError for an enemy."""
        row = self._row_of(unit)
        if row is not None and self._owner(row) == ENEMY:
            raise ValueError(f"unit {unit} is an enemy, which the engine plays; only allies take orders")
        return row

    def _order(self, unit: int, order: float, target: float, x: float, y: float) -> bool:
        row = self._own_row_of(unit)
        if row is None:
            return False
        command(self._bodies[row], order, target, x, y)
        return True

    def _new_ids(self, count: int) -> list[int]:
        self._next_id += count
        return list(range(self._next_id - count, self._next_id))

    def _set_rows(self, allies: list[str], enemies: list[str], ids: list[int], stats: NDArray[np.float64]) -> None:
        self._teams = _Teams(len(allies), self.spec.walkable)
        self._kinds, self._ids, self._rows = [*allies, *enemies], ids, {unit: row for row, unit in enumerate(ids)}
        self._bodies, self._stats = np.zeros((len(ids), layout.BODY)), stats
        self._scratch = np.zeros((3, len(ids), 4))

    def _begin(self, numbers: NDArray[np.float64], starts: NDArray[np.float64], attack: NDArray[np.float64]) -> None:
        """Put all units at their starts: the begin of the next battle."""
        kernel.spawn(
            self._teams, self._stats, numbers, self._grounds, starts, attack, self._seed, np.uint64(self._battles),
            self._bodies, self._book,
        )  # fmt: skip

    def _respawn(self) -> None:
        allies, enemies = list(self.spec.allies), list(self.spec.enemies)
        self._set_rows(allies, enemies, self._new_ids(len(allies) + len(enemies)), self._map_stats)
        self._begin(self._numbers, self._map_starts, np.array(self.spec.attack or _NO_ATTACK, np.float64))
        self._battles += 1

    def _join(self, lived: bool) -> None:
        """Bring the created units onto the field. If units `lived`, these keep their places and orders."""
        old, agents = len(self._ids) if lived else 0, self._teams.n_agents if lived else 0
        new = [[unit for unit in self._arrivals if unit.owner == owner] for owner in (ALLY, ENEMY)]
        self._arrivals = []
        kept, kept_stats, book = self._bodies[:old].copy(), self._stats[:old], self._book.copy()
        ids, kinds = self._ids[:old], self._kinds[:old]
        allies = [*kinds[:agents], *(unit.kind for unit in new[0])]
        enemies = [*kinds[agents:], *(unit.kind for unit in new[1])]
        ids = [*ids[:agents], *(unit.id for unit in new[0]), *ids[agents:], *(unit.id for unit in new[1])]
        stats = stat_table(replace(self.spec, allies=tuple(allies), enemies=tuple(enemies)), self.rules)
        self._set_rows(allies, enemies, ids, stats)
        starts = np.zeros((len(ids), 2))
        for arrivals in new:
            self._place(arrivals, starts)
        still = self._numbers.copy()
        still[INDEX["spawn_jitter"]] = 0.0  # who creates units chooses their points
        self._begin(still, starts, _NO_ATTACK)
        if not lived:
            self._battles += 1
            return
        self._book[:] = book
        for column in (layout.TARGET, layout.FLIGHT_TO):
            kept[kept[:, column] >= agents, column] += len(new[0])
        rows = [*range(agents), *range(len(allies), len(allies) + old - agents)]
        self._bodies[rows] = kept
        self._stats[rows, layout.S_CREATED] = kept_stats[:, layout.S_CREATED]

    def _place(self, arrivals: list[_Arrival], starts: NDArray[np.float64]) -> None:
        """Write start positions and creation numbers of one owner's new units."""
        for at in dict.fromkeys(unit.at for unit in arrivals):
            group = [unit for unit in arrivals if unit.at == at]
            kinds, points = tuple(unit.kind for unit in group), (at,) * len(group)
            alone = replace(self.spec, allies=(), ally_spawns=(), enemies=(), enemy_spawns=())
            if group[0].owner == ALLY:
                alone = replace(alone, allies=kinds, ally_spawns=points)
            else:
                alone = replace(alone, enemies=kinds, enemy_spawns=points)
            places, numbers = formation(alone, self.rules)
            rows = [self._rows[unit.id] for unit in group]
            starts[rows] = places
            self._stats[rows, layout.S_CREATED] = self._created + numbers
            self._created += len(group)
