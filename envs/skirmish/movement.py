"""Walking, flying, collisions, and paths around cliffs."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish import layout as col
from mawm.envs.skirmish import rules as named
from mawm.envs.skirmish.compiled import compiled, scalar

LOOPS_PER_SECOND = 16.0
MELEE_RANGE = 1.0
"""Cells; units whose weapon range is at least this count as ranged."""
YIELDING = named.INDEX["yielding"]
_EDGE = 1e-3


@scalar
def walkable(grid, x, y):  # type: ignore[no-untyped-def]
    """Whether a ground unit's centre may be at (x, y)."""
    return 0.0 <= x < grid.shape[0] and 0.0 <= y < grid.shape[1] and grid[int(x), int(y)]


@scalar
def _length(dx, dy):  # type: ignore[no-untyped-def]
    return math.sqrt(dx * dx + dy * dy)


@scalar
def _in_sight(grid, x, y, goal_x, goal_y):  # type: ignore[no-untyped-def]
    """Whether the straight line to the goal is walkable, sampled every quarter of a cell."""
    distance = _length(goal_x - x, goal_y - y)
    steps = int(distance * 4.0) + 1
    for k in range(1, steps + 1):
        share = k / steps
        if not walkable(grid, x + (goal_x - x) * share, y + (goal_y - y) * share):
            return False
    return True


@scalar
def _move_to(grid, flies, body, x, y):  # type: ignore[no-untyped-def]
    """Move a unit to (x, y); if that is not walkable, along x or y alone. Returns whether it moved."""
    if flies:
        body[col.X] = min(max(x, 0.0), grid.shape[0] - _EDGE)
        body[col.Y] = min(max(y, 0.0), grid.shape[1] - _EDGE)
        return True
    if walkable(grid, x, y):
        body[col.X], body[col.Y] = x, y
        return True
    if walkable(grid, x, body[col.Y]) and abs(x - body[col.X]) > 1e-9:
        body[col.X] = x
        return True
    if walkable(grid, body[col.X], y) and abs(y - body[col.Y]) > 1e-9:
        body[col.Y] = y
        return True
    return False


@scalar
def turn(body, goal_x, goal_y):  # type: ignore[no-untyped-def]
    """Turn a unit to the goal of its walk."""
    far = _length(goal_x - body[col.X], goal_y - body[col.Y])
    if far > 1e-6:
        body[col.FACE_X], body[col.FACE_Y] = (goal_x - body[col.X]) / far, (goal_y - body[col.Y]) / far


@scalar
def step_towards(grounds, toward, body, stat, goal_x, goal_y):  # type: ignore[no-untyped-def]
    """Walk for one loop towards a goal over cells that the unit's kind can enter, around cliffs if the map has any.

    `grounds` (2, X, Y): cells that may be entered by most ground units, and by colossi. `toward`: see `ways_round`.
    """
    distance = _length(goal_x - body[col.X], goal_y - body[col.Y])
    if distance < 1e-9 or stat[col.S_SPEED] <= 0.0:
        return
    flies, grid = stat[col.S_AIR] > 0.0, grounds[int(stat[col.S_CLIFFS])]
    if (
        toward.shape[0] > 1
        and not flies
        and stat[col.S_CLIFFS] == 0.0
        and not _in_sight(grid, body[col.X], body[col.Y], goal_x, goal_y)
    ):
        here, there = int(body[col.X]) * grid.shape[1] + int(body[col.Y]), int(goal_x) * grid.shape[1] + int(goal_y)
        cell = toward[here, there]
        if cell >= 0:
            goal_x, goal_y = cell // grid.shape[1] + 0.5, cell % grid.shape[1] + 0.5
            distance = _length(goal_x - body[col.X], goal_y - body[col.Y])
    top = stat[col.S_SPEED] / LOOPS_PER_SECOND
    body[col.SPEED] = min(top, body[col.SPEED] + stat[col.S_ACCEL] / (LOOPS_PER_SECOND * LOOPS_PER_SECOND))
    length = min(body[col.SPEED], distance)
    share = length / distance if distance > 1e-9 else 0.0
    x, y = body[col.X], body[col.Y]
    _move_to(grid, flies, body, x + (goal_x - x) * share, y + (goal_y - y) * share)


@scalar
def separate(grounds, bodies, stats, rules, want, n_agents):  # type: ignore[no-untyped-def]
    """Push overlapping units of one plane apart; `want[u, 0]` > 0 if unit u walked in this loop."""
    units = len(bodies)
    for a in range(units):
        if bodies[a, col.HP] <= 0.0:
            continue
        for b in range(a + 1, units):
            dx, dy = bodies[b, col.X] - bodies[a, col.X], bodies[b, col.Y] - bodies[a, col.Y]
            least = stats[a, col.S_SEP] + stats[b, col.S_SEP]
            square = dx * dx + dy * dy
            # The cheap test comes first, because most pairs are far apart.
            if square >= least * least or bodies[b, col.HP] <= 0.0:
                continue
            # Air units collide with air units only, and colossi with colossi only.
            if stats[a, col.S_AIR] != stats[b, col.S_AIR] or stats[a, col.S_CLIFFS] != stats[b, col.S_CLIFFS]:
                continue
            share = _share_of_first(bodies, stats, rules, a, b, want[a, 0] > 0.0, want[b, 0] > 0.0, n_agents)
            _push_apart(grounds, bodies, stats, a, b, dx, dy, math.sqrt(square), share)


