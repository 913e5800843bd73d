"""SMAC's contract: observation, state, mask, reward and end of a battle, as SMAC's code returns them.

Scalar functions of one battle's rows, compiled by Numba; `layout` names the columns of `bodies` (U, BODY), allies come
first. Quirks of SMAC are copied and marked (quirk), so that a policy trained here receives the same numbers in SMAC.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.layout import COOLDOWN, ENERGY, HP, SHIELD, X, Y
from mawm.envs.skirmish.maps import MapSpec, type_orders
from mawm.envs.skirmish.rules import Version
from mawm.envs.skirmish.units import PROTOSS, kinds_of
from mawm.types import Bools, Floats, Ints

SIGHT, ATTACK_RANGE = 9.0, 6.0
"""Cells, the same for every kind: units are visible at less than SIGHT, and attacked or healed up to ATTACK_RANGE."""
NO_ATTACK_ACTIONS = 6
"""No-op, stop, north, south, east, west; then one attack (or heal) for each target."""
_COMPASS = ((0.0, 0.0), (0.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0))
MAX_COOLDOWN = {
    "marine": 15.0, "marauder": 25.0, "medivac": 200.0, "stalker": 35.0, "zealot": 22.0, "colossus": 24.0,
    "hydralisk": 10.0, "zergling": 11.0, "baneling": 1.0,
}  # fmt: skip
"""(quirk) Divisors of cooldowns in SMAC, in loops; for the medivac, of energy points. 15 for any other unit."""
DEATH_VALUE, WIN_VALUE, DEFEAT_SCALE, PERFECT_RETURN = 10.0, 200.0, 0.5, 20.0
WON, LOST, DRAW, GOES_ON = 1, -1, 0, 9

Rows = NDArray[np.float64]


class Contract(NamedTuple):
    """Constants of one map. Arrays (U,) list allies, then enemies; `grid` (W, H) bool is indexed [x, y].

    Functions that SMACv2's maps use too take a unit's values from arrays by its entry of `kinds` (U,): its number here.
    """

    n_agents: int
    n_enemies: int
    n_actions: int
    obs_size: int
    state_size: int
    type_bits: int
    ally_shields: bool
    enemy_shields: bool
    limit: int
    medivac_rule: bool
    max_reward: float
    kinds: NDArray[np.int64]
    types: NDArray[np.int64]
    healer: NDArray[np.bool_]
    reach: NDArray[np.float64]
    sight: NDArray[np.float64]
    hp_max: NDArray[np.float64]
    shield_max: NDArray[np.float64]
    max_cooldown: NDArray[np.float64]
    grid: NDArray[np.bool_]


AnyContract = Any
"""A `Contract`, or a `DrawnContract` of SMACv2's maps, whose fields have the same names."""


