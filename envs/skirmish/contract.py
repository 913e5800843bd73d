"""SMAC's contract: observation, state, mask, reward and end of a battle, as SMAC's code returns them.

Scalar functions of one battle's rows, compiled by Numba; `layout` names the columns of `bodies` (U, BODY), allies come
first. Quirks of SMAC are copied and marked (quirk), so that a policy trained here receives the same numbers in SMAC.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.layout import COOLDOWN, ENERGY, HP, SHIELD, X, Y
from mawm.envs.skirmish.maps import MapSpec, type_orders
from mawm.envs.skirmish.rules import Version
from mawm.envs.skirmish.units import PROTOSS, kinds_of

SIGHT, ATTACK_RANGE = 9.0, 6.0
"""Cells, the same for every kind: units are visible at less than SIGHT, and attacked or healed up to ATTACK_RANGE."""
NO_ATTACK_ACTIONS = 6
"""No-op, stop, north, south, east, west; then one attack (or heal) for each target."""
_COMPASS = ((0.0, 0.0), (0.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0))
MAX_COOLDOWN = {
    "marine": 15.0,
    "marauder": 25.0,
    "medivac": 200.0,
    "stalker": 35.0,
    "zealot": 22.0,
    "colossus": 24.0,
    "hydralisk": 10.0,
    "zergling": 11.0,
    "baneling": 1.0,
}
"""(quirk) Divisors of cooldowns in SMAC, in loops; for the medivac, of energy points. 15 for any other unit."""
DEATH_VALUE, WIN_VALUE, DEFEAT_SCALE, PERFECT_RETURN = 10.0, 200.0, 0.5, 20.0
WON, LOST, DRAW, GOES_ON = 1, -1, 0, 9

Rows = NDArray[np.float64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Contract(NamedTuple):
    """Constants of one map. Arrays (U,) list allies, then enemies; `grid` (W, H) bool is indexed [x, y]."""

    n_agents: int
    n_enemies: int
    n_actions: int
    type_bits: int
    ally_shields: bool
    enemy_shields: bool
    medivac_rule: bool
    limit: int
    max_reward: float
    types: NDArray[np.int64]
    healer: NDArray[np.bool_]
    hp_max: NDArray[np.float64]
    shield_max: NDArray[np.float64]
    max_cooldown: NDArray[np.float64]
    grid: NDArray[np.bool_]

    @property
    def obs_size(self) -> int:
        """Size of 4 moves, enemies, other allies and own features."""
        enemy, ally = self._widths()
        return 4 + self.n_enemies * (4 + enemy) + (self.n_agents - 1) * (4 + ally) + ally

    @property
    def state_size(self) -> int:
        """Size of allies, enemies and one-hot last actions."""
        enemy, ally = self._widths()
        return self.n_agents * (3 + ally) + self.n_enemies * (2 + enemy) + self.n_agents * self.n_actions

    def _widths(self) -> tuple[int, int]:
        """Number of features of an enemy and of an ally without position: health, shield if its race has one, type."""
        return 1 + int(self.enemy_shields) + self.type_bits, 1 + int(self.ally_shields) + self.type_bits


def build_contract(spec: MapSpec, version: Version = "4.10") -> Contract:
    """The contract of a map, with the health and shields of a version of the unit data."""
    return make_contract(
        spec.allies, spec.enemies, spec.limit, spec.pathable, enemy_types=spec.enemy_types, version=version
    )


def make_contract(
    allies: Sequence[str],
    enemies: Sequence[str],
    limit: int,
    grid: NDArray[np.bool_],
    hp_max: NDArray[np.floating] | None = None,
    shield_max: NDArray[np.floating] | None = None,
    enemy_types: tuple[str, ...] | None = None,
    version: Version = "4.10",
) -> Contract:
    """The contract of a battle of these kinds, in id order; maxima (U,) default to those of the unit data's version.

    SMAC defines type bits, shields and the medivac rule for each map type; here they are functions of the kinds.
    `enemy_types` overrides the order of the enemies' type bits.
    """
    kinds, n = kinds_of(allies, enemies, version), len(allies)
    hp = np.array([kind.hp for kind in kinds]) if hp_max is None else hp_max.astype(np.float64)
    shield = np.array([kind.shield for kind in kinds]) if shield_max is None else shield_max.astype(np.float64)
    ally_types, default_types = type_orders(tuple(allies), tuple(enemies))
    enemy_types = default_types if enemy_types is None else enemy_types
    types = np.zeros(len(kinds), np.int64)
    if ally_types:
        types[:] = [ally_types.index(k) for k in allies] + [enemy_types.index(k) for k in enemies]
    medivac_rule = "medivac" in allies
    # A medivac's heal actions use the ids of attacks. In a user's map there may be more allies than enemies.
    targets = max(n, len(enemies)) if medivac_rule else len(enemies)
    return Contract(
        n_agents=n,
        n_enemies=len(enemies),
        n_actions=NO_ATTACK_ACTIONS + targets,
        type_bits=len(ally_types),
        ally_shields=not PROTOSS.isdisjoint(allies),
        enemy_shields=not PROTOSS.isdisjoint(enemies),
        medivac_rule=medivac_rule,
        limit=limit,
        max_reward=float(DEATH_VALUE * len(enemies) + WIN_VALUE + hp[n:].sum() + shield[n:].sum()),
        types=types,
        healer=np.array([kind.heals for kind in kinds], np.bool_),
        hp_max=hp,
        shield_max=shield,
        max_cooldown=np.array([MAX_COOLDOWN.get(kind.name, 15.0) for kind in kinds], np.float64),
        grid=np.ascontiguousarray(grid, np.bool_),
    )


def agent_order(
    kinds: Sequence[str], x: NDArray[np.floating], y: NDArray[np.floating], order: Sequence[str]
) -> NDArray[np.int64]:
    """Indices of the game's units in the order of agents: by kind, then x, then y; ties keep their order.

    `order` lists kinds by rank, e.g. the map's `allies`.
    """
    rank = {kind: i for i, kind in enumerate(dict.fromkeys(order))}
    return np.lexsort((y, x, np.array([rank[kind] for kind in kinds]))).astype(np.int64)


@scalar
def open_cell(grid: Bools, x: float, y: float) -> bool:
    """Whether the point lies in a walkable cell of the map.

    (quirk) int() rounds toward zero, so a move to slightly below 0 is allowed.
    """
    i, j = int(x), int(y)
    return 0 <= i < grid.shape[0] and 0 <= j < grid.shape[1] and bool(grid[i, j])


@scalar
def may(c: Contract, bodies: Rows, i: int, action: int) -> bool:
    """Whether agent i's mask allows an action.

    (quirk) In a map with fewer enemies than allies SMAC has no action to heal the last ones; this contract has.
    """
    if bodies[i, HP] <= 0.0 or action < 1:
        return action == 0 and bodies[i, HP] <= 0.0
    x, y = bodies[i, X], bodies[i, Y]
    if action < NO_ATTACK_ACTIONS:
        dx, dy = _COMPASS[action]
        return action == 1 or open_cell(c.grid, x + dx, y + dy)
    heals = c.medivac_rule and c.healer[i]
    first, count = (0, c.n_agents) if heals else (c.n_agents, c.n_enemies)
    k = action - NO_ATTACK_ACTIONS
    return k < count and _reaches(c, bodies, i, first + k, heals)


@scalar
def _reaches(c: Contract, bodies: Rows, i: int, j: int, heals: bool) -> bool:
    """Whether agent i may attack unit j, or heal it."""
    dx, dy = bodies[j, X] - bodies[i, X], bodies[j, Y] - bodies[i, Y]
    allowed = bodies[j, HP] > 0.0 and not (heals and c.healer[j])
    return allowed and dx * dx + dy * dy <= ATTACK_RANGE**2


@scalar
def available(c: Contract, bodies: Rows, i: int, out: Bools) -> None:
    """Write agent i's mask into `out` (A,)."""
    for action in range(len(out)):
        out[action] = may(c, bodies, i, action)