@scalar
def _share_of_first(bodies, stats, rules, a, b, walks_a, walks_b, n_agents):  # type: ignore[no-untyped-def]
    """Share of the overlap of a and b by which a is moved; b is moved by the rest.

    A structure is never moved. If exactly one of the two walked: of an ally and an enemy only that one is moved; of two
    units of one team, a ranged unit that stands and has a target is moved by `yielding`. In all other cases both are
    moved by half.
    """
    if stats[a, col.S_SPEED] <= 0.0 or stats[b, col.S_SPEED] <= 0.0:
        return 0.0 if stats[a, col.S_SPEED] <= 0.0 else 1.0
    if walks_a == walks_b:
        return 0.5
    if a < n_agents <= b:
        return 1.0 if walks_a else 0.0
    stands = b if walks_a else a
    if bodies[stands, col.TARGET] < 0.0 or stats[stands, col.S_RANGE] < MELEE_RANGE:
        return 0.5
    return 1.0 - rules[YIELDING] if walks_a else rules[YIELDING]


@scalar
def _push_apart(grounds, bodies, stats, a, b, dx, dy, distance, share):  # type: ignore[no-untyped-def]
    """Move a and b apart along the line between them. If a cannot move, b (no structure) moves by all."""
    overlap = stats[a, col.S_SEP] + stats[b, col.S_SEP] - distance
    if distance < 1e-6:
        # Two units at the same position move apart in a direction that depends on their indices only.
        angle = 2.399963 * (a * 31 + b)
        dx, dy, distance = math.cos(angle), math.sin(angle), 1.0
        overlap = stats[a, col.S_SEP] + stats[b, col.S_SEP]
    ux, uy = dx / distance * overlap, dy / distance * overlap
    flies, rest = stats[a, col.S_AIR] > 0.0, 1.0 - share
    if share > 0.0:
        ground = grounds[int(stats[a, col.S_CLIFFS])]
        if not _move_to(ground, flies, bodies[a], bodies[a, col.X] - ux * share, bodies[a, col.Y] - uy * share):
            rest = 0.0 if stats[b, col.S_SPEED] <= 0.0 else 1.0
    if rest > 0.0:
        ground = grounds[int(stats[b, col.S_CLIFFS])]
        _move_to(ground, flies, bodies[b], bodies[b, col.X] + ux * rest, bodies[b, col.Y] + uy * rest)


def ways_round(grid: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Next cell on a shortest path from cell i to cell j (cells, cells); -1: no path.

    The table has shape (1, 1) if all straight lines are walkable, and 2 MB for 32 x 32 cells otherwise. Environments
    with the same map share it and must not write to it, because the search for blocked lines takes as long as a battle.
    """
    return _ways_of(grid.shape, grid.tobytes())


@lru_cache(maxsize=32)
def _ways_of(shape: tuple[int, ...], cells: bytes) -> NDArray[np.int16]:
    grid = np.frombuffer(cells, np.bool_).reshape(shape).copy()
    table = np.full((grid.size, grid.size), -1, np.int16)
    if not _needs_ways(grid):
        return table[:1, :1].copy()
    _fill_ways(grid, table)
    return table


@scalar
def _needs_ways(grid):  # type: ignore[no-untyped-def]
    width, height = grid.shape
    for x in range(width):
        for y in range(height):
            if not grid[x, y]:
                continue
            for u in range(width):
                for v in range(y, height):
                    # A line that cuts only the corner of a single cell along an outline needs no path around it.
                    if grid[u, v] and not _in_sight(grid, x + 0.5, y + 0.5, u + 0.5, v + 0.5):
                        return True
    return False


@compiled
def _fill_ways(grid, table):  # type: ignore[no-untyped-def]
    """Breadth-first search back from every goal; diagonal steps only where both sides are walkable."""
    width, height = grid.shape
    queue = np.empty(width * height, np.int64)
    far = np.empty(width * height, np.float64)
    for goal in range(width * height):
        if not grid[goal // height, goal % height]:
            continue
        far[:] = np.inf
        far[goal] = 0.0
        queue[0] = goal
        head, tail = 0, 1
        while head < tail:
            cell = queue[head]
            head += 1
            x, y = cell // height, cell % height
            for k in range(8):
                dx, dy = (1, -1, 0, 0, 1, 1, -1, -1)[k], (0, 0, 1, -1, 1, -1, 1, -1)[k]
                u, v = x + dx, y + dy
                if u < 0 or v < 0 or u >= width or v >= height or not grid[u, v]:
                    continue
                if dx != 0 and dy != 0 and not (grid[x + dx, y] and grid[x, y + dy]):
                    continue
                other = u * height + v
                if far[other] == np.inf:
                    far[other] = far[cell] + 1.0
                    table[other, goal] = cell
                    queue[tail] = other
                    tail += 1
