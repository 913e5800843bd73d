"""What units do in one loop: carry out the agents' orders, and on the other side acquire, chase, retaliate and call."""

from mawm.envs.skirmish import rules as named
from mawm.envs.skirmish.combat import begin_attack, can_heal, can_hit, cancel, gap, heal, run_attack
from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.layout import (
    ATTACK,
    CALL,
    COOLDOWN,
    ENERGY,
    GOAL_X,
    GOAL_Y,
    HOME_X,
    HOME_Y,
    HP,
    MOVE,
    ORDER,
    RECOVER,
    S_HEAL,
    S_HEAL_COST,
    S_HEAL_RANGE,
    S_HEAL_SCAN,
    S_RANGE,
    S_SLOP,
    S_SPEED,
    SECOND,
    SPEED,
    STOP,
    TARGET,
    WINDUP,
    X,
    Y,
)

MOVE_AMOUNT = 2.0
NO_ATTACK_ACTIONS = 6
SCAN, SCAN_RANGE = named.INDEX["min_scan_range"], named.INDEX["scan_uses_weapon_range"]
SWITCH, LEASH, RESUME = named.INDEX["switch_targets"], named.INDEX["leash"], named.INDEX["resume_after_chase"]
ARRIVE, HEAL_LOWEST = named.INDEX["arrive_radius"], named.INDEX["heal_lowest"]
HELP_RADIUS, HELP_PERIOD = named.INDEX["help_radius"], named.INDEX["help_period"]


@scalar
def give_order(body, stat, action, n_agents):  # type: ignore[no-untyped-def]
    """An agent's action as an order. Orders replace; the order to go on attacking the same target changes nothing."""
    if action >= NO_ATTACK_ACTIONS:
        target = float(action - NO_ATTACK_ACTIONS + (0 if stat[S_HEAL] > 0.0 else n_agents))
        if body[ORDER] != ATTACK or body[TARGET] != target:
            cancel(body)
        body[ORDER], body[TARGET] = ATTACK, target
        return
    cancel(body)
    body[TARGET] = -1.0
    body[ORDER] = MOVE if action >= 2 else STOP
    body[GOAL_X] = body[X] + (MOVE_AMOUNT if action == 4 else 0.0) - (MOVE_AMOUNT if action == 5 else 0.0)
    body[GOAL_Y] = body[Y] + (MOVE_AMOUNT if action == 2 else 0.0) - (MOVE_AMOUNT if action == 3 else 0.0)


@scalar
def _nearest_foe(bodies, stats, rules, a, n_agents):  # type: ignore[no-untyped-def]
    """The nearest ally that enemy a may hit within its scan range, edge to edge; -1 if there is none."""
    reach = rules[SCAN]
    if rules[SCAN_RANGE] > 0.0:
        reach = max(reach, stats[a, S_RANGE])
    best, found = reach, -1
    for b in range(n_agents):
        if bodies[b, HP] <= 0.0 or not can_hit(stats, a, b):
            continue
        distance = gap(bodies, stats, a, b)
        if distance < best or (found < 0 and distance <= best):
            best, found = distance, b
    return found


@scalar
def _hurt_friend(bodies, stats, rules, a, n_agents):  # type: ignore[no-untyped-def]
    """Whom enemy healer a heals within its scan range: the nearest hurt friend, or the one with the least health."""
    best, found = 1e9, -1
    if bodies[a, ENERGY] <= 0.0:
        return found
    for b in range(n_agents, len(bodies)):
        if not can_heal(bodies, stats, a, b) or gap(bodies, stats, a, b) > stats[a, S_HEAL_SCAN]:
            continue
        value = bodies[b, HP] if rules[HEAL_LOWEST] > 0.0 else gap(bodies, stats, a, b)
        if value < best:
            best, found = value, b
    return found


@scalar
def _aim(body, target):  # type: ignore[no-untyped-def]
    """Turn an enemy to a target; -1 drops the one it has."""
    if body[TARGET] == target:
        return
    if body[TARGET] < 0.0:
        body[HOME_X], body[HOME_Y] = body[X], body[Y]
    cancel(body)
    body[TARGET] = target