@scalar
def _seen(bodies: Rows, i: int, j: int, out: Floats, at: int) -> bool:
    """Write distance, x and y of unit j relative to i after `out[at]`, if j is in sight. Returns whether it is."""
    dx, dy = bodies[j, X] - bodies[i, X], bodies[j, Y] - bodies[i, Y]
    square = dx * dx + dy * dy
    if square >= SIGHT**2:
        return False
    out[at + 1] = math.sqrt(square) / SIGHT
    out[at + 2] = dx / SIGHT
    out[at + 3] = dy / SIGHT
    return True


@scalar
def _condition(c: Contract, bodies: Rows, j: int, shields: bool, out: Floats, at: int) -> None:
    """Write health, shield if its race has one, and type bits of unit j, beginning at `out[at]`."""
    out[at] = bodies[j, HP] / c.hp_max[j]
    at += 1
    if shields:
        if c.shield_max[j] > 0.0:
            out[at] = bodies[j, SHIELD] / c.shield_max[j]
        at += 1
    if c.type_bits > 0:
        out[at + c.types[j]] = 1.0


@scalar
def observe_from(
    c: Contract, bodies: Rows, i: int, avail: Bools, last: Ints, last_bits: int, out: Floats, at: int
) -> None:
    """Write features of enemies, other allies and the living agent i itself, beginning at `out[at]`.

    `avail` (A,) is its mask. After each ally come `last_bits` bits of its last action (SMAC's default: 0).
    """
    width = 5 + int(c.enemy_shields) + c.type_bits
    for k in range(c.n_enemies):
        j = c.n_agents + k
        if bodies[j, HP] > 0.0 and _seen(bodies, i, j, out, at):
            # (quirk) For a medivac this is its heal mask at the same index.
            out[at] = avail[NO_ATTACK_ACTIONS + k]
            _condition(c, bodies, j, c.enemy_shields, out, at + 4)
        at += width
    width = 5 + int(c.ally_shields) + c.type_bits
    for j in range(c.n_agents):
        if j == i:
            continue
        if bodies[j, HP] > 0.0 and _seen(bodies, i, j, out, at):
            out[at] = 1.0
            _condition(c, bodies, j, c.ally_shields, out, at + 4)
            if last_bits > 0 and last[j] >= 0:
                out[at + width + last[j]] = 1.0
        at += width + last_bits
    _condition(c, bodies, i, c.ally_shields, out, at)


