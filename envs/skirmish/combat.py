"""Weapons: valid targets, windups, second hits, missiles, damage, splash, bursts and healing.

Row u of `wounds` (U, 4) collects the effects on unit u in a loop: 0 health lost, 1 shield lost, 2 first attacker (-1:
none), 3 not used. `bury` applies the damage at the end of the loop.
"""

import math

import numpy as np

from mawm.envs.skirmish import layout as col
from mawm.envs.skirmish import rules as named
from mawm.envs.skirmish.compiled import called, scalar
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
    dx, dy = bodies[b, col.X] - bodies[a, col.X], bodies[b, col.Y] - bodies[a, col.Y]
    return math.sqrt(dx * dx + dy * dy)


@scalar
def gap(bodies, stats, a, b):  # type: ignore[no-untyped-def]
    """Distance between the edges of two units, in cells; negative if they overlap."""
    return apart(bodies, a, b) - stats[a, col.S_RADIUS] - stats[b, col.S_RADIUS]


@scalar
def can_hit(stats, a, b):  # type: ignore[no-untyped-def]
    """Whether a has a weapon that can attack b's plane (ground or air), at any distance."""
    return stats[a, col.S_DMG] > 0.0 and (stats[b, col.S_AIR] == 0.0 or stats[a, col.S_HITS_AIR] > 0.0)


@scalar
def can_heal(bodies, stats, a, b):  # type: ignore[no-untyped-def]
    """Whether a may heal b: another, living, biological unit that is no structure and is hurt."""
    hurt = 0.0 < bodies[b, col.HP] < stats[b, col.S_HP]
    return a != b and hurt and stats[b, col.S_BIO] > 0.0 and stats[b, col.S_STRUCTURE] == 0.0


@scalar
def doomed(bodies, wounds, b):  # type: ignore[no-untyped-def]
    """Whether unit b is dead, or hits of this loop already kill it. It does not act, and no unit shoots at it."""
    return wounds[b, 0] >= bodies[b, col.HP]


@scalar
def note(log, book, kind, a, b, amount):  # type: ignore[no-untyped-def]
    """Add a row (loop, kind, source, target, amount) to a battle's event log; a log without rows ignores it."""
    if log.shape[0] < 2:
        return
    n = int(log[0, 0])
    if n + 1 < log.shape[0]:
        log[n + 1, 0], log[n + 1, 1], log[n + 1, 2], log[n + 1, 3], log[n + 1, 4] = book[col.LOOPS], kind, a, b, amount
        log[0, 0] = n + 1


@scalar
def damage_to(stats, a, b):  # type: ignore[no-untyped-def]
    """Damage of one hit of a on b before armour: base and bonus against b's attributes, or the value for structures."""
    if stats[b, col.S_STRUCTURE] > 0.0 and stats[a, col.S_STRUCTURE_DMG] > 0.0:
        return stats[a, col.S_STRUCTURE_DMG]
    amount = stats[a, col.S_DMG]
    for k in range(6):
        amount += stats[a, col.S_BONUS + k] * stats[b, col.S_ATTR + k]
    return amount


@scalar
def _strike(bodies, stats, wounds, book, log, a, b):  # type: ignore[no-untyped-def]
    """Record one hit of a on b in `wounds`: armour reduces only the part that reaches health."""
    amount = damage_to(stats, a, b)
    shield = bodies[b, col.SHIELD] - wounds[b, 1]
    if amount <= shield:
        wounds[b, 1] += amount
    else:
        wounds[b, 1] += shield
        wounds[b, 0] += max(LEAST_DAMAGE, amount - shield - stats[b, col.S_ARMOR])
    if wounds[b, 2] < 0.0:
        wounds[b, 2] = a
    note(log, book, HIT, a, b, amount)


@called
def _burst(bodies, stats, wounds, book, log, a, n_agents):  # type: ignore[no-untyped-def]
    """Baneling a bursts and hits every hostile ground unit whose centre is within its burst radius."""
    for b in range(len(bodies)):
        if (a < n_agents) == (b < n_agents) or bodies[b, col.HP] <= 0.0 or stats[b, col.S_AIR] > 0.0:
            continue
        if apart(bodies, a, b) <= stats[a, col.S_BURST]:
            _strike(bodies, stats, wounds, book, log, a, b)


@called
def _sweep(bodies, stats, wounds, book, log, a, n_agents):  # type: ignore[no-untyped-def]
    """Two beams of colossus a sweep a line through the aimed position, perpendicular to the line of fire.

    Each beam hits every hostile ground unit on that line once. A target that has left the line is missed.
    """
    at_x, at_y = bodies[a, col.FLIGHT_X], bodies[a, col.FLIGHT_Y]
    dx, dy = at_x - bodies[a, col.X], at_y - bodies[a, col.Y]
    distance = max(1e-6, math.hypot(dx, dy))
    across_x, across_y = -dy / distance, dx / distance
    for b in range(len(bodies)):
        if (a < n_agents) == (b < n_agents) or bodies[b, col.HP] <= 0.0 or stats[b, col.S_AIR] > 0.0:
            continue
        rx, ry = bodies[b, col.X] - at_x, bodies[b, col.Y] - at_y
        along = min(max(rx * across_x + ry * across_y, -SWEEP_HALF), SWEEP_HALF)
        if math.hypot(rx - along * across_x, ry - along * across_y) <= SWEEP_RADIUS + stats[b, col.S_RADIUS]:
            for _ in range(int(stats[a, col.S_HITS])):
                _strike(bodies, stats, wounds, book, log, a, b)


