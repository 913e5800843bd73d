"""Maps as data files: units, start positions, terrain and time limit."""

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish.smacv2.maps import DRAWN_MAPS
from mawm.envs.skirmish.units import units

SIZE = 32
"""Width and height of every map in cells."""

_KEYS = ("limit", "terrain", "cliffs", "attack_point", "attack_between", "allies", "enemies", "enemy_types", "assumed")
_GROUP_KEYS = ("kind", "count", "at")

Point = tuple[float, float]


@dataclass(frozen=True, eq=False)
class MapSpec:
    """One scenario. Units are in id order: agents sorted by kind as in SMAC, enemies in the order of the game.

    `ally_spawns` and `enemy_spawns`: the point at which each unit is created; all units of a group have one point, and
    the engine's spawn formation separates them. `attack`: the ends of the line from which the target of the enemies'
    attack-move is drawn; None: they have no order. `pathable` (32, 32) bool, indexed [x, y]: the cells that the action
    mask allows; `walkable`: these cells without cliffs, which most ground units cannot cross. `ally_types` and
    `enemy_types`: the kind of each bit of the type one-hot (empty: no bits). `assumed`: notes on uncertain data.
    """

    name: str
    limit: int
    allies: tuple[str, ...]
    enemies: tuple[str, ...]
    ally_spawns: tuple[Point, ...]
    enemy_spawns: tuple[Point, ...]
    attack: tuple[Point, Point] | None
    pathable: NDArray[np.bool_]
    walkable: NDArray[np.bool_]
    ally_types: tuple[str, ...]
    enemy_types: tuple[str, ...]
    assumed: tuple[str, ...] = ()


def map_names() -> list[str]:
    """The map files of the package: SMAC's 23."""
    files = (resources.files("mawm.envs.skirmish") / "maps").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml") and f.name != "terrain.toml")


def load_map(name_or_path: str | Path, cliff_margin: int = 0) -> MapSpec:
    """Read a map of the package by name, or a map from a path that ends in `.toml`. ValueError for a mistake.

    `cliff_margin` removes that many cells of ground along cliffs, but not at the map's edges: the exact pathing grid
    near cliffs is unknown without StarCraft II.
    """
    if cliff_margin < 0:
        raise ValueError(f"cliff_margin is {cliff_margin}; it must be at least 0 cells: use 0 or 1")
    text = str(name_or_path)
    if text.endswith(".toml"):
        path = Path(text)
        if not path.is_file():
            raise ValueError(f"map file '{path}' does not exist: give the path of a .toml file or one of {map_names()}")
        try:
            content = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"map file '{path}' cannot be read ({error})") from None
        return parse_map(content, path.stem, text, cliff_margin)
    if text in DRAWN_MAPS:
        raise ValueError(f"map '{text}' draws its teams and has no map file: play it by make_battles('{text}')")
    if text not in map_names():
        near = _nearest(text, [*map_names(), *DRAWN_MAPS])
        raise ValueError(f"map '{text}' is unknown{near}; a map of your own is a path ending in .toml")
    source = resources.files("mawm.envs.skirmish") / "maps" / f"{text}.toml"
    return parse_map(source.read_text(encoding="utf-8"), text, f"{text}.toml", cliff_margin)


def parse_map(text: str, name: str, file: str, cliff_margin: int = 0) -> MapSpec:
    """Read a map from TOML text; error messages use the name `file`."""

    def fail(key: str, value: Any, rule: str) -> NoReturn:
        raise ValueError(f"{file}: {key} is {value!r}, but {rule}")

    table = _table(text, file, fail)
    pathable = _terrain(table.get("terrain", "open"), "terrain", fail)
    cliffs = _terrain(table["cliffs"], "cliffs", fail) if "cliffs" in table else np.zeros_like(pathable)
    for _ in range(cliff_margin):
        pathable = _eroded(pathable)
    allies, ally_spawns = _side(table["allies"], "allies", pathable, fail)
    enemies, enemy_spawns = _side(table["enemies"], "enemies", pathable, fail)
    if sum(b != a for a, b in pairwise(allies)) != len(set(allies)) - 1:
        fail("allies", list(allies), "agents are numbered kind by kind: put the groups of one kind next to each other")
    ally_types, enemy_types = type_orders(allies, enemies)
    given = table.get("enemy_types", list(enemy_types))
    if not isinstance(given, list) or sorted(map(str, given)) != sorted(enemy_types):
        fail("enemy_types", given, f"it orders the type bits of the enemies: a permutation of {list(enemy_types)}")
    return MapSpec(
        name=name,
        limit=table["limit"],
        allies=allies,
        enemies=enemies,
        ally_spawns=ally_spawns,
        enemy_spawns=enemy_spawns,
        attack=_attack(table, fail),
        pathable=pathable,
        walkable=pathable & ~cliffs,
        ally_types=ally_types,
        enemy_types=tuple(given),
        assumed=_assumed(table.get("assumed", []), fail),
    )


