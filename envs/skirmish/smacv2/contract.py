"""SMACv2's contract: observation, state, mask, reward and end of a battle, as its code returns them.

Scalar functions of one battle's rows, as in `skirmish.contract`. Here a unit's kind is not a constant of the map but an
entry of `kinds` (U,), the index of its type bit; its data are its row of `stats` (U, STAT). Quirks of SMACv2 are copied
and marked (quirk). The options are those of the published configurations: ranges of each kind, own position, types of
allies visible, no conic field of view, enemies visible to all who see them.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.contract import (
    DEATH_VALUE,
    DEFEAT_SCALE,
    DRAW,
    GOES_ON,
    LOST,
    MAX_COOLDOWN,
    NO_ATTACK_ACTIONS,
    PERFECT_RETURN,
    WIN_VALUE,
    WON,
    Bools,
    Floats,
    Ints,
    Rows,
    open_cell,
)
from mawm.envs.skirmish.layout import COOLDOWN, ENERGY, HP, S_HP, S_SHIELD, SHIELD, X, Y
from mawm.envs.skirmish.smacv2.maps import LIMIT, MAY_FILL_A_TEAM, SIZE, DrawnMap
from mawm.envs.skirmish.units import PROTOSS, kinds_of

TYPE_BITS = 3
LEAST_REACH = 2.0
"""Cells; a kind with a shorter range is allowed to attack from this distance."""
REACH = {
    **{"stalker": 6.0, "zealot": 0.1, "colossus": 7.0, "zergling": 0.1, "baneling": 0.25},
    **{"hydralisk": 5.0, "marine": 5.0, "marauder": 6.0, "medivac": 4.0},
}
"""Range in cells of each kind, between centres; for the medivac, of healing."""
SIGHT = {
    **{"stalker": 10.0, "zealot": 9.0, "colossus": 10.0, "zergling": 8.0, "baneling": 8.0},
    **{"hydralisk": 9.0, "marine": 9.0, "marauder": 10.0, "medivac": 11.0},
}
"""Cells; units are visible at less than the sight of the observer's kind."""
MAX_SHIELD = {"stalker": 80.0, "zealot": 50.0, "colossus": 150.0}
"""(quirk) Divisors of shields, the same in all versions of the game."""
_COMPASS = ((0.0, 0.0), (0.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0))


class DrawnContract(NamedTuple):
    """Constants of one map. Arrays (3,) list the kinds by type bit; `grid` (W, H) bool is indexed [x, y].

    `barred` is the kind that cannot fill a team, -1: none. `ranks` orders agents: by kind in alphabetical order.
    """

    n_agents: int
    n_enemies: int
    n_actions: int
    shields: bool
    barred: int
    limit: int
    ranks: NDArray[np.int64]
    healer: NDArray[np.bool_]
    reach: NDArray[np.float64]
    sight: NDArray[np.float64]
    max_cooldown: NDArray[np.float64]
    max_shield: NDArray[np.float64]
    grid: NDArray[np.bool_]

    @property
    def obs_size(self) -> int:
        """Size of 4 moves, enemies, other allies and own features."""
        unit = 1 + int(self.shields) + TYPE_BITS
        return 4 + (self.n_enemies + self.n_agents - 1) * (4 + unit) + unit + 2

    @property
    def state_size(self) -> int:
        """Size of allies, enemies and one-hot last actions."""
        unit = 3 + int(self.shields) + TYPE_BITS
        return self.n_agents * (unit + 1) + self.n_enemies * unit + self.n_agents * self.n_actions


