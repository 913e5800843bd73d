"""Behaviour of units in one loop: agents execute orders; enemies choose targets, chase, retaliate and call for help."""

import math

from mawm.envs.skirmish import layout as col
from mawm.envs.skirmish import rules as named
from mawm.envs.skirmish.combat import (
    HEAL_SLOP,
    LEAST_ENERGY,
    apart,
    begin_attack,
    can_heal,
    can_hit,
    cancel,
    doomed,
    gap,
    heal,
    run_attack,
)
from mawm.envs.skirmish.compiled import called, scalar

MOVE_AMOUNT = 2.0
NO_ATTACK_ACTIONS = 6
THREAT, LEAST_TURN = named.INDEX["threat"], named.INDEX["least_turn"]
LARGEST_RADIUS = 1.0
"""Cells; the largest radius of any unit, that of a colossus."""
ARRIVE = 1.0
"""Distance in cells from its destination at which an attack-move ends; inferred from battles."""
# Facts of the game's data.
LEASH, LEASH_RESET = 21.0, 5.0
"""Cells from home (where a chase began): an enemy without orders gives up a chase at LEASH, and acquires targets again
at LEASH_RESET on its way back."""
HELP_RADIUS, HELP_LOOPS = 4.0, 32.0
"""Distance in cells, edge to edge, within which a hit enemy calls other enemies for help; loops between two calls."""


@scalar
def command(body, order, target, x, y):  # type: ignore[no-untyped-def]
    """Give a unit an order: STOP, MOVE to (x, y), or ATTACK (a medivac: heal) unit `target`.

    The order to attack the target that it attacks already does not restart the attack.
    """
    if order == col.ATTACK:
        if body[col.ORDER] != col.ATTACK or body[col.TARGET] != target:
            cancel(body)
        body[col.ORDER], body[col.TARGET] = col.ATTACK, target
        return
    cancel(body)
    body[col.TARGET] = -1.0
    body[col.ORDER], body[col.GOAL_X], body[col.GOAL_Y] = order, x, y


@scalar
def give_order(body, stat, action, n_agents):  # type: ignore[no-untyped-def]
    """Replace an agent's order by that of its action."""
    if action >= NO_ATTACK_ACTIONS:
        target = float(action - NO_ATTACK_ACTIONS + (0 if stat[col.S_HEAL] > 0.0 else n_agents))
        command(body, col.ATTACK, target, 0.0, 0.0)
        return
    x = body[col.X] + (MOVE_AMOUNT if action == 4 else 0.0) - (MOVE_AMOUNT if action == 5 else 0.0)
    y = body[col.Y] + (MOVE_AMOUNT if action == 2 else 0.0) - (MOVE_AMOUNT if action == 3 else 0.0)
    command(body, col.MOVE if action >= 2 else col.STOP, -1.0, x, y)


@scalar
def threatens(bodies, stats, rules, a, b, distance):  # type: ignore[no-untyped-def]
    """Whether agent b, `distance` cells away, is a threat to enemy a: b attacks a, and a is in b's weapon range.

    An agent that attacks another enemy, moves or stops is no threat. Allied medivacs always are, by their data.
    """
    aimed = bodies[b, col.TARGET] == a and bodies[b, col.ORDER] == col.ATTACK and distance <= stats[b, col.S_RANGE]
    return (aimed or stats[b, col.S_ALWAYS] > 0.0) and rules[THREAT] > 0.0


@scalar
def _tie_break(bodies, stats, rules, a, b):  # type: ignore[no-untyped-def]
    """Enemy a prefers, among equal agents in weapon range, the one with the least of these numbers."""
    if rules[LEAST_TURN] == 0.0:
        return stats[b, col.S_CREATED]
    dx, dy = bodies[b, col.X] - bodies[a, col.X], bodies[b, col.Y] - bodies[a, col.Y]
    ahead = bodies[a, col.FACE_X] * dx + bodies[a, col.FACE_Y] * dy
    return -ahead / max(1e-6, apart(bodies, a, b))


