"""SMACv2's contract: observation, state, mask, reward and end of a battle, as its code returns them.

Scalar functions of one battle's rows, as in `skirmish.contract`. Here a unit's kind is not a constant of the map but an
entry of `kinds` (U,), the index of its type bit; its data are its row of `stats` (U, STAT). Quirks of SMACv2 are copied
and marked (quirk). The options are those of the published configurations: ranges of each kind, own position, types of
allies visible, no conic field of view, enemies visible to all who see them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish import contract as smac
from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.contract import Rows
from mawm.envs.skirmish.layout import HP, S_HP, S_SHIELD, X, Y
from mawm.envs.skirmish.smacv2.maps import LIMIT, MAY_FILL_A_TEAM, SIZE, DrawnMap
from mawm.envs.skirmish.units import PROTOSS, kinds_of
from mawm.types import Bools, Floats, Ints

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


class DrawnContract(NamedTuple):
    """Constants of one map, as in `contract.Contract`. Arrays (3,) list the kinds by type bit.

    `barred` is the kind that cannot fill a team, -1: none. `ranks` orders agents: by kind in alphabetical order.
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
    barred: int
    ranks: NDArray[np.int64]
    types: NDArray[np.int64]
    healer: NDArray[np.bool_]
    reach: NDArray[np.float64]
    sight: NDArray[np.float64]
    shield_max: NDArray[np.float64]
    max_cooldown: NDArray[np.float64]
    grid: NDArray[np.bool_]


def drawn_contract(spec: DrawnMap) -> DrawnContract:
    """The contract of one of SMACv2's maps."""
    kinds, rare, n, m = spec.kinds, spec.kinds[-1], spec.n_agents, spec.n_enemies
    healer, shields = [unit.heals for unit in kinds_of(kinds, (), "4.10")], rare in PROTOSS
    # A medivac's heal actions use the ids of attacks.
    n_actions = smac.NO_ATTACK_ACTIONS + (max(n, m) if any(healer) else m)
    width = 1 + int(shields) + TYPE_BITS
    obs_size, state_size = smac.sizes(n, m, n_actions, width, width)
    return DrawnContract(
        n_agents=n,
        n_enemies=m,
        n_actions=n_actions,
        obs_size=obs_size + 2,  # the own position
        state_size=state_size,
        type_bits=TYPE_BITS,
        ally_shields=shields,
        enemy_shields=shields,
        limit=LIMIT,
        barred=-1 if rare in MAY_FILL_A_TEAM else kinds.index(rare),
        ranks=np.array([sorted(kinds).index(kind) for kind in kinds], np.int64),
        types=np.arange(TYPE_BITS),
        healer=np.array(healer, np.bool_),
        reach=np.array([max(REACH[kind], LEAST_REACH) for kind in kinds]),
        sight=np.array([SIGHT[kind] for kind in kinds]),
        shield_max=np.array([MAX_SHIELD.get(kind, 0.0) for kind in kinds]),
        max_cooldown=np.array([smac.MAX_COOLDOWN[kind] for kind in kinds]),
        grid=np.ones((SIZE, SIZE), np.bool_),
    )


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
            out[at] = avail[smac.NO_ATTACK_ACTIONS + k]
            smac.relative(dx, dy, sight, out, at + 1)
            smac.traits(c, kinds[j], stats[j, S_HP], bodies[j], c.enemy_shields, out, at + 4)
        at += 5 + int(c.enemy_shields) + TYPE_BITS
    return at


@scalar
def write_views(
    c: DrawnContract, kinds: Ints, stats: Rows, bodies: Rows, last: Ints, sighters: Ints, places: Rows, order: Ints,
    obs: Floats, avail: Bools, state: Floats,
) -> None:  # fmt: skip
    """Write obs (N, O), zero for a dead agent, avail (N, A) and state (S,) of one battle.

    Agents observe in the given `order` (N,).
    """
    hp_max = stats[:, S_HP]
    for i in order:
        out = obs[i]
        smac.available(c, kinds, bodies, i, avail[i])
        if smac.begin_observation(bodies[i], avail[i], out):
            at = see_enemies(c, kinds, stats, bodies, sighters, places, i, avail[i], out, 4)
            at = smac.see_allies(c, kinds, hp_max, bodies, i, last[:0], out, at)
            at = smac.condition(c, kinds[i], hp_max[i], bodies[i], c.ally_shields, out, at)
            out[at] = bodies[i, X] / c.grid.shape[0]
            out[at + 1] = bodies[i, Y] / c.grid.shape[1]
            smac.type_bits(c, kinds[i], out, at + 2)
    smac.write_state(c, kinds, hp_max, bodies, last, state)


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
        return smac.GOES_ON if enemies > 0 else smac.WON
    # (quirk) If both teams are dead, it is a draw, except for terran teams: these have lost.
    return smac.LOST if enemies > 0 or c.healer[TYPE_BITS - 1] else smac.DRAW


@scalar
def max_reward(c: DrawnContract, stats: Rows) -> float:
    """The unscaled return of a perfect win in this battle."""
    most = smac.WIN_VALUE
    for j in range(c.n_agents, c.n_agents + c.n_enemies):
        most += smac.DEATH_VALUE + stats[j, S_HP] + stats[j, S_SHIELD]
    return most


@scalar
def settle(
    c: DrawnContract, kinds: Ints, stats: Rows, before: Rows, bodies: Rows, steps: int, sparse: bool, signed: bool
) -> tuple[float, int, bool, bool]:
    """The result of `contract.settled` after a step; `before` as in `contract.losses`.

    The default counts the enemies' losses and is at least 0; `signed` subtracts half of the own losses. Each battle is
    scaled by its own maximum. SMACv2 keeps that of the first battle of its process, an accident by which the scale
    differs from process to process.
    """
    enemy, ally = smac.losses(c, before, bodies)
    reward = enemy - smac.DEFEAT_SCALE * ally if signed else max(0.0, enemy)
    return smac.settled(c, end_code(c, kinds, bodies), reward, max_reward(c, stats), steps, sparse)