def drawn_contract(spec: DrawnMap) -> DrawnContract:
    """The contract of one of SMACv2's maps."""
    kinds, rare = spec.kinds, spec.kinds[-1]
    healer = [unit.heals for unit in kinds_of(kinds, (), "4.10")]
    # A medivac's heal actions use the ids of attacks.
    targets = max(spec.n_agents, spec.n_enemies) if any(healer) else spec.n_enemies
    return DrawnContract(
        n_agents=spec.n_agents,
        n_enemies=spec.n_enemies,
        n_actions=NO_ATTACK_ACTIONS + targets,
        shields=rare in PROTOSS,
        barred=-1 if rare in MAY_FILL_A_TEAM else kinds.index(rare),
        limit=LIMIT,
        ranks=np.array([sorted(kinds).index(kind) for kind in kinds], np.int64),
        healer=np.array(healer, np.bool_),
        reach=np.array([max(REACH[kind], LEAST_REACH) for kind in kinds]),
        sight=np.array([SIGHT[kind] for kind in kinds]),
        max_cooldown=np.array([MAX_COOLDOWN[kind] for kind in kinds]),
        max_shield=np.array([MAX_SHIELD.get(kind, 1.0) for kind in kinds]),
        grid=np.ones((SIZE, SIZE), np.bool_),
    )


@scalar
def may(c: DrawnContract, kinds: Ints, bodies: Rows, i: int, action: int) -> bool:
    """Whether agent i's mask allows an action."""
    if bodies[i, HP] <= 0.0 or action < 1:
        return action == 0 and bodies[i, HP] <= 0.0
    x, y = bodies[i, X], bodies[i, Y]
    if action < NO_ATTACK_ACTIONS:
        dx, dy = _COMPASS[action]
        return action == 1 or open_cell(c.grid, x + dx, y + dy)
    heals = c.healer[kinds[i]]
    first, count = (0, c.n_agents) if heals else (c.n_agents, c.n_enemies)
    j = first + action - NO_ATTACK_ACTIONS
    if j >= first + count or bodies[j, HP] <= 0.0 or (heals and c.healer[kinds[j]]):
        return False
    dx, dy = bodies[j, X] - x, bodies[j, Y] - y
    return bool(dx * dx + dy * dy <= c.reach[kinds[i]] ** 2)


@scalar
def available(c: DrawnContract, kinds: Ints, bodies: Rows, i: int, out: Bools) -> None:
    """Write agent i's mask into `out` (A,)."""
    for action in range(len(out)):
        out[action] = may(c, kinds, bodies, i, action)


@scalar
def remember_places(c: DrawnContract, bodies: Rows, places: Rows) -> None:
    """Write the places of living enemies into `places` (E, 2). A dead one keeps its place at the last arrival."""
    for k in range(c.n_enemies):
        if bodies[c.n_agents + k, HP] > 0.0:
            places[k, 0], places[k, 1] = bodies[c.n_agents + k, X], bodies[c.n_agents + k, Y]


@scalar
def forget_sighters(c: DrawnContract, bodies: Rows, sighters: Ints) -> None:
    """After a step, a dead enemy has no sighter (`see_enemies`), and neither has one whose sighter has died."""
    for k in range(c.n_enemies):
        sighter = sighters[k]
        if bodies[c.n_agents + k, HP] <= 0.0 or (sighter >= 0 and bodies[sighter, HP] <= 0.0):
            sighters[k] = -1


@scalar
def _relative(dx: float, dy: float, sight: float, out: Floats, at: int) -> None:
    """Write distance, x and y, divided by the own sight, beginning at `out[at]`."""
    out[at] = math.sqrt(dx * dx + dy * dy) / sight
    out[at + 1] = dx / sight
    out[at + 2] = dy / sight


@scalar
def _condition(c: DrawnContract, kind: int, stat: Rows, body: Rows, out: Floats, at: int) -> int:
    """Write health, and the shield if the race has one, beginning at `out[at]`. Returns the place after them."""
    out[at] = body[HP] / stat[S_HP]
    if c.shields:
        out[at + 1] = body[SHIELD] / c.max_shield[kind]
    return at + 1 + int(c.shields)


