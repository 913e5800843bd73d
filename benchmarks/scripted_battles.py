"""Battles of scripted teams as in published measurements on StarCraft II: orders every two loops, at any distance."""

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish import layout as col
from mawm.envs.skirmish.behaviour import NO_ATTACK_ACTIONS, give_order
from mawm.envs.skirmish.combat import cancel, gap
from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.kernel import LOOPS_PER_STEP, game_loop
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.vector import SkirmishVectorEnv

SCRIPTS = {"AC": 0, "AW": 1, "AF": 2}
"""AC: attack the closest living enemy; AW: attack the enemy with the least health (ties: lowest index); AF: alternating
fire."""
LOOPS_PER_DECISION = 2
ORDER_LOOPS = 2.0
"""Loops for which a repeated attack-move order delays an enemy: the delay from an order to a first hit in captures."""
NEAR = 1.0
"""Alternating fire: the agents swap when the shooter is at most this many cells, edge to edge, beyond the enemy's
weapon range."""
STOP = 1


@scalar
def _attack(bodies, stats, agents, script):  # type: ignore[no-untyped-def]
    """Order every agent except medivacs to attack the enemy that the script (AC or AW) selects, at any distance."""
    for i in range(agents):
        if bodies[i, col.HP] <= 0.0 or stats[i, col.S_HEAL] > 0.0:
            continue  # a medivac has no attack ability
        least, target = 1e18, -1
        for j in range(agents, len(bodies)):
            value = gap(bodies, stats, i, j) if script == 0 else bodies[j, col.HP]
            if bodies[j, col.HP] > 0.0 and value < least:
                least, target = value, j
        if target >= 0:
            give_order(bodies[i], stats[i], NO_ATTACK_ACTIONS + target - agents, agents)


@scalar
def _alternate(bodies, stats, agents, shooter):  # type: ignore[no-untyped-def]
    """Give alternating-fire orders: the shooter attacks the enemy, the other agent stops. Returns the shooter (0 or 1).

    The first shooter (`shooter` < 0) is the agent farther from the enemy. They swap when the enemy is near the shooter
    and the shooter has just fired, so that its weapon is on cooldown.
    """
    far = 0 if gap(bodies, stats, 0, agents) >= gap(bodies, stats, 1, agents) else 1
    if shooter < 0:
        shooter = far
    near = gap(bodies, stats, shooter, agents) <= stats[agents, col.S_RANGE] + NEAR
    fired = bodies[shooter, col.COOLDOWN] > 0.0 and bodies[shooter, col.WINDUP] < 0.0
    if near and fired and bodies[1 - shooter, col.HP] > 0.0:
        shooter = 1 - shooter
    for i in range(2):
        if bodies[i, col.HP] > 0.0:
            give_order(bodies[i], stats[i], NO_ATTACK_ACTIONS if i == shooter else STOP, agents)
    return shooter


@scalar
def _repeat_orders(bodies, stats, agents):  # type: ignore[no-untyped-def]
    """Give the enemies their attack-move order again: it clears their targets and cancels their running attacks."""
    for j in range(agents, len(bodies)):
        if bodies[j, col.HP] > 0.0 and bodies[j, col.ORDER] == col.MOVE and stats[j, col.S_HEAL] == 0.0:
            cancel(bodies[j])
            bodies[j, col.TARGET] = -1.0
            bodies[j, col.RECOVER] = ORDER_LOOPS


@scalar
def _health(rows, first, last, column):  # type: ignore[no-untyped-def]
    total = 0.0
    for u in range(first, last):
        total += max(0.0, rows[u, column])
    return total


@scalar
def _living(bodies, agents):  # type: ignore[no-untyped-def]
    count = 0
    for i in range(agents):
        count += bodies[i, col.HP] > 0.0
    return count


@scalar
def _play(c, stats, rules, grounds, toward, bodies, books, scratch, log, script, loops, out):  # type: ignore[no-untyped-def]
    """Play the first battle of every row under a script. Writes (score, 1 if won else 0) to `out` (B, 2)."""
    n, units = c.n_agents, bodies.shape[1]
    at_start = _health(stats, 0, units, col.S_HP)
    foes_at_start = _health(stats, n, units, col.S_HP)
    for b in range(len(bodies)):
        body, alive, died, shooter = bodies[b], n, False, -1
        scratch[:] = 0.0
        scratch[0, :, 2] = -1.0
        for t in range(loops):
            if died:
                _repeat_orders(body, stats, n)
            if t % LOOPS_PER_DECISION == 0:
                if script == 2:
                    shooter = _alternate(body, stats, n, shooter)
                else:
                    _attack(body, stats, n, script)
            game_loop(stats, rules, grounds, toward, body, books[b], scratch[0], scratch[1], log, c.n_agents)
            living = _living(body, n)
            died, alive = living < alive, living
            if living == 0 or _health(body, n, units, col.HP) <= 0.0:
                break
        foes = _health(body, n, units, col.HP)
        out[b, 0] = (_health(body, 0, n, col.HP) + foes_at_start - foes) / at_start
        out[b, 1] = 1.0 if foes <= 0.0 and alive > 0 else 0.0


def scripted(map_name: str, script: str, rules: Rules, battles: int, seed: int = 3) -> NDArray[np.float64]:
    """Play battles of a scripted team: (score, 1 if won else 0) of each, (B, 2).

    Agents decide every two loops and may attack at any distance. The enemies' order is repeated at each allied death.
    ValueError if the script is AF and the map does not have two agents and one enemy.
    """
    env = SkirmishVectorEnv(map_name, battles, seed, rules)
    if script == "AF" and (env.contract.n_agents, env.contract.n_enemies) != (2, 1):
        raise ValueError(f"script AF is two agents' alternating fire at one enemy; map {map_name} has others")
    env.reset()
    out = np.zeros((battles, 2))
    _play(
        env.contract, env._stats, env._numbers, env._grounds, env._toward, env.bodies, env._books, env._scratch,
        env._logs[0], SCRIPTS[script], env.spec.limit * LOOPS_PER_STEP, out,
    )  # fmt: skip
    return out