@scalar
def _best_foe(bodies, stats, rules, a, n_agents, reach):  # type: ignore[no-untyped-def]
    """Index of the best target of enemy a within `reach` cells, edge to edge; -1: there is none.

    Agents in weapon range come before others, and among each of these two groups threats come first. Ties are broken
    in weapon range by `_tie_break`, out of weapon range by distance (nearest).
    """
    best, best_rank, best_value = -1, -1, 0.0
    x, y, weapon, own = bodies[a, col.X], bodies[a, col.Y], stats[a, col.S_RANGE], stats[a, col.S_RADIUS]
    most = (reach + own + LARGEST_RADIUS) ** 2
    for b in range(n_agents):
        dx, dy = bodies[b, col.X] - x, bodies[b, col.Y] - y
        square = dx * dx + dy * dy
        # The cheap test comes first, because most agents are far away.
        if square > most or bodies[b, col.HP] <= 0.0 or not can_hit(stats, a, b):
            continue
        distance = math.sqrt(square) - own - stats[b, col.S_RADIUS]
        if distance > reach:
            continue
        within = distance <= weapon
        rank = 2 * int(within) + int(threatens(bodies, stats, rules, a, b, distance))
        value = _tie_break(bodies, stats, rules, a, b) if within else distance
        if rank > best_rank or (rank == best_rank and value < best_value):
            best, best_rank, best_value = b, rank, value
            if within:
                most = (weapon + own + LARGEST_RADIUS) ** 2  # agents out of weapon range come after this one
    return best


@scalar
def _threat_in_range(bodies, stats, rules, a, n_agents):  # type: ignore[no-untyped-def]
    """Index of the threat in enemy a's weapon range that a prefers; -1 if there is none."""
    best, least, always = -1, 0.0, stats[a, col.S_ALWAYS] > 0.0
    for b in range(n_agents):
        # The cheap test comes first, because most agents attack another enemy.
        if bodies[b, col.TARGET] != a and not (always and stats[b, col.S_ALWAYS] > 0.0):
            continue
        if bodies[b, col.HP] <= 0.0 or not can_hit(stats, a, b):
            continue
        distance = gap(bodies, stats, a, b)
        if distance > stats[a, col.S_RANGE] or not threatens(bodies, stats, rules, a, b, distance):
            continue
        value = _tie_break(bodies, stats, rules, a, b)
        if best < 0 or value < least:
            best, least = b, value
    return best


@scalar
def _aim(body, target):  # type: ignore[no-untyped-def]
    """Change an enemy's target (-1: none) and cancel its attack. The home of an idle enemy becomes its position."""
    if body[col.TARGET] == target:
        return
    if body[col.TARGET] < 0.0 and body[col.ORDER] == col.STOP:
        body[col.HOME_X], body[col.HOME_Y] = body[col.X], body[col.Y]
    cancel(body)
    body[col.TARGET] = target


@scalar
def _strikes(body):  # type: ignore[no-untyped-def]
    """Whether a unit is between the two hits of an attack or in its backswing; it changes no target then."""
    return (body[col.SECOND] >= 0.0 or body[col.RECOVER] > 0.0) and body[col.WINDUP] < 0.0