def sizes(n: int, m: int, n_actions: int, ally: int, enemy: int) -> tuple[int, int]:
    """Sizes of an observation and of the state for n agents and m enemies.

    `ally` and `enemy`: number of a unit's features without its position: health, shield if its race has one, type.
    """
    obs = 4 + m * (4 + enemy) + (n - 1) * (4 + ally) + ally  # moves, enemies, other allies, own features
    return obs, n * (3 + ally) + m * (2 + enemy) + n * n_actions  # allies, enemies, one-hot last actions


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
    n_actions = NO_ATTACK_ACTIONS + (max(n, len(enemies)) if medivac_rule else len(enemies))
    shields = [not PROTOSS.isdisjoint(side) for side in (allies, enemies)]
    obs_size, state_size = sizes(n, len(enemies), n_actions, *(1 + int(has) + len(ally_types) for has in shields))
    return Contract(
        n_agents=n,
        n_enemies=len(enemies),
        n_actions=n_actions,
        obs_size=obs_size,
        state_size=state_size,
        type_bits=len(ally_types),
        ally_shields=shields[0],
        enemy_shields=shields[1],
        limit=limit,
        medivac_rule=medivac_rule,
        max_reward=float(DEATH_VALUE * len(enemies) + WIN_VALUE + hp[n:].sum() + shield[n:].sum()),
        kinds=np.arange(len(kinds)),
        types=types,
        healer=np.array([kind.heals for kind in kinds], np.bool_),
        reach=np.full(len(kinds), ATTACK_RANGE),
        sight=np.full(len(kinds), SIGHT),
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
def may(c: AnyContract, kinds: Ints, bodies: Rows, i: int, action: int) -> bool:
    """Whether agent i's mask allows an action.

    (quirk) In a map with fewer enemies than allies SMAC has no action to heal the last ones; this contract has.
    """
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
def available(c: AnyContract, kinds: Ints, bodies: Rows, i: int, out: Bools) -> None:
    """Write agent i's mask into `out` (A,)."""
    for action in range(len(out)):
        out[action] = may(c, kinds, bodies, i, action)


@scalar
def begin_observation(body: Rows, avail: Bools, out: Floats) -> bool:
    """Clear `out` (O,) and write the four moves of a living agent with mask `avail` (A,). Returns whether it lives."""
    for a in range(len(out)):
        out[a] = 0.0
    alive = bool(body[HP] > 0.0)
    if alive:
        for m in range(4):
            out[m] = avail[2 + m]
    return alive


@scalar
def condition(c: AnyContract, kind: int, hp_max: float, body: Rows, shields: bool, out: Floats, at: int) -> int:
    """Write a unit's health, and the shield if its race has one, from `out[at]` on. Returns the place after them."""
    out[at] = body[HP] / hp_max
    if shields and c.shield_max[kind] > 0.0:
        out[at + 1] = body[SHIELD] / c.shield_max[kind]
    return at + 1 + int(shields)


@scalar
def type_bits(c: AnyContract, kind: int, out: Floats, at: int) -> None:
    """Write the one-hot type of a unit, if units of this map have types, from `out[at]` on."""
    if c.type_bits > 0:
        out[at + c.types[kind]] = 1.0


@scalar
def relative(dx: float, dy: float, sight: float, out: Floats, at: int) -> None:
    """Write distance, x and y of a seen unit, divided by the observer's sight, from `out[at]` on."""
    out[at] = math.sqrt(dx * dx + dy * dy) / sight
    out[at + 1] = dx / sight
    out[at + 2] = dy / sight


@scalar
def traits(c: AnyContract, kind: int, hp_max: float, body: Rows, shields: bool, out: Floats, at: int) -> None:
    """Write health, shield and type of a unit from `out[at]` on (`condition`, `type_bits`)."""
    type_bits(c, kind, out, condition(c, kind, hp_max, body, shields, out, at))


@scalar
def see_allies(
    c: AnyContract, kinds: Ints, hp_max: Rows, bodies: Rows, i: int, last: Ints, out: Floats, at: int
) -> int:
    """Write the features of the other allies for agent i, from `out[at]` on. Returns the place after them.

    After each ally comes its one-hot last action from `last` (N,); with an empty `last` (0,), the default, none.
    """
    sight, width = c.sight[kinds[i]], 5 + int(c.ally_shields) + c.type_bits
    for j in range(c.n_agents):
        if j == i:
            continue
        dx, dy = bodies[j, X] - bodies[i, X], bodies[j, Y] - bodies[i, Y]
        if bodies[j, HP] > 0.0 and dx * dx + dy * dy < sight * sight:
            out[at] = 1.0
            relative(dx, dy, sight, out, at + 1)
            traits(c, kinds[j], hp_max[j], bodies[j], c.ally_shields, out, at + 4)
            if len(last) > 0 and last[j] >= 0:
                out[at + width + last[j]] = 1.0
        at += width + (c.n_actions if len(last) > 0 else 0)
    return at


@scalar
def observe_from(c: Contract, bodies: Rows, i: int, avail: Bools, last: Ints, out: Floats, at: int) -> None:
    """Write features of enemies, other allies and the living agent i itself, from `out[at]` on; see `see_allies`."""
    for j in range(c.n_agents, c.n_agents + c.n_enemies):
        dx, dy = bodies[j, X] - bodies[i, X], bodies[j, Y] - bodies[i, Y]
        if bodies[j, HP] > 0.0 and dx * dx + dy * dy < SIGHT**2:
            # (quirk) For a medivac this is its heal mask at the same index.
            out[at] = avail[NO_ATTACK_ACTIONS + j - c.n_agents]
            relative(dx, dy, SIGHT, out, at + 1)
            traits(c, j, c.hp_max[j], bodies[j], c.enemy_shields, out, at + 4)
        at += 5 + int(c.enemy_shields) + c.type_bits
    at = see_allies(c, c.kinds, c.hp_max, bodies, i, last, out, at)
    traits(c, i, c.hp_max[i], bodies[i], c.ally_shields, out, at)


@scalar
def write_state(c: AnyContract, kinds: Ints, hp_max: Rows, bodies: Rows, last: Ints, out: Floats) -> None:
    """Write the global state into `out` (S,); `last` (N,) holds the last actions, -1 before the first step."""
    for a in range(len(out)):
        out[a] = 0.0
    # (quirk) Positions are divided by the map's size, not by half of it, so they are in [-0.5, 0.5].
    size_x, size_y = float(c.grid.shape[0]), float(c.grid.shape[1])
    at = 0
    for j in range(c.n_agents + c.n_enemies):
        ally, kind = j < c.n_agents, kinds[j]
        shields = c.ally_shields if ally else c.enemy_shields
        if bodies[j, HP] > 0.0:
            k = at + 2 if ally else at + 1
            # `traits` writes health first; here y overwrites it, because the state has the health at `at`.
            traits(c, kind, hp_max[j], bodies[j], shields, out, k + 1)
            out[at] = bodies[j, HP] / hp_max[j]
            if ally:
                charge = bodies[j, ENERGY] if c.healer[kind] else bodies[j, COOLDOWN]
                out[at + 1] = max(0.0, charge) / c.max_cooldown[kind]
            out[k] = (bodies[j, X] - size_x / 2.0) / size_x
            out[k + 1] = (bodies[j, Y] - size_y / 2.0) / size_y
        at += (4 if ally else 3) + int(shields) + c.type_bits
    for i in range(c.n_agents):
        if last[i] >= 0:
            out[at + last[i]] = 1.0
        at += c.n_actions


@scalar
def write_views(c: Contract, bodies: Rows, last: Ints, obs: Floats, avail: Bools, state: Floats) -> None:
    """Write obs (N, O), zero for a dead agent, avail (N, A) and state (S,) of one battle."""
    for i in range(c.n_agents):
        available(c, c.kinds, bodies, i, avail[i])
        if begin_observation(bodies[i], avail[i], obs[i]):
            observe_from(c, bodies, i, avail[i], last[:0], obs[i], 4)
    write_state(c, c.kinds, c.hp_max, bodies, last, state)


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
def losses(c: AnyContract, before: Rows, bodies: Rows) -> tuple[float, float]:
    """What enemies and allies lost since `before` (U, 2) of (hp, shield); units that were dead before do not count."""
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
    return enemy, ally


@scalar
def settled(
    c: AnyContract, code: int, reward: float, most: float, steps: int, sparse: bool
) -> tuple[float, int, bool, bool]:
    """Reward (a perfect win is 20), end code, whether the battle ends, and whether it ends only by its limit.

    `reward` is unscaled and without that for the end of the battle; `most` is the unscaled return of a perfect win.
    `steps` includes the step just taken. The last flag is `episode_limit` of SMAC's continuing-episode option.
    """
    if sparse:
        reward = 1.0 if code == WON else -1.0 if code == LOST else 0.0
    elif code == WON:
        reward += WIN_VALUE
    over = code != GOES_ON
    timeout = not over and steps >= c.limit
    return reward / (most / PERFECT_RETURN), code, over or timeout, timeout


@scalar
def settle(
    c: Contract, before: Rows, bodies: Rows, steps: int, sparse: bool, signed: bool
) -> tuple[float, int, bool, bool]:
    """The result of `settled` after a step; `before` as in `losses`. `signed` subtracts half of the own losses.

    (quirk) The default is the absolute value of the enemies' losses, so that their recovery may also give a reward.
    """
    enemy, ally = losses(c, before, bodies)
    reward = enemy - DEFEAT_SCALE * ally if signed else abs(enemy)
    return settled(c, end_code(c, bodies), reward, c.max_reward, steps, sparse)