@scalar
def see_enemies(
    c: DrawnContract, kinds: Ints, stats: Rows, bodies: Rows, sighters: Ints, places: Rows, i: int, avail: Bools,
    out: Floats, at: int,
) -> int:  # fmt: skip
    """Write the enemies' features for the living agent i, beginning at `out[at]`. Returns the place after them.

    (quirk) The first agent in whose sight enemy k stands becomes its sighter, `sighters[k]`. While an enemy has no
    sighter (-1), the features of this enemy and of all enemies before it are zero. This also holds for a dead enemy,
    whose place counts: it is without a sighter at the beginning of every arrival.
    """
    sight, first = c.sight[kinds[i]], at
    for k in range(c.n_enemies):
        j = c.n_agents + k
        dx, dy = places[k, 0] - bodies[i, X], places[k, 1] - bodies[i, Y]
        seen = dx * dx + dy * dy < sight * sight
        if seen and sighters[k] < 0:
            sighters[k] = i
        if sighters[k] < 0:
            for a in range(first, at):
                out[a] = 0.0
        elif seen and bodies[j, HP] > 0.0:
            # (quirk) For a medivac this is its heal mask at the same index.
            out[at] = avail[NO_ATTACK_ACTIONS + k]
            _relative(dx, dy, sight, out, at + 1)
            out[_condition(c, kinds[j], stats[j], bodies[j], out, at + 4) + kinds[j]] = 1.0
        at += 5 + int(c.shields) + TYPE_BITS
    return at


@scalar
def observe(
    c: DrawnContract, kinds: Ints, stats: Rows, bodies: Rows, sighters: Ints, places: Rows, i: int, avail: Bools,
    out: Floats,
) -> None:  # fmt: skip
    """Write agent i's observation into `out` (O,), all zero if it is dead. `avail` (A,) is its mask."""
    for a in range(len(out)):
        out[a] = 0.0
    if bodies[i, HP] <= 0.0:
        return
    for m in range(4):
        out[m] = avail[2 + m]
    at = see_enemies(c, kinds, stats, bodies, sighters, places, i, avail, out, 4)
    sight = c.sight[kinds[i]]
    for j in range(c.n_agents):
        if j == i:
            continue
        dx, dy = bodies[j, X] - bodies[i, X], bodies[j, Y] - bodies[i, Y]
        if bodies[j, HP] > 0.0 and dx * dx + dy * dy < sight * sight:
            out[at] = 1.0
            _relative(dx, dy, sight, out, at + 1)
            out[_condition(c, kinds[j], stats[j], bodies[j], out, at + 4) + kinds[j]] = 1.0
        at += 5 + int(c.shields) + TYPE_BITS
    at = _condition(c, kinds[i], stats[i], bodies[i], out, at)
    out[at] = bodies[i, X] / c.grid.shape[0]
    out[at + 1] = bodies[i, Y] / c.grid.shape[1]
    out[at + 2 + kinds[i]] = 1.0


@scalar
def write_state(c: DrawnContract, kinds: Ints, stats: Rows, bodies: Rows, last: Ints, out: Floats) -> None:
    """Write the global state into `out` (S,); `last` (N,) holds the last actions, -1 before the first step."""
    for a in range(len(out)):
        out[a] = 0.0
    size_x, size_y = float(c.grid.shape[0]), float(c.grid.shape[1])
    at = 0
    for j in range(c.n_agents + c.n_enemies):
        ally, kind = j < c.n_agents, kinds[j]
        if bodies[j, HP] > 0.0:
            out[at] = bodies[j, HP] / stats[j, S_HP]
            k = at + 1
            if ally:
                charge = bodies[j, ENERGY] if c.healer[kind] else bodies[j, COOLDOWN]
                out[k] = max(0.0, charge) / c.max_cooldown[kind]
                k += 1
            out[k] = (bodies[j, X] - size_x / 2.0) / size_x
            out[k + 1] = (bodies[j, Y] - size_y / 2.0) / size_y
            if c.shields:
                out[k + 2] = bodies[j, SHIELD] / c.max_shield[kind]
            out[k + 2 + int(c.shields) + kind] = 1.0
        at += 3 + int(ally) + int(c.shields) + TYPE_BITS
    for i in range(c.n_agents):
        if last[i] >= 0:
            out[at + last[i]] = 1.0
        at += c.n_actions


