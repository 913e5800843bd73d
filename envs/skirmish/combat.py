"""Weapons: valid targets, windups, second hits, missiles, damage, splash, bursts and healing.

Row u of `wounds` (U, 4) collects the effects on unit u in a loop: 0 health lost, 1 shield lost, 2 first attacker (-1:
none), 3 not used. `bury` applies the damage at the end of the loop.
"""

import math

import numpy as np

from mawm.envs.skirmish import rules as named
from mawm.envs.skirmish.compiled import called, scalar
from mawm.envs.skirmish.layout import (
    COOLDOWN,
    ENERGY,
    FACE_X,
    FACE_Y,
    FLIGHT,
    FLIGHT_TO,
    FLIGHT_X,
    FLIGHT_Y,
    FLYING,
    HP,
    LOOPS,
    QUIET,
    RECOVER,
    S_AIR,
    S_ARMOR,
    S_ATTR,
    S_BACKSWING,
    S_BIO,
    S_BONUS,
    S_BURST,
    S_DMG,
    S_HEAL,
    S_HEAL_COST,
    S_HITS,
    S_HITS_AIR,
    S_HP,
    S_MELEE,
    S_MELEE_PERIOD,
    S_MELEE_POINT,
    S_MISSILE,
    S_PERIOD,
    S_POINT,
    S_RADIUS,
    S_SECOND,
    S_STRUCTURE,
    S_STRUCTURE_DMG,
    S_SUICIDE,
    S_SWEEP,
    SECOND,
    SHIELD,
    TARGET,
    WINDUP,
    X,
    Y,
)
from mawm.envs.skirmish.rng import uniform

LOOPS_PER_SECOND = 16.0
BACKSWING, CARRY = named.INDEX["backswing"], named.INDEX["carry_cooldown"]
LEAST_TURN = named.INDEX["least_turn"]
HIT, HEAL = 0.0, 1.0
# Facts of the game's data, the same in all versions.
LEAST_DAMAGE = 0.5
"""Smallest damage of a hit to health, for any armour."""
DELAY_LOW, DELAY_HIGH = -0.0625, 0.125
"""Game seconds added to each weapon period, drawn uniformly."""
SWEEP_HALF, SWEEP_RADIUS = 1.25, 0.15
"""Cells; colossus: half the length of the line that its beams sweep, across the line of fire, and the distance
from this line within which a unit's edge is hit."""
SWEEP_LOOPS = 3.0
"""Loops from a colossus's shot to its hits. In the data beams select units after 2.2 loops and hit after 6.2; here both
happen at one time."""
HEAL_SLOP, LEAST_ENERGY = 1.0, 5.0
"""Cells beyond heal range at which a running heal continues; energy points needed to begin a heal."""


@scalar
def apart(bodies, a, b):  # type: ignore[no-untyped-def]
    """Distance between two units' centres, in cells. `math.hypot` would be slower, because it prevents overflow."""
    dx, dy = bodies[b, X] - bodies[a, X], bodies[b, Y] - bodies[a, Y]
    return math.sqrt(dx * dx + dy * dy)


@scalar
def gap(bodies, stats, a, b):  # type: ignore[no-untyped-def]
    """Distance between the edges of two units, in cells; negative if they overlap."""
    return apart(bodies, a, b) - stats[a, S_RADIUS] - stats[b, S_RADIUS]


@scalar
def can_hit(stats, a, b):  # type: ignore[no-untyped-def]
    """Whether a has a weapon that can attack b's plane (ground or air), at any distance."""
    return stats[a, S_DMG] > 0.0 and (stats[b, S_AIR] == 0.0 or stats[a, S_HITS_AIR] > 0.0)


@scalar
def can_heal(bodies, stats, a, b):  # type: ignore[no-untyped-def]
    """Whether a may heal b: another, living, biological unit that is no structure and is hurt."""
    hurt = 0.0 < bodies[b, HP] < stats[b, S_HP]
    return a != b and hurt and stats[b, S_BIO] > 0.0 and stats[b, S_STRUCTURE] == 0.0


@scalar
def doomed(bodies, wounds, b):  # type: ignore[no-untyped-def]
    """Whether unit b is dead, or hits of this loop already kill it. It does not act, and no unit shoots at it."""
    return wounds[b, 0] >= bodies[b, HP]


@scalar
def note(log, book, kind, a, b, amount):  # type: ignore[no-untyped-def]
    """Add a row (loop, kind, source, target, amount) to a battle's event log; a log without rows ignores it."""
    if log.shape[0] < 2:
        return
    n = int(log[0, 0])
    if n + 1 < log.shape[0]:
        log[n + 1, 0], log[n + 1, 1], log[n + 1, 2], log[n + 1, 3], log[n + 1, 4] = book[LOOPS], kind, a, b, amount
        log[0, 0] = n + 1