@scalar
def observe(c: Contract, bodies: Rows, i: int, avail: Bools, last: Ints, out: Floats) -> None:
    """Write agent i's observation into `out` (O,), all zero if it is dead. `avail` (A,) is its mask."""
    for a in range(len(out)):
        out[a] = 0.0
    if bodies[i, HP] <= 0.0:
        return
    for m in range(4):
        out[m] = avail[2 + m]
    observe_from(c, bodies, i, avail, last, 0, out, 4)


@scalar
def write_state(c: Contract, bodies: Rows, last: Ints, out: Floats) -> None:
    """Write the global state into `out` (S,); `last` (N,) holds the last actions, -1 before the first step."""
    for a in range(len(out)):
        out[a] = 0.0
    # (quirk) Positions are divided by the map's size, not by half of it, so they are in [-0.5, 0.5].
    size_x, size_y = float(c.grid.shape[0]), float(c.grid.shape[1])
    at = 0
    for j in range(c.n_agents + c.n_enemies):
        ally = j < c.n_agents
        shields = c.ally_shields if ally else c.enemy_shields
        width = (4 if ally else 3) + int(shields) + c.type_bits
        if bodies[j, HP] > 0.0:
            k = at + 2 if ally else at + 1
            # `_condition` writes health first; here y overwrites it, because the state has the health at `at`.
            _condition(c, bodies, j, shields, out, k + 1)
            out[at] = bodies[j, HP] / c.hp_max[j]
            if ally:
                charge = bodies[j, ENERGY] if c.medivac_rule and c.healer[j] else bodies[j, COOLDOWN]
                out[at + 1] = max(0.0, charge) / c.max_cooldown[j]
            out[k] = (bodies[j, X] - size_x / 2.0) / size_x
            out[k + 1] = (bodies[j, Y] - size_y / 2.0) / size_y
        at += width
    for i in range(c.n_agents):
        if last[i] >= 0:
            out[at + last[i]] = 1.0
        at += c.n_actions


@scalar
def write_views(c: Contract, bodies: Rows, last: Ints, obs: Floats, avail: Bools, state: Floats) -> None:
    """Write obs (N, O), avail (N, A) and state (S,) of one battle."""
    for i in range(c.n_agents):
        available(c, bodies, i, avail[i])
        observe(c, bodies, i, avail[i], last, obs[i])
    write_state(c, bodies, last, state)


@scalar
def end_code(c: Contract, bodies: Rows) -> int:
    """WON, LOST, DRAW or GOES_ON."""
    allies, fighters, enemies, enemy_healers = 0, 0, 0, 0
    for j in range(c.n_agents):
        if bodies[j, HP] > 0.0:
            allies += 1
            fighters += not c.healer[j]
    for j in range(c.n_agents, c.n_agents + c.n_enemies):
        if bodies[j, HP] > 0.0:
            enemies += 1
            enemy_healers += c.healer[j]
    # (quirk) With medivacs it is a loss if both teams are dead, or if only own medivacs are left, even without enemies.
    if (allies == 0 and enemies > 0) or (c.medivac_rule and fighters == 0):
        return LOST
    # (quirk) It is a win if one enemy medivac is left, but not if two are left.
    if (allies > 0 and enemies == 0) or (c.medivac_rule and enemies == 1 and enemy_healers == 1):
        return WON
    return DRAW if allies == 0 and enemies == 0 else GOES_ON


@scalar
def battle_reward(c: Contract, before: Rows, bodies: Rows, signed: bool) -> float:
    """Unscaled reward of changes since `before` (U, 2) of (hp, shield); units that were dead before do not count.

    (quirk) The default is the absolute value of the sum, so that recovery of enemies may also give a reward.
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
    return enemy - DEFEAT_SCALE * ally if signed else abs(enemy)


@scalar
def settle(
    c: Contract, before: Rows, bodies: Rows, steps: int, sparse: bool, signed: bool
) -> tuple[float, int, bool, bool]:
    """Reward (a perfect win is 20), end code, whether the battle ends, and whether it ends only by its limit.

    `steps` includes the step just taken. The last flag is `episode_limit` of SMAC's continuing-episode option.
    """
    code = end_code(c, bodies)
    reward = 0.0 if sparse else battle_reward(c, before, bodies, signed)
    if code == WON:
        reward = 1.0 if sparse else reward + WIN_VALUE
    elif code == LOST and sparse:
        reward = -1.0
    over = code != GOES_ON
    timeout = not over and steps >= c.limit
    return reward / (c.max_reward / PERFECT_RETURN), code, over or timeout, timeout
