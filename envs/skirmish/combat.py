"""Weapons: who may hit whom, windups, second hits, shots under way, damage, splash, bursts and healing."""

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
"""Of a hit on health, whatever the armour."""
DELAY_LOW, DELAY_HIGH = -0.0625, 0.125
"""Game seconds added to each weapon period, drawn uniformly."""
SWEEP_HALF, SWEEP_RADIUS = 1.25, 0.15
"""Colossus: half the line that its beams sweep across the line of fire, and how far from it an edge is still hit."""
SWEEP_LOOPS = 3.0
"""Loops from its shot to its hits: the beams find a unit after 2.2 and hit it after 6.2, one moment stands for both."""
HEAL_SLOP, LEAST_ENERGY = 1.0, 5.0
"""How much farther than its range a heal goes on, and the energy that it takes to begin one."""


@scalar
def apart(bodies, a, b):  # type: ignore[no-untyped-def]
    """Distance between two units' centres. A square root is one instruction; `hypot` guards a range no map has."""
    dx, dy = bodies[b, X] - bodies[a, X], bodies[b, Y] - bodies[a, Y]
    return math.sqrt(dx * dx + dy * dy)


@scalar
def gap(bodies, stats, a, b):  # type: ignore[no-untyped-def]
    """Distance between the edges of two units."""
    return apart(bodies, a, b) - stats[a, S_RADIUS] - stats[b, S_RADIUS]


@scalar
def can_hit(stats, a, b):  # type: ignore[no-untyped-def]
    """Whether a's weapon reaches b's plane."""
    return stats[a, S_DMG] > 0.0 and (stats[b, S_AIR] == 0.0 or stats[a, S_HITS_AIR] > 0.0)


@scalar
def can_heal(bodies, stats, a, b):  # type: ignore[no-untyped-def]
    """Whether a may heal b: another, living, biological unit that is no structure and is hurt."""
    hurt = 0.0 < bodies[b, HP] < stats[b, S_HP]
    return a != b and hurt and stats[b, S_BIO] > 0.0 and stats[b, S_STRUCTURE] == 0.0


@scalar
def doomed(bodies, wounds, b):  # type: ignore[no-untyped-def]
    """Whether unit b is dead or will be at the end of this loop: shots that hit at once are never wasted on it."""
    return wounds[b, 0] >= bodies[b, HP]


@scalar
def note(log, book, kind, a, b, amount):  # type: ignore[no-untyped-def]
    """Add a row (loop, kind, source, target, amount) to a battle's event log; a log without rows takes none."""
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
    """One hit of a on b: shields take it unarmoured, the rest meets armour; bodies are cleared at the loop's end."""
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
    """A baneling bursts: every foe on the ground within its radius is hit, no friend is."""
    for b in range(len(bodies)):
        if (a < n_agents) == (b < n_agents) or bodies[b, HP] <= 0.0 or stats[b, S_AIR] > 0.0:
            continue
        if apart(bodies, a, b) <= stats[a, S_BURST]:
            _strike(bodies, stats, wounds, book, log, a, b)


@called
def _sweep(bodies, stats, wounds, book, log, a, n_agents):  # type: ignore[no-untyped-def]
    """A colossus's two beams sweep a line through the place it aimed at, across the line of fire: each hits a foe once.

    Who stood at that place and has left the line is missed.
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
def _land(bodies, stats, wounds, book, log, a, target):  # type: ignore[no-untyped-def]
    """What a's weapon does when its hit is due: burst, send beams or a missile on their way, or strike."""
    if stats[a, S_SUICIDE] > 0.0:
        # It bursts in `bury`, with those that were killed.
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
    """One loop of a's shot under way. It lands whatever becomes of a; on a target that died it is lost."""
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
    """An order broke off the attack: what has not hit yet never will. An attack that did not hit costs no cooldown."""
    if body[WINDUP] >= 0.0:
        body[COOLDOWN] = 0.0
    body[WINDUP] = -1.0
    body[SECOND] = -1.0
    body[RECOVER] = 0.0


@scalar
def begin_attack(bodies, stats, rules, book, a, target):  # type: ignore[no-untyped-def]
    """Start the weapon's cycle: a hit after the damage point, the next attack after period and random delay."""
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
    """Advance a running attack; hits land when their time has come. A target that dies breaks it off."""
    body, target = bodies[a], int(bodies[a, TARGET])
    if target < 0 or doomed(bodies, wounds, target):
        # What has hit swings back; what has not is broken off.
        left = body[RECOVER] if body[WINDUP] < 0.0 else 0.0
        cancel(body)
        body[RECOVER] = left
        return
    if body[WINDUP] >= 0.0:
        if body[WINDUP] < 1e-9:
            body[WINDUP] = -1.0
            _land(bodies, stats, wounds, book, log, a, target)
        else:
            body[WINDUP] = max(0.0, body[WINDUP] - 1.0)
    if body[SECOND] >= 0.0:
        if body[SECOND] < 1e-9:
            body[SECOND] = -1.0
            _land(bodies, stats, wounds, book, log, a, target)
        else:
            body[SECOND] = max(0.0, body[SECOND] - 1.0)


@called
def heal(bodies, stats, wounds, book, log, a, target):  # type: ignore[no-untyped-def]
    """One loop of healing, paid with energy."""
    missing = stats[target, S_HP] - bodies[target, HP]
    amount = min(stats[a, S_HEAL] / LOOPS_PER_SECOND, missing, bodies[a, ENERGY] / stats[a, S_HEAL_COST])
    bodies[a, ENERGY] -= amount * stats[a, S_HEAL_COST]
    wounds[target, 0] -= amount
    note(log, book, HEAL, a, target, amount)


@scalar
def bury(bodies, stats, wounds, book, log, n_agents):  # type: ignore[no-untyped-def]
    """Apply the loop's wounds; banelings that die burst, and what that kills dies in the same loop too."""
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
