"""The battle engine. One compiled call plays a step (8 game loops) of B battles; 16 game loops are one game second."""

import numpy as np

from mawm.envs.skirmish import layout as col
from mawm.envs.skirmish import rules as named
from mawm.envs.skirmish.behaviour import act, alarm, give_order, hunt, think
from mawm.envs.skirmish.combat import bury, doomed, fly
from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.contract import WON, may, settle, write_views
from mawm.envs.skirmish.movement import separate, step_towards, turn, walkable
from mawm.envs.skirmish.rng import battle_key, coin, uniform

LOOPS_PER_STEP = 8
LEAST_TURN = named.INDEX["least_turn"]
JITTER = named.INDEX["spawn_jitter"]
SHIELD_DELAY, SHIELD_REGEN = 160.0, 0.125
"""Facts of the game's data: loops without damage before shields recover; shield points recovered a loop."""


@scalar
def clear_book(book, seed, battle):  # type: ignore[no-untyped-def]
    """Begin the book of battle number `battle`. All its random numbers depend only on (seed, battle)."""
    book[:] = np.uint64(0)
    book[col.KEY], book[col.BATTLE] = battle_key(seed, battle), battle


@scalar
def stand(body, stat, x, y, is_ally):  # type: ignore[no-untyped-def]
    """Put a new unit at (x, y)."""
    body[:] = 0.0
    body[col.X], body[col.Y] = x, y
    body[col.HP], body[col.SHIELD], body[col.ENERGY] = stat[col.S_HP], stat[col.S_SHIELD], stat[col.S_ENERGY]
    body[col.WINDUP], body[col.SECOND], body[col.TARGET] = -1.0, -1.0, -1.0
    body[col.QUIET], body[col.ORDER] = 1e9, col.STOP
    body[col.FACE_X] = 1.0 if is_ally else -1.0


@scalar
def spawn(c, stats, rules, grounds, spawns, attack, seed, battle, bodies, book):  # type: ignore[no-untyped-def]
    """Set up battle number `battle` in one row (`clear_book`)."""
    clear_book(book, seed, battle)
    for u in range(len(bodies)):
        body = bodies[u]
        stand(body, stats[u], spawns[u, 0], spawns[u, 1], u < c.n_agents)
        if rules[JITTER] > 0.0:
            x = spawns[u, 0] + (2.0 * uniform(book) - 1.0) * rules[JITTER]
            y = spawns[u, 1] + (2.0 * uniform(book) - 1.0) * rules[JITTER]
            inside = 0.0 <= x < c.grid.shape[0] and 0.0 <= y < c.grid.shape[1]
            if inside and (stats[u, col.S_AIR] > 0.0 or walkable(grounds[int(stats[u, col.S_CLIFFS])], x, y)):
                body[col.X], body[col.Y] = x, y
    if attack[0, 0] >= 0.0:
        share = uniform(book) if attack[0, 0] != attack[1, 0] or attack[0, 1] != attack[1, 1] else 0.0
        for u in range(c.n_agents, len(bodies)):
            if stats[u, col.S_HEAL] > 0.0:
                continue  # a medivac has no attack ability, so it ignores the attack-move
            bodies[u, col.ORDER] = col.MOVE
            bodies[u, col.GOAL_X] = attack[0, 0] + (attack[1, 0] - attack[0, 0]) * share
            bodies[u, col.GOAL_Y] = attack[0, 1] + (attack[1, 1] - attack[0, 1]) * share


@scalar
def _recover(bodies, stats):  # type: ignore[no-untyped-def]
    """Advance timers, and recover shields, health and energy, by one loop."""
    for u in range(len(bodies)):
        body = bodies[u]
        if body[col.HP] <= 0.0:
            continue
        # The cooldown may end between -1 and 0; `carry_cooldown` adds this to the next one.
        body[col.COOLDOWN] -= 1.0 if body[col.COOLDOWN] > 0.0 else 0.0
        body[col.CALL] = max(0.0, body[col.CALL] - 1.0)
        body[col.RECOVER] = max(0.0, body[col.RECOVER] - 1.0)
        body[col.QUIET] += 1.0
        recovered = SHIELD_REGEN if body[col.QUIET] > SHIELD_DELAY else 0.0
        body[col.SHIELD] = min(stats[u, col.S_SHIELD], body[col.SHIELD] + recovered)
        body[col.HP] = min(stats[u, col.S_HP], body[col.HP] + stats[u, col.S_REGEN] / 16.0)
        body[col.ENERGY] = min(stats[u, col.S_ENERGY_MAX], body[col.ENERGY] + stats[u, col.S_ENERGY_REGEN] / 16.0)