@scalar
def damage_to(stats, a, b):  # type: ignore[no-untyped-def]
    """Damage of one hit of a on b before armour: base and bonus against b's attributes, or the value for structures."""
    if stats[b, S_STRUCTURE] > 0.0 and stats[a, S_STRUCTURE_DMG] > 0.0:
        return stats[a, S_STRUCTURE_DMG]
    amount = stats[a, S_DMG]
    for k in range(6):
        amount += stats[a, S_BONUS + k] * stats[b, S_ATTR + k]
    return amount


@scalar
def _strike(bodies, stats, wounds, book, log, a, b):  # type: ignore[no-untyped-def]
    """Record one hit of a on b in `wounds`: armour reduces only the part that reaches health."""
    amount = damage_to(stats, a, b)
    shield = bodies[b, SHIELD] - wounds[b, 1]
    if amount <= shield:
        wounds[b, 1] += amount
    else:
        wounds[b, 1] += shield
        wounds[b, 0] += max(LEAST_DAMAGE, amount - shield - stats[b, S_ARMOR])
    if wounds[b, 2] < 0.0:
        wounds[b, 2] = a
    note(log, book, HIT, a, b, amount)


@called
def _burst(bodies, stats, wounds, book, log, a, n_agents):  # type: ignore[no-untyped-def]
    """Baneling a bursts and hits every hostile ground unit whose centre is within its burst radius."""
    for b in range(len(bodies)):
        if (a < n_agents) == (b < n_agents) or bodies[b, HP] <= 0.0 or stats[b, S_AIR] > 0.0:
            continue
        if apart(bodies, a, b) <= stats[a, S_BURST]:
            _strike(bodies, stats, wounds, book, log, a, b)


@called
def _sweep(bodies, stats, wounds, book, log, a, n_agents):  # type: ignore[no-untyped-def]
    """Two beams of colossus a sweep a line through the aimed position, perpendicular to the line of fire.

    Each beam hits every hostile ground unit on that line once. A target that has left the line is missed.
    """
    at_x, at_y = bodies[a, FLIGHT_X], bodies[a, FLIGHT_Y]
    dx, dy = at_x - bodies[a, X], at_y - bodies[a, Y]
    distance = max(1e-6, math.hypot(dx, dy))
    across_x, across_y = -dy / distance, dx / distance
    for b in range(len(bodies)):
        if (a < n_agents) == (b < n_agents) or bodies[b, HP] <= 0.0 or stats[b, S_AIR] > 0.0:
            continue
        rx, ry = bodies[b, X] - at_x, bodies[b, Y] - at_y
        along = min(max(rx * across_x + ry * across_y, -SWEEP_HALF), SWEEP_HALF)
        if math.hypot(rx - along * across_x, ry - along * across_y) <= SWEEP_RADIUS + stats[b, S_RADIUS]:
            for _ in range(int(stats[a, S_HITS])):
                _strike(bodies, stats, wounds, book, log, a, b)


@scalar
def _fire(bodies, stats, wounds, book, log, a, target):  # type: ignore[no-untyped-def]
    """Fire a's weapon at the end of its windup: burst, launch beams or a missile, or hit at once."""
    if stats[a, S_SUICIDE] > 0.0:
        # `bury` makes it burst, as it does for banelings that are killed.
        wounds[a, 0] = bodies[a, HP]
    elif stats[a, S_SWEEP] > 0.0:
        book[FLYING] += np.uint64(1)
        bodies[a, FLIGHT], bodies[a, FLIGHT_TO] = SWEEP_LOOPS, target
        bodies[a, FLIGHT_X], bodies[a, FLIGHT_Y] = bodies[target, X], bodies[target, Y]
    elif stats[a, S_MISSILE] > 0.0 and gap(bodies, stats, a, target) > stats[a, S_MELEE]:
        book[FLYING] += np.uint64(1)
        bodies[a, FLIGHT] = max(1.0, gap(bodies, stats, a, target) / stats[a, S_MISSILE])
        bodies[a, FLIGHT_TO] = target
    else:
        _strike(bodies, stats, wounds, book, log, a, target)


@called
def fly(bodies, stats, wounds, book, log, a, n_agents):  # type: ignore[no-untyped-def]
    """Advance a's missile or beams by one loop. They hit even if a is dead; a missile at a dead target is lost."""
    bodies[a, FLIGHT] -= 1.0
    if bodies[a, FLIGHT] > 0.0:
        return
    book[FLYING] -= np.uint64(1)
    target = int(bodies[a, FLIGHT_TO])
    if stats[a, S_SWEEP] > 0.0:
        _sweep(bodies, stats, wounds, book, log, a, n_agents)
    elif bodies[target, HP] > 0.0:
        _strike(bodies, stats, wounds, book, log, a, target)