def type_orders(allies: tuple[str, ...], enemies: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The kind of each bit of the type one-hot, for allies and for enemies; both empty if each team has one kind.

    Allied bits are in the order of the agents. Enemy bits are the same, except on maps of stalkers and zealots: there
    SMAC uses the game's type numbers, in which the zealot comes first.
    """
    ally_kinds, enemy_kinds = list(dict.fromkeys(allies)), list(dict.fromkeys(enemies))
    if len(ally_kinds) == 1 and len(enemy_kinds) == 1:
        return (), ()
    kinds = (*ally_kinds, *sorted(set(enemy_kinds) - set(ally_kinds)))
    if set(kinds) == {"stalker", "zealot"}:
        return kinds, ("zealot", "stalker")
    return kinds, kinds


_Fail = Callable[[str, Any, str], NoReturn]


def _table(text: str, file: str, fail: _Fail) -> dict[str, Any]:
    """The file's keys and values, after checks of the keys and of the limit."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # invalid TOML, an integer of thousands of digits, or deep nesting
        raise ValueError(f"{file} is not valid TOML: {error}") from None
    for key in table:
        if key not in _KEYS:
            raise ValueError(f"{file}: key '{key}' is unknown{_nearest(key, _KEYS)}")
    for key in ("limit", "allies", "enemies"):
        if key not in table:
            raise ValueError(f"{file}: key '{key}' is missing; a map needs limit, allies and enemies")
    limit = table["limit"]
    if type(limit) is not int or limit < 1:
        fail("limit", limit, "the time limit is a whole number of steps, at least 1: write e.g. limit = 120")
    return table


def _nearest(word: str, valid: Any) -> str:
    close = difflib.get_close_matches(word.lower(), [*valid], n=1, cutoff=0.4)
    return f"; did you mean '{close[0]}'?" if close else f"; valid are {', '.join(valid)}"


def _assumed(value: Any, fail: _Fail) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(note, str) for note in value):
        fail("assumed", value, "it must be a list of strings that name uncertain data")
    return tuple(value)


def _point(value: Any, key: str, fail: _Fail) -> Point:
    """A pair of finite numbers inside the map."""
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(type(v) in (int, float) and 0 <= v < SIZE for v in value)  # also refuses NaN
    ):
        fail(key, value, f"a point is [x, y] in cells from the south-west corner, 0 <= x, y < {SIZE}")
    return float(value[0]), float(value[1])


def _attack(table: Mapping[str, Any], fail: _Fail) -> tuple[Point, Point] | None:
    if "attack_between" not in table:
        return (_point(table["attack_point"], "attack_point", fail),) * 2 if "attack_point" in table else None
    ends = table["attack_between"]
    if "attack_point" in table:
        fail("attack_between", ends, "attack_point is also given: keep one of them")
    if not isinstance(ends, list) or len(ends) != 2:
        fail("attack_between", ends, "it must be two points [[x, y], [x, y]]; the target is drawn between them")
    return _point(ends[0], "attack_between", fail), _point(ends[1], "attack_between", fail)


def _side(
    groups: Any, side: str, pathable: NDArray[np.bool_], fail: _Fail
) -> tuple[tuple[str, ...], tuple[Point, ...]]:
    """The kinds and spawn points of one side's units, group by group."""
    if not isinstance(groups, list) or not groups or not all(isinstance(group, dict) for group in groups):
        fail(side, groups, f"a side is one or more groups: [[{side}]] with kind, count and at")
    kinds: list[str] = []
    points: list[Point] = []
    for number, group in enumerate(groups):
        where = f"{side}[{number}]"
        kind, count = _group(group, where, fail)
        point = _point(group["at"], f"{where}.at", fail)
        if not units()[kind].flies and not pathable[int(point[0]), int(point[1])]:
            rule = f"a {kind} starts on walkable ground: move the point or open the terrain there"
            fail(f"{where}.at", list(point), rule)
        kinds += [kind] * count
        points += [point] * count
    return tuple(kinds), tuple(points)


def _group(group: Mapping[str, Any], where: str, fail: _Fail) -> tuple[str, int]:
    """Kind and number of a group's units."""
    for key in group:
        if key not in _GROUP_KEYS:
            fail(where, key, f"a group has the keys kind, count and at{_nearest(key, _GROUP_KEYS)}")
    if "at" not in group:
        fail(where, group, "a group needs the point at which its units are created: add at = [x, y]")
    kind, count = group.get("kind"), group.get("count", 1)
    if not isinstance(kind, str) or kind not in units():
        fail(f"{where}.kind", kind, f"it must be a kind of unit{_nearest(str(kind), units())}")
    if type(count) is not int or not 1 <= count <= 200:
        fail(f"{where}.count", count, "a group has between 1 and 200 units")
    return kind, count


def _terrain(value: Any, key: str, fail: _Fail) -> NDArray[np.bool_]:
    """A grid indexed [x, y] from a terrain's name or from rows of `y = "x ranges"`."""
    if isinstance(value, str):
        shared = tomllib.loads((resources.files("mawm.envs.skirmish") / "maps" / "terrain.toml").read_text("utf-8"))
        if value not in shared:
            fail(key, value, f"it must be a known terrain{_nearest(value, shared)}")
        value = shared[value]
    if not isinstance(value, dict) or not value:
        fail(key, value, 'it must be a name or a table of rows, e.g. "7..24" = "0-31"')
    grid = np.zeros((SIZE, SIZE), dtype=np.bool_)
    for row, ranges in value.items():
        ys = _span(row, "..", f"{key} row", fail)
        if not isinstance(ranges, str):
            fail(f"{key}.{row}", ranges, 'the walkable cells of a row are ranges of x in a string, e.g. "0-3,28-31"')
        for part in ranges.split(","):
            xs = _span(part, "-", f"{key}.{row}", fail)
            grid[xs.start : xs.stop, ys.start : ys.stop] = True
    return grid


def _span(text: str, separator: str, key: str, fail: _Fail) -> range:
    """The cells of '7..24', '0-31' or '5', including both ends."""
    first, _, last = text.strip().partition(separator)
    last = last or first
    if not (first.isdecimal() and last.isdecimal()) or not int(first) <= int(last) < SIZE:
        fail(key, text, f"a range is first{separator}last with 0 <= first <= last < {SIZE}")
    return range(int(first), int(last) + 1)


def _eroded(grid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The grid without cells that touch a cliff, also at a corner; the map's edge is not a cliff."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(grid, 1, constant_values=True), (3, 3))
    return np.asarray(around.all((-2, -1)))
