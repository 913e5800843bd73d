"""Builds batches of small battles on open ground for tests of the engine, and plays them by scripts."""

from dataclasses import replace

import numpy as np

from mawm.envs.skirmish.layout import HP, SHIELD, X, Y
from mawm.envs.skirmish.maps import load_map, type_orders
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.vector import SkirmishVectorEnv

STOP, NORTH, SOUTH, EAST, WEST, ATTACK = 1, 2, 3, 4, 5, 6
KEEPER = "spine_crawler"


def arena(allies, enemies, batch=1, *, attack=None, keepers=True, limit=400, rules=None, seed=1, **options):
    """Battles of `allies` against `enemies`, lists of (kind, x, y), on 32 x 32 open cells.

    `keepers` puts one more unit of each side far from each other and from the fight: a duel that is over then does not
    end the battle, so that what is left of the units can be read.
    """
    if keepers:
        allies, enemies = [*allies, (KEEPER, 31.0, 1.0)], [*enemies, (KEEPER, 31.0, 31.0)]
    ally_kinds, enemy_kinds = tuple(u[0] for u in allies), tuple(u[0] for u in enemies)
    bits = type_orders(ally_kinds, enemy_kinds)
    spec = replace(
        load_map("3s_vs_3z"),
        limit=limit,
        allies=ally_kinds,
        enemies=enemy_kinds,
        ally_spawns=tuple((u[1], u[2]) for u in allies),
        enemy_spawns=tuple((u[1], u[2]) for u in enemies),
        attack=attack,
        ally_types=bits[0],
        enemy_types=bits[1],
    )
    env = SkirmishVectorEnv(spec, batch, seed, rules or Rules(), **options)
    env.reset()
    for u, (_, x, y) in enumerate([*allies, *enemies]):
        env.bodies[:, u, X], env.bodies[:, u, Y] = x, y
    return env


def all_stop(env):
    """Stop for the living, no-op for the dead: (B, N)."""
    return np.where(env.bodies[:, : env.contract.n_agents, HP] > 0.0, STOP, 0)


def total(env, unit):
    """Health and shield of a unit in every battle, (B,)."""
    return env.bodies[:, unit, HP] + env.bodies[:, unit, SHIELD]


def distances(env):
    """Between centres of agents and enemies (B, N, M); infinite where the enemy is dead."""
    n = env.contract.n_agents
    x, y = env.bodies[..., X], env.bodies[..., Y]
    apart = np.hypot(x[:, :n, None] - x[:, None, n:], y[:, :n, None] - y[:, None, n:])
    return np.where(env.bodies[:, None, n:, HP] > 0.0, apart, np.inf)


def attack_nearest(env, step):
    """Every agent attacks the nearest enemy that it may attack, and else walks to the nearest one, (B, N)."""
    n = env.contract.n_agents
    apart = distances(env)
    may = step.avail[:, :, ATTACK : ATTACK + env.contract.n_enemies]
    target = np.where(may, apart, np.inf).argmin(2)
    nearest = apart.argmin(2)
    foes = env.bodies[:, n:]
    rows = np.arange(len(foes))[:, None]
    dx = foes[rows, nearest, X] - env.bodies[:, :n, X]
    dy = foes[rows, nearest, Y] - env.bodies[:, :n, Y]
    along = np.where(dx > 0, EAST, WEST)
    across = np.where(dy > 0, NORTH, SOUTH)
    first = np.where(np.abs(dx) >= np.abs(dy), along, across)
    second = np.where(np.abs(dx) >= np.abs(dy), across, along)
    walk = np.where(allowed(step, first), first, np.where(allowed(step, second), second, STOP))
    return np.where(step.alive, np.where(may.any(2), ATTACK + target, walk), 0)


def random_actions(step, rng):
    """Uniform among the available actions, (B, N)."""
    return np.where(step.avail, rng.random(step.avail.shape), -1.0).argmax(2)


def allowed(step, actions):
    """Whether actions (B, N) are available."""
    return np.take_along_axis(step.avail, actions[..., None], 2)[..., 0]


def duel(env, steps):
    """All agents but the keeper attack the first enemy once they may, walk east until then, stop when it is dead.

    Returns the loop of the last hit in each battle, (B,).
    """
    step, last = env.show(), np.zeros(env.batch)
    for _ in range(steps):
        actions = np.where(step.avail[:, :, ATTACK], ATTACK, EAST)
        actions[:, -1] = STOP
        actions[total(env, env.contract.n_agents) <= 0.0] = STOP
        step = env.step(np.where(step.alive, actions, 0))
        logs = env._logs
        count = logs[:, 0, 0].astype(int)
        last = np.where(count > 0, logs[np.arange(env.batch), count, 0], last)
    return last


def played(env, steps, keys):
    """Random play in which row b's choices follow from keys[b] alone: every array of every step."""
    streams = [np.random.default_rng(key) for key in keys]
    step, seen = env.reset(), []
    for _ in range(steps):
        noise = np.stack([stream.random(step.avail.shape[1:]) for stream in streams])
        step = env.step(np.where(step.avail, noise, -1.0).argmax(2))
        seen.append([*(array.copy() for array in vars(step).values()), *env.snapshot().values()])
    return [np.stack(arrays) for arrays in zip(*seen, strict=True)]