@scalar
def game_loop(stats, rules, grounds, toward, bodies, book, wounds, want, log, n_agents):  # type: ignore[no-untyped-def]
    """One game loop (1/16 game second): all units choose targets and attack, then damage is applied, then all move."""
    # A unit that is killed earlier in this loop does not act, so the direction of the loop over units is random. It
    # changes once a step: a change in every loop harms branch prediction and costs a tenth of the time.
    backwards = coin(book, book[col.LOOPS] // np.uint64(LOOPS_PER_STEP))
    book[col.LOOPS] += np.uint64(1)
    _recover(bodies, stats)
    if book[col.FLYING] > 0:
        for u in range(len(bodies)):
            if bodies[u, col.FLIGHT] > 0.0:
                fly(bodies, stats, wounds, book, log, u, n_agents)
    for k in range(len(bodies)):
        u = len(bodies) - 1 - k if backwards else k
        if not doomed(bodies, wounds, u):
            if u >= n_agents:
                think(bodies, stats, rules, u, n_agents)
            act(bodies, stats, wounds, rules, book, log, u, n_agents, want[u])
        else:
            want[u, 0] = 0.0
    bury(bodies, stats, wounds, book, log, n_agents)
    for u in range(n_agents, len(bodies)):
        if wounds[u, 2] >= 0.0:
            alarm(bodies, stats, wounds, rules, u, n_agents)
    for u in range(len(bodies)):
        if want[u, 0] > 0.0 and bodies[u, col.HP] > 0.0 and stats[u, col.S_SPEED] > 0.0:
            if rules[LEAST_TURN] > 0.0:
                turn(bodies[u], want[u, 1], want[u, 2])
            step_towards(grounds, toward, bodies[u], stats[u], want[u, 1], want[u, 2])
    separate(grounds, bodies, stats, rules, want, n_agents)


@scalar
def play(stats, rules, grounds, toward, bodies, book, scratch, log, n_agents, loops, hunting):  # type: ignore[no-untyped-def]
    """Play game loops of one battle; with `hunting`, enemies get orders (`hunt`) at its loops 0, 8, 16, ...

    `scratch` (3, U, 4) is working memory: health before a step (`play_step`), `wounds` (`combat`), `want`
    (`behaviour.act`).
    """
    wounds, want = scratch[1], scratch[2]
    wounds[:] = 0.0
    wounds[:, 2] = -1.0
    for _ in range(loops):
        if hunting and book[col.LOOPS] % np.uint64(LOOPS_PER_STEP) == np.uint64(0):
            hunt(bodies, stats, n_agents)
        game_loop(stats, rules, grounds, toward, bodies, book, wounds, want, log, n_agents)


@scalar
def play_step(stats, rules, grounds, toward, body, book, scratch, log, last, actions, hunting):  # type: ignore[no-untyped-def]
    """Play one step of one battle with actions (N,) for its agents; they become its last actions, `last` (N,)."""
    before, n_agents = scratch[0], len(last)
    for u in range(len(body)):
        before[u, 0], before[u, 1] = body[u, col.HP], body[u, col.SHIELD]
    for i in range(n_agents):
        last[i] = actions[i]
        if body[i, col.HP] > 0.0:
            give_order(body[i], stats[i], actions[i], n_agents)
    play(stats, rules, grounds, toward, body, book, scratch, log, n_agents, LOOPS_PER_STEP, hunting)
    book[col.STEPS] += np.uint64(1)


@scalar
def note_end(code, over, timeout, body, n_agents, flags, deaths):  # type: ignore[no-untyped-def]
    """Write how a step ended a battle into `flags` (3,), and the numbers of dead allies and enemies into `deaths`."""
    flags[col.TERMINATED], flags[col.TRUNCATED], flags[col.BATTLE_WON] = over and not timeout, timeout, code == WON
    deaths[0], deaths[1] = 0, 0
    for u in range(len(body)):
        if body[u, col.HP] <= 0.0:
            deaths[0 if u < n_agents else 1] += 1


@scalar
def show(c, bodies, last, obs, avail, alive, state):  # type: ignore[no-untyped-def]
    """Write observations, masks, alive flags and the state of one battle."""
    for i in range(c.n_agents):
        alive[i] = bodies[i, col.HP] > 0.0
    write_views(c, bodies, last, obs, avail, state)


@scalar
def unavailable(c, kinds, bodies, b, actions):  # type: ignore[no-untyped-def]
    """Index b * N + i of the first action (N,) of battle b that its mask forbids; -1 if there is none."""
    for i in range(c.n_agents):
        if not may(c, kinds, bodies, i, actions[i]):
            return b * c.n_agents + i
    return -1


@scalar
def begin(c, stats, rules, grounds, spawns, attack, seed, stride, bodies, books, last, obs, avail, alive, state):  # type: ignore[no-untyped-def]
    """Start the next battle in every row: number `books[b, BATTLE] + stride`."""
    for b in range(len(bodies)):
        spawn(c, stats, rules, grounds, spawns, attack, seed, books[b, col.BATTLE] + stride, bodies[b], books[b])
        last[b] = -1
        show(c, bodies[b], last[b], obs[b], avail[b], alive[b], state[b])


@scalar
def advance(
    c, stats, rules, grounds, toward, spawns, attack, seed, stride, options, actions, bodies, books, last, logs,
    scratch, obs, avail, alive, state, reward, flags, final_obs, final_avail, final_alive, deaths,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Play one step of B battles. A row whose battle ends starts its next battle; `final_*` hold its last arrival.

    Returns -1, or the index of the first action that its mask forbids (see `unavailable`); then no step is played.
    """
    for b in range(len(bodies)):
        wrong = unavailable(c, c.kinds, bodies[b], b, actions[b])
        if wrong >= 0:
            return wrong
    for b in range(len(bodies)):
        body, book = bodies[b], books[b]
        play_step(stats, rules, grounds, toward, body, book, scratch, logs[b], last[b], actions[b], False)
        steps = np.int64(book[col.STEPS])
        reward[b], code, over, timeout = settle(c, scratch[0], body, steps, options[0], options[1])
        note_end(code, over, timeout, body, c.n_agents, flags[b], deaths[b])
        if over:
            show(c, body, last[b], final_obs[b], final_avail[b], final_alive[b], state[b])
            spawn(c, stats, rules, grounds, spawns, attack, seed, book[col.BATTLE] + stride, body, book)
            last[b] = -1
        show(c, body, last[b], obs[b], avail[b], alive[b], state[b])
    return -1