@scalar
def _fire(bodies, stats, wounds, book, log, a, target):  # type: ignore[no-untyped-def]
    """Fire a's weapon at the end of its windup: burst, launch beams or a missile, or hit at once."""
    if stats[a, col.S_SUICIDE] > 0.0:
        # `bury` makes it burst, as it does for banelings that are killed.
        wounds[a, 0] = bodies[a, col.HP]
    elif stats[a, col.S_SWEEP] > 0.0:
        book[col.FLYING] += np.uint64(1)
        bodies[a, col.FLIGHT], bodies[a, col.FLIGHT_TO] = SWEEP_LOOPS, target
        bodies[a, col.FLIGHT_X], bodies[a, col.FLIGHT_Y] = bodies[target, col.X], bodies[target, col.Y]
    elif stats[a, col.S_MISSILE] > 0.0 and gap(bodies, stats, a, target) > stats[a, col.S_MELEE]:
        book[col.FLYING] += np.uint64(1)
        bodies[a, col.FLIGHT] = max(1.0, gap(bodies, stats, a, target) / stats[a, col.S_MISSILE])
        bodies[a, col.FLIGHT_TO] = target
    else:
        _strike(bodies, stats, wounds, book, log, a, target)


@called
def fly(bodies, stats, wounds, book, log, a, n_agents):  # type: ignore[no-untyped-def]
    """Advance a's missile or beams by one loop. They hit even if a is dead; a missile at a dead target is lost."""
    bodies[a, col.FLIGHT] -= 1.0
    if bodies[a, col.FLIGHT] > 0.0:
        return
    book[col.FLYING] -= np.uint64(1)
    target = int(bodies[a, col.FLIGHT_TO])
    if stats[a, col.S_SWEEP] > 0.0:
        _sweep(bodies, stats, wounds, book, log, a, n_agents)
    elif bodies[target, col.HP] > 0.0:
        _strike(bodies, stats, wounds, book, log, a, target)


@scalar
def cancel(body):  # type: ignore[no-untyped-def]
    """Cancel a running attack: its remaining hits are lost. Before the first hit, the cooldown is reset to 0."""
    if body[col.WINDUP] >= 0.0:
        body[col.COOLDOWN] = 0.0
    body[col.WINDUP] = -1.0
    body[col.SECOND] = -1.0
    body[col.RECOVER] = 0.0


@scalar
def begin_attack(bodies, stats, rules, book, a, target):  # type: ignore[no-untyped-def]
    """Start an attack: it hits after the damage point; the cooldown is the weapon's period plus a random delay."""
    body, stat = bodies[a], stats[a]
    point, period = stat[col.S_POINT], stat[col.S_PERIOD]
    if stat[col.S_MELEE] > 0.0 and gap(bodies, stats, a, target) <= stat[col.S_MELEE]:
        point, period = stat[col.S_MELEE_POINT], stat[col.S_MELEE_PERIOD]
    delay = DELAY_LOW + (DELAY_HIGH - DELAY_LOW) * uniform(book)
    carried = body[col.COOLDOWN] if rules[CARRY] > 0.0 else 0.0
    body[col.COOLDOWN] = (period + delay) * LOOPS_PER_SECOND + carried
    if rules[LEAST_TURN] > 0.0:
        far = max(1e-6, apart(bodies, a, target))
        body[col.FACE_X] = (bodies[target, col.X] - body[col.X]) / far
        body[col.FACE_Y] = (bodies[target, col.Y] - body[col.Y]) / far
    body[col.WINDUP] = point * LOOPS_PER_SECOND
    body[col.SECOND] = body[col.WINDUP] + stat[col.S_SECOND] * LOOPS_PER_SECOND if stat[col.S_SECOND] > 0.0 else -1.0
    body[col.RECOVER] = rules[BACKSWING] * (body[col.WINDUP] + stat[col.S_BACKSWING] * LOOPS_PER_SECOND)


@scalar
def run_attack(bodies, stats, wounds, book, log, a):  # type: ignore[no-untyped-def]
    """Advance a running attack by one loop and fire at the end of its windup. The death of its target cancels it."""
    body, target = bodies[a], int(bodies[a, col.TARGET])
    if target < 0 or doomed(bodies, wounds, target):
        # After a hit the backswing continues. Before the first hit there is no backswing.
        left = body[col.RECOVER] if body[col.WINDUP] < 0.0 else 0.0
        cancel(body)
        body[col.RECOVER] = left
        return
    for hit in (col.WINDUP, col.SECOND):
        if body[hit] >= 0.0:
            if body[hit] < 1e-9:
                body[hit] = -1.0
                _fire(bodies, stats, wounds, book, log, a, target)
            else:
                body[hit] = max(0.0, body[hit] - 1.0)


@called
def heal(bodies, stats, wounds, book, log, a, target):  # type: ignore[no-untyped-def]
    """Heal for one loop, at the cost of energy, as negative damage in `wounds`."""
    missing = stats[target, col.S_HP] - bodies[target, col.HP]
    amount = min(stats[a, col.S_HEAL] / LOOPS_PER_SECOND, missing, bodies[a, col.ENERGY] / stats[a, col.S_HEAL_COST])
    bodies[a, col.ENERGY] -= amount * stats[a, col.S_HEAL_COST]
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
            if body[col.HP] <= 0.0 or (hurt == 0.0 and shield_lost == 0.0):
                continue
            wounds[b, 0], wounds[b, 1] = 0.0, 0.0
            if hurt > 0.0 or shield_lost > 0.0:
                body[col.QUIET] = 0.0
            body[col.SHIELD] = max(0.0, body[col.SHIELD] - shield_lost)
            body[col.HP] = min(stats[b, col.S_HP], body[col.HP] - hurt)
            if body[col.HP] > 1e-9:
                continue
            body[col.HP] = 0.0
            if stats[b, col.S_SUICIDE] > 0.0:
                _burst(bodies, stats, wounds, book, log, b, n_agents)
                again = True
