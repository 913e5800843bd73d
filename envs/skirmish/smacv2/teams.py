"""Draws the teams and the start positions of a battle, as SMACv2 does.

All numbers come from the battle's own stream, in this order: the allies' kinds, the kinds of further enemies, how the
teams start, the start points, the shifts of units that share a point.
"""

from mawm.envs.skirmish import layout as col
from mawm.envs.skirmish import rules as named
from mawm.envs.skirmish.compiled import called, scalar
from mawm.envs.skirmish.rng import uniform
from mawm.envs.skirmish.smacv2.maps import SHARES

SURROUNDED = 0.5
"""The chance that the allies start in the centre, surrounded by enemies; otherwise the two teams mirror each other."""
BUFFER = 1.0
"""Cells between the allies' half and the middle line that stay empty in mirrored starts."""
INNER = 2.0
"""A surrounding group starts between a corner of the map and the point this far from its centre in x and in y."""
EDGE = 0.5
"""Cells from the map's edges within which no unit starts."""
SPACING, JITTER = named.INDEX["spawn_spacing"], named.INDEX["spawn_jitter"]
# Columns of `points` (U, 3): where a unit is created, and its number in its team's list.
AT_X, AT_Y, NUMBER = 0, 1, 2
# Columns of `groups` (4, 3): number of units, place on the diagonal, corner.
COUNT, ALONG, CORNER = 0, 1, 2


@scalar
def draw_kinds(book, barred, kinds, first, count):  # type: ignore[no-untyped-def]
    """Draw `count` kinds into `kinds` from index `first` on; all of them again while all are the `barred` kind."""
    again = count > 0
    while again:
        again = True
        for u in range(first, first + count):
            share = uniform(book)
            kinds[u] = 0 if share < SHARES[0] else 1 if share < SHARES[0] + SHARES[1] else 2
            again = again and kinds[u] == barred


@scalar
def draw_teams(book, barred, kinds, n_agents):  # type: ignore[no-untyped-def]
    """Draw the kinds (U,) of both teams: the enemies are a copy of the allies; further enemies are a team of their own.

    In a map with fewer enemies than allies only the first allies are copied.
    """
    n_enemies = len(kinds) - n_agents
    draw_kinds(book, barred, kinds, 0, n_agents)
    for k in range(min(n_agents, n_enemies)):
        kinds[n_agents + k] = kinds[k]
    draw_kinds(book, barred, kinds, 2 * n_agents, n_enemies - n_agents)


@called
def _mirror(book, points, n_agents, size):  # type: ignore[no-untyped-def]
    """Allies anywhere in their half, enemy k as the mirror image of ally k; further enemies anywhere in their half."""
    for i in range(n_agents):
        points[i, AT_X], points[i, AT_Y] = uniform(book) * (size / 2.0 - BUFFER), uniform(book) * size
    for k in range(len(points) - n_agents):
        if k < n_agents:
            points[n_agents + k, AT_X], points[n_agents + k, AT_Y] = size - points[k, AT_X], points[k, AT_Y]
        else:
            points[n_agents + k, AT_X] = size / 2.0 + uniform(book) * size / 2.0
            points[n_agents + k, AT_Y] = uniform(book) * size