@scalar
def think(bodies, stats, rules, a, n_agents):  # type: ignore[no-untyped-def]
    """Choose enemy a's target, in every loop except between the two hits of an attack and during its backswing.

    Target in weapon range: keep it while it is a threat; else change to a threat in weapon range, if there is one.
    Target out of weapon range: change to any agent in weapon range, threats first. If there is none, keep following a
    target that is a threat; else change to the best agent in scan range.

    An enemy that `hunt` sent to attack a unit keeps it until it is dead, and then chooses as above.

    Evidence: on StarCraft II alternating fire wins 2m_vs_1z and 2s_vs_1sc without damage. So enemies change to threats,
    also during the windup of an attack.
    """
    body = bodies[a]
    if _strikes(body):
        return
    if stats[a, col.S_HEAL] > 0.0:
        _think_of_healing(bodies, stats, a, n_agents)
        return
    home = (body[col.X] - body[col.HOME_X]) ** 2 + (body[col.Y] - body[col.HOME_Y]) ** 2
    if body[col.ORDER] >= col.ATTACK:  # one test for the two rare orders
        if body[col.ORDER] == col.RETURN:
            if home > LEASH_RESET**2:
                return
        elif bodies[int(body[col.TARGET]), col.HP] > 0.0:
            return  # an order to attack a unit holds until that unit is dead (`hunt`)
        else:
            body[col.ORDER], body[col.HOME_X], body[col.HOME_Y], home = col.STOP, body[col.X], body[col.Y], 0.0
    if body[col.ORDER] == col.STOP and body[col.TARGET] >= 0.0 and home > LEASH**2:
        _aim(body, -1.0)
        body[col.ORDER], body[col.GOAL_X], body[col.GOAL_Y] = col.RETURN, body[col.HOME_X], body[col.HOME_Y]
        return
    target, other = int(body[col.TARGET]), -1
    lives = target >= 0 and bodies[target, col.HP] > 0.0
    distance = gap(bodies, stats, a, target) if lives else 0.0
    threat = lives and threatens(bodies, stats, rules, a, target, distance)
    if lives and distance <= stats[a, col.S_RANGE]:
        if threat or rules[THREAT] == 0.0:
            return
        other = _threat_in_range(bodies, stats, rules, a, n_agents)
    else:
        other = _best_foe(bodies, stats, rules, a, n_agents, stats[a, col.S_RANGE] if threat else stats[a, col.S_SCAN])
    if other >= 0:
        _aim(body, float(other))
        body[col.ORDER] = col.STOP if body[col.ORDER] == col.RETURN else body[col.ORDER]
    elif not lives:
        _aim(body, -1.0)


@called
def _think_of_healing(bodies, stats, a, n_agents):  # type: ignore[no-untyped-def]
    """An enemy medivac keeps a hurt target in heal range, else chooses the unit with the smallest share of health."""
    target, best, least = int(bodies[a, col.TARGET]), -1, 1.0
    near = target >= 0 and gap(bodies, stats, a, target) <= stats[a, col.S_HEAL_RANGE] + HEAL_SLOP
    if near and can_heal(bodies, stats, a, target) and bodies[a, col.ENERGY] > 0.0:
        return
    for b in range(n_agents, len(bodies)):
        if bodies[a, col.ENERGY] < LEAST_ENERGY or not can_heal(bodies, stats, a, b):
            continue
        share = bodies[b, col.HP] / stats[b, col.S_HP]
        if share < least and gap(bodies, stats, a, b) <= stats[a, col.S_HEAL_SCAN]:
            best, least = b, share
    _aim(bodies[a], float(best))


@called
def alarm(bodies, stats, wounds, rules, a, n_agents):  # type: ignore[no-untyped-def]
    """Enemy a, which was hit, targets its attacker unless `_keeps_target` is true; so do idle enemies near it."""
    attacker = int(wounds[a, 2])
    wounds[a, 2] = -1.0
    if attacker < 0 or attacker >= n_agents or bodies[attacker, col.HP] <= 0.0 or bodies[a, col.HP] <= 0.0:
        return
    free = bodies[a, col.ORDER] != col.RETURN and not _strikes(bodies[a])
    if free and can_hit(stats, a, attacker) and not _keeps_target(bodies, stats, rules, a):
        _aim(bodies[a], float(attacker))
    if bodies[a, col.CALL] > 0.0:
        return
    bodies[a, col.CALL] = HELP_LOOPS
    for b in range(n_agents, len(bodies)):
        idle = (
            bodies[b, col.HP] > 0.0
            and bodies[b, col.TARGET] < 0.0
            and bodies[b, col.ORDER] != col.RETURN
            and not _strikes(bodies[b])
        )
        if idle and can_hit(stats, b, attacker) and gap(bodies, stats, a, b) <= HELP_RADIUS:
            _aim(bodies[b], float(attacker))


@scalar
def _keeps_target(bodies, stats, rules, a):  # type: ignore[no-untyped-def]
    """Whether enemy a has a living target that it was ordered to attack, that is a threat, or in its weapon range."""
    target = int(bodies[a, col.TARGET])
    if target < 0 or bodies[target, col.HP] <= 0.0:
        return False
    if bodies[a, col.ORDER] == col.ATTACK:
        return True
    distance = gap(bodies, stats, a, target)
    return distance <= stats[a, col.S_RANGE] or threatens(bodies, stats, rules, a, target, distance)