@scalar
def write_views(
    c: DrawnContract, kinds: Ints, stats: Rows, bodies: Rows, last: Ints, sighters: Ints, places: Rows, order: Ints,
    obs: Floats, avail: Bools, state: Floats,
) -> None:  # fmt: skip
    """Write obs (N, O), avail (N, A) and state (S,) of one battle. Agents observe in the given `order` (N,)."""
    for i in order:
        available(c, kinds, bodies, i, avail[i])
        observe(c, kinds, stats, bodies, sighters, places, i, avail[i], obs[i])
    write_state(c, kinds, stats, bodies, last, state)


@scalar
def end_code(c: DrawnContract, kinds: Ints, bodies: Rows) -> int:
    """WON, LOST, DRAW or GOES_ON. Medivacs do not fight: a team of which only medivacs live has lost."""
    allies, enemies = 0, 0
    for j in range(c.n_agents + c.n_enemies):
        if bodies[j, HP] > 0.0 and not c.healer[kinds[j]]:
            if j < c.n_agents:
                allies += 1
            else:
                enemies += 1
    if allies > 0:
        return GOES_ON if enemies > 0 else WON
    # (quirk) If both teams are dead, it is a draw, except for terran teams: these have lost.
    return LOST if enemies > 0 or c.healer[TYPE_BITS - 1] else DRAW


@scalar
def battle_reward(c: DrawnContract, before: Rows, bodies: Rows, signed: bool) -> float:
    """Unscaled reward of changes since `before` (U, 2) of (hp, shield); units that were dead before do not count.

    The default counts the enemies' losses and is at least 0; `signed` subtracts half of the own losses.
    """
    enemy, ally = 0.0, 0.0
    for j in range(c.n_agents + c.n_enemies):
        if before[j, 0] <= 0.0:
            continue
        total = before[j, 0] + before[j, 1]
        dead = bodies[j, HP] <= 0.0
        lost = total + DEATH_VALUE if dead else total - bodies[j, HP] - bodies[j, SHIELD]
        if j < c.n_agents:
            ally += lost
        else:
            enemy += lost
    return enemy - DEFEAT_SCALE * ally if signed else max(0.0, enemy)


@scalar
def max_reward(c: DrawnContract, stats: Rows) -> float:
    """The unscaled return of a perfect win in this battle."""
    most = WIN_VALUE
    for j in range(c.n_agents, c.n_agents + c.n_enemies):
        most += DEATH_VALUE + stats[j, S_HP] + stats[j, S_SHIELD]
    return most


@scalar
def settle(
    c: DrawnContract, kinds: Ints, stats: Rows, before: Rows, bodies: Rows, steps: int, sparse: bool, signed: bool
) -> tuple[float, int, bool, bool]:
    """Reward (a perfect win is 20), end code, whether the battle ends, and whether it ends only by its limit.

    `steps` includes the step just taken. Each battle is scaled by its own maximum. SMACv2 keeps that of the first
    battle of its process, an accident by which the scale differs from process to process.
    """
    code = end_code(c, kinds, bodies)
    reward = 0.0 if sparse else battle_reward(c, before, bodies, signed)
    if code == WON:
        reward = 1.0 if sparse else reward + WIN_VALUE
    elif code == LOST and sparse:
        reward = -1.0
    over = code != GOES_ON
    timeout = not over and steps >= c.limit
    return reward / (max_reward(c, stats) / PERFECT_RETURN), code, over or timeout, timeout