@scalar
def think(bodies, stats, rules, a, n_agents):  # type: ignore[no-untyped-def]
    """An enemy's choice of target: keep it while in range, else the nearest in scan range, else chase to the leash."""
    body = bodies[a]
    if body[WINDUP] >= 0.0 or body[SECOND] >= 0.0 or body[RECOVER] > 0.0:
        return
    if stats[a, S_HEAL] > 0.0:
        _aim(body, float(_hurt_friend(bodies, stats, rules, a, n_agents)))
        return
    target = int(body[TARGET])
    if target >= 0 and bodies[target, HP] > 0.0:
        if gap(bodies, stats, a, target) <= stats[a, S_RANGE]:
            return
        far = (body[X] - body[HOME_X]) ** 2 + (body[Y] - body[HOME_Y]) ** 2 > rules[LEASH] ** 2
        other = _nearest_foe(bodies, stats, rules, a, n_agents) if rules[SWITCH] > 0.0 or far else -1
        if other >= 0:
            _aim(body, float(other))
        elif far:
            _lose(body, rules)
        return
    other = _nearest_foe(bodies, stats, rules, a, n_agents)
    if other >= 0:
        _aim(body, float(other))
    elif target >= 0:
        _lose(body, rules)


@scalar
def _lose(body, rules):  # type: ignore[no-untyped-def]
    _aim(body, -1.0)
    if rules[RESUME] == 0.0:
        body[ORDER] = STOP


@scalar
def alarm(bodies, stats, wounds, rules, a, n_agents):  # type: ignore[no-untyped-def]
    """An enemy that was hit retaliates if it has no target, and calls idle friends nearby to do the same."""
    attacker = int(wounds[a, 2])
    wounds[a, 2] = -1.0
    if attacker < 0 or attacker >= n_agents or bodies[attacker, HP] <= 0.0 or bodies[a, HP] <= 0.0:
        return
    if bodies[a, TARGET] < 0.0 and can_hit(stats, a, attacker):
        _aim(bodies[a], float(attacker))
    if bodies[a, CALL] > 0.0:
        return
    bodies[a, CALL] = rules[HELP_PERIOD] * 16.0
    for b in range(n_agents, len(bodies)):
        dx, dy = bodies[b, X] - bodies[a, X], bodies[b, Y] - bodies[a, Y]
        near = dx * dx + dy * dy <= rules[HELP_RADIUS] ** 2
        if near and bodies[b, HP] > 0.0 and bodies[b, TARGET] < 0.0 and can_hit(stats, b, attacker):
            _aim(bodies[b], float(attacker))


@scalar
def act(bodies, stats, wounds, rules, book, log, a, n_agents, want):  # type: ignore[no-untyped-def]
    """Attack, heal or decide to walk: `want` gets (walks, goal x, goal y). Nobody has moved yet in this loop."""
    body, target = bodies[a], int(bodies[a, TARGET])
    want[0] = 0.0
    if target >= 0 and bodies[target, HP] <= 0.0:
        run_attack(bodies, stats, wounds, rules, book, log, a, n_agents)
        if a < n_agents:
            body[ORDER], body[TARGET] = STOP, -1.0
        return
    if target >= 0:
        _engage(bodies, stats, wounds, rules, book, log, a, target, n_agents, want)
    elif body[ORDER] == MOVE:
        want[0], want[1], want[2] = 1.0, body[GOAL_X], body[GOAL_Y]
        if a >= n_agents and (body[GOAL_X] - body[X]) ** 2 + (body[GOAL_Y] - body[Y]) ** 2 <= rules[ARRIVE] ** 2:
            body[ORDER], want[0] = STOP, 0.0
    if body[RECOVER] > 0.0:
        want[0] = 0.0
    if want[0] == 0.0 or stats[a, S_SPEED] <= 0.0:
        body[SPEED] = 0.0


@scalar
def _engage(bodies, stats, wounds, rules, book, log, a, target, n_agents, want):  # type: ignore[no-untyped-def]
    body = bodies[a]
    distance = gap(bodies, stats, a, target)
    if stats[a, S_HEAL] > 0.0:
        if distance <= stats[a, S_HEAL_RANGE]:
            if can_heal(bodies, stats, a, target) and body[ENERGY] > 1e-9 and stats[a, S_HEAL_COST] > 0.0:
                heal(bodies, stats, wounds, book, log, a, target)
            return
    elif body[WINDUP] >= 0.0 or body[SECOND] >= 0.0:
        if distance > stats[a, S_RANGE] + stats[a, S_SLOP]:
            cancel(body)
        else:
            run_attack(bodies, stats, wounds, rules, book, log, a, n_agents)
            return
    elif distance <= stats[a, S_RANGE] + 1e-9:
        if body[COOLDOWN] <= 0.0 and can_hit(stats, a, target):
            begin_attack(bodies, stats, rules, book, a, target)
            run_attack(bodies, stats, wounds, rules, book, log, a, n_agents)
        return
    want[0], want[1], want[2] = 1.0, bodies[target, X], bodies[target, Y]