@called
def hunt(bodies, stats, n_agents):  # type: ignore[no-untyped-def]
    """Order each enemy that has neither an order nor a target to attack the nearest agent, at any distance.

    The trigger of SMACv2's map, which the caller runs every 8 game loops. Distances are between centres; of equal ones
    the first agent counts. An order to attack a unit that the enemy's weapon cannot hit fails: an enemy with a ground
    weapon idles while the nearest agent is a medivac. Medivacs cannot attack.
    """
    for a in range(n_agents, len(bodies)):
        body, target = bodies[a], int(bodies[a, col.TARGET])
        walks = body[col.ORDER] == col.MOVE or body[col.ORDER] == col.RETURN
        busy = target >= 0 and bodies[target, col.HP] > 0.0
        if body[col.HP] <= 0.0 or walks or busy or stats[a, col.S_HEAL] > 0.0:
            continue
        nearest, least = -1, 0.0
        for b in range(n_agents):
            distance = (bodies[b, col.X] - body[col.X]) ** 2 + (bodies[b, col.Y] - body[col.Y]) ** 2
            if bodies[b, col.HP] > 0.0 and (nearest < 0 or distance < least):
                nearest, least = b, distance
        if nearest >= 0 and can_hit(stats, a, nearest):
            _aim(body, float(nearest))
            body[col.ORDER] = col.ATTACK


@scalar
def act(bodies, stats, wounds, rules, book, log, a, n_agents, want):  # type: ignore[no-untyped-def]
    """Attack, heal or request a walk: `want` becomes (1 to walk or 0, goal x, goal y). `kernel` moves units later."""
    body, target = bodies[a], int(bodies[a, col.TARGET])
    want[0] = 0.0
    if target >= 0 and bodies[target, col.HP] <= 0.0:
        run_attack(bodies, stats, wounds, book, log, a)
        if a < n_agents:
            body[col.ORDER], body[col.TARGET] = col.STOP, -1.0
        return
    if target >= 0:
        _attack_or_heal(bodies, stats, wounds, rules, book, log, a, target, want)
    elif body[col.ORDER] == col.MOVE or body[col.ORDER] == col.RETURN:
        want[0], want[1], want[2] = 1.0, body[col.GOAL_X], body[col.GOAL_Y]
        if a >= n_agents and (body[col.GOAL_X] - body[col.X]) ** 2 + (body[col.GOAL_Y] - body[col.Y]) ** 2 <= ARRIVE**2:
            body[col.ORDER], want[0] = col.STOP, 0.0
    if body[col.RECOVER] > 0.0:
        want[0] = 0.0
    if want[0] == 0.0 or stats[a, col.S_SPEED] <= 0.0:
        body[col.SPEED] = 0.0


@scalar
def _attack_or_heal(bodies, stats, wounds, rules, book, log, a, target, want):  # type: ignore[no-untyped-def]
    """Attack or heal the target if it is in range, else request a walk to it. Shoot only if the weapon is ready."""
    body = bodies[a]
    distance = gap(bodies, stats, a, target)
    if stats[a, col.S_HEAL] > 0.0:
        if distance <= stats[a, col.S_HEAL_RANGE]:
            if can_heal(bodies, stats, a, target) and body[col.ENERGY] > 1e-9 and stats[a, col.S_HEAL_COST] > 0.0:
                heal(bodies, stats, wounds, book, log, a, target)
            return
    elif body[col.WINDUP] >= 0.0 or body[col.SECOND] >= 0.0:
        if distance > stats[a, col.S_RANGE] + stats[a, col.S_SLOP]:
            cancel(body)
        else:
            run_attack(bodies, stats, wounds, book, log, a)
            return
    elif distance <= stats[a, col.S_RANGE] + 1e-9:
        if body[col.COOLDOWN] <= 0.0 and can_hit(stats, a, target) and not doomed(bodies, wounds, target):
            begin_attack(bodies, stats, rules, book, a, target)
            run_attack(bodies, stats, wounds, book, log, a)
        return
    want[0], want[1], want[2] = 1.0, bodies[target, col.X], bodies[target, col.Y]