@called
def _surround(book, points, groups, n_agents, size):  # type: ignore[no-untyped-def]
    """Allies at the centre; enemies in one to four groups, each at one point of another diagonal. Groups may be empty.

    Returns the number of groups; their rows of `groups` are filled.
    """
    centre, used = size / 2.0, int(uniform(book) * 4.0) + 1
    groups[:, COUNT] = 0.0
    for i in range(n_agents):
        points[i, AT_X], points[i, AT_Y] = centre, centre
    for _ in range(len(points) - n_agents):
        groups[int(uniform(book) * used), COUNT] += 1.0
    for g in range(used):
        groups[g, ALONG] = uniform(book)
    for g in range(4):
        groups[g, CORNER] = g
    for g in range(used):
        other = g + int(uniform(book) * (4 - g))
        groups[g, CORNER], groups[other, CORNER] = groups[other, CORNER], groups[g, CORNER]
    u = n_agents
    for g in range(used):
        corner, along = int(groups[g, CORNER]), groups[g, ALONG]
        # Corners in turn: south-west, north-west, north-east, south-east.
        east, north = 1.0 if corner >= 2 else -1.0, 1.0 if corner == 1 or corner == 2 else -1.0
        x = (centre + east * INNER) * along + (centre + east * centre) * (1.0 - along)
        y = (centre + north * INNER) * along + (centre + north * centre) * (1.0 - along)
        for _ in range(int(groups[g, COUNT])):
            points[u, AT_X], points[u, AT_Y] = x, y
            u += 1
    return used


@called
def _spread(book, rules, stats, points, offsets, first, count, size):  # type: ignore[no-untyped-def]
    """Put units `first` .. `first + count - 1`, which are created at one point, on a square grid around it.

    `offsets` (G, 2) lists the grid's places, nearest first; those outside the map stay free. `spawn_jitter` then
    shifts each unit at random.
    """
    width = 0.0
    for u in range(first, first + count):
        width = max(width, stats[u, col.S_SEP])
    spacing = 2.0 * width * rules[SPACING]
    x, y, place = points[first, AT_X], points[first, AT_Y], 0
    for u in range(first, first + count):
        inside = False
        while not inside and place < len(offsets):
            at_x, at_y = x + offsets[place, 0] * spacing, y + offsets[place, 1] * spacing
            inside = EDGE <= at_x <= size - EDGE and EDGE <= at_y <= size - EDGE
            place += 1
        if inside:
            points[u, AT_X], points[u, AT_Y] = at_x, at_y
        if rules[JITTER] > 0.0:
            points[u, AT_X] += (2.0 * uniform(book) - 1.0) * rules[JITTER]
            points[u, AT_Y] += (2.0 * uniform(book) - 1.0) * rules[JITTER]


@scalar
def draw_starts(book, rules, stats, points, groups, offsets, n_agents, size):  # type: ignore[no-untyped-def]
    """Draw the start points (U, 3) of both teams on a map of `size` cells; `stats` (U, STAT) are those of the kinds."""
    if uniform(book) > SURROUNDED:
        used = _surround(book, points, groups, n_agents, size)
        _spread(book, rules, stats, points, offsets, 0, n_agents, size)
        u = n_agents
        for g in range(used):
            _spread(book, rules, stats, points, offsets, u, int(groups[g, COUNT]), size)
            u += int(groups[g, COUNT])
    else:
        _mirror(book, points, n_agents, size)
    for u in range(len(points)):
        points[u, AT_X] = min(max(points[u, AT_X], EDGE), size - EDGE)
        points[u, AT_Y] = min(max(points[u, AT_Y], EDGE), size - EDGE)
        points[u, NUMBER] = u if u < n_agents else u - n_agents


@scalar
def _before(ranks, kind, point, other_kind, other):  # type: ignore[no-untyped-def]
    """Whether an ally comes before another one: by kind, then x, then y."""
    if ranks[kind] != ranks[other_kind]:
        return ranks[kind] < ranks[other_kind]
    return point[AT_X] < other[AT_X] or (point[AT_X] == other[AT_X] and point[AT_Y] < other[AT_Y])


@scalar
def number_agents(ranks, kinds, points, n_agents):  # type: ignore[no-untyped-def]
    """Sort the allies in `kinds` and `points`, as SMACv2 numbers its agents. The enemies keep the order of the list."""
    for i in range(1, n_agents):
        k = i
        while k > 0 and _before(ranks, kinds[k], points[k], kinds[k - 1], points[k - 1]):
            kinds[k], kinds[k - 1] = kinds[k - 1], kinds[k]
            for column in range(3):
                points[k, column], points[k - 1, column] = points[k - 1, column], points[k, column]
            k -= 1