@scalar
def cancel(body):  # type: ignore[no-untyped-def]
    """Cancel a running attack: its remaining hits are lost. Before the first hit, the cooldown is reset to 0."""
    if body[WINDUP] >= 0.0:
        body[COOLDOWN] = 0.0
    body[WINDUP] = -1.0
    body[SECOND] = -1.0
    body[RECOVER] = 0.0


@scalar
def begin_attack(bodies, stats, rules, book, a, target):  # type: ignore[no-untyped-def]
    """Start an attack: it hits after the damage point; the cooldown is the weapon's period plus a random delay."""
    body, stat = bodies[a], stats[a]
    point, period = stat[S_POINT], stat[S_PERIOD]
    if stat[S_MELEE] > 0.0 and gap(bodies, stats, a, target) <= stat[S_MELEE]:
        point, period = stat[S_MELEE_POINT], stat[S_MELEE_PERIOD]
    delay = DELAY_LOW + (DELAY_HIGH - DELAY_LOW) * uniform(book)
    carried = body[COOLDOWN] if rules[CARRY] > 0.0 else 0.0
    body[COOLDOWN] = (period + delay) * LOOPS_PER_SECOND + carried
    if rules[LEAST_TURN] > 0.0:
        far = max(1e-6, apart(bodies, a, target))
        body[FACE_X], body[FACE_Y] = (bodies[target, X] - body[X]) / far, (bodies[target, Y] - body[Y]) / far
    body[WINDUP] = point * LOOPS_PER_SECOND
    body[SECOND] = body[WINDUP] + stat[S_SECOND] * LOOPS_PER_SECOND if stat[S_SECOND] > 0.0 else -1.0
    body[RECOVER] = rules[BACKSWING] * (body[WINDUP] + stat[S_BACKSWING] * LOOPS_PER_SECOND)


@scalar
def run_attack(bodies, stats, wounds, book, log, a):  # type: ignore[no-untyped-def]
    """Advance a running attack by one loop and fire at the end of its windup. The death of its target cancels it."""
    body, target = bodies[a], int(bodies[a, TARGET])
    if target < 0 or doomed(bodies, wounds, target):
        # After a hit the backswing continues. Before the first hit there is no backswing.
        left = body[RECOVER] if body[WINDUP] < 0.0 else 0.0
        cancel(body)
        body[RECOVER] = left
        return
    if body[WINDUP] >= 0.0:
        if body[WINDUP] < 1e-9:
            body[WINDUP] = -1.0
            _fire(bodies, stats, wounds, book, log, a, target)
        else:
            body[WINDUP] = max(0.0, body[WINDUP] - 1.0)
    if body[SECOND] >= 0.0:
        if body[SECOND] < 1e-9:
            body[SECOND] = -1.0
            _fire(bodies, stats, wounds, book, log, a, target)
        else:
            body[SECOND] = max(0.0, body[SECOND] - 1.0)


@called
def heal(bodies, stats, wounds, book, log, a, target):  # type: ignore[no-untyped-def]
    """Heal for one loop, at the cost of energy, as negative damage in `wounds`."""
    missing = stats[target, S_HP] - bodies[target, HP]
    amount = min(stats[a, S_HEAL] / LOOPS_PER_SECOND, missing, bodies[a, ENERGY] / stats[a, S_HEAL_COST])
    bodies[a, ENERGY] -= amount * stats[a, S_HEAL_COST]
    wounds[target, 0] -= amount
    note(log, book, HEAL, a, target, amount)


@scalar
def bury(bodies, stats, wounds, book, log, n_agents):  # type: ignore[no-untyped-def]
    """Apply the damage in `wounds`. Banelings that die burst; repeat until no burst kills another baneling."""
    again = True
    while again:
        again = False
        for b in range(len(bodies)):
            body = bodies[b]
            hurt, shield_lost = wounds[b, 0], wounds[b, 1]
            if body[HP] <= 0.0 or (hurt == 0.0 and shield_lost == 0.0):
                continue
            wounds[b, 0], wounds[b, 1] = 0.0, 0.0
            if hurt > 0.0 or shield_lost > 0.0:
                body[QUIET] = 0.0
            body[SHIELD] = max(0.0, body[SHIELD] - shield_lost)
            body[HP] = min(stats[b, S_HP], body[HP] - hurt)
            if body[HP] > 1e-9:
                continue
            body[HP] = 0.0
            if stats[b, S_SUICIDE] > 0.0:
                _burst(bodies, stats, wounds, book, log, b, n_agents)
                again = True
