"""Scripts that play two units against one well enough to win: what a learner could find on these maps."""

import numpy as np

from mawm.envs.skirmish.layout import HP, SHIELD, TARGET, X, Y

NOTHING, STOP, NORTH, SOUTH, EAST, WEST, ATTACK = range(7)
FOE = 2


def _places(env):
    return env.bodies[:, :, [X, Y]]


def circle_kite(env, step, half_side=4.0, start=4.0):
    """2m_vs_1z: the marine that is chased runs a square round the other one, which shoots. Actions (B, 2)."""
    b, places = np.arange(env.batch), _places(env)
    apart = np.linalg.norm(places[:, :2] - places[:, 2:], axis=-1)
    apart = np.where(step.alive, apart, 99.0)
    target = env.bodies[:, FOE, TARGET].astype(int)
    runner = np.where((target >= 0) & (target < FOE), target, apart.argmin(1))
    shooter, zealot = 1 - runner, places[:, FOE]
    alone = ~step.alive[b, shooter]
    actions = np.where(step.avail[:, :, ATTACK], ATTACK, STOP)
    centre, away = places[b, shooter], zealot - places[b, runner]
    x, y = (places[b, runner] - centre).T
    # Run so that the zealot stays behind; the square is mirrored for the other way round.
    mirrored = x * away[:, 1] - y * away[:, 0] > 0
    y = np.where(mirrored, -y, y)
    east, west = x >= np.abs(y), (-x >= np.abs(y)) & (x < 0)
    way = np.where(y > 0, np.where(x <= -half_side, SOUTH, WEST), np.where(x >= half_side, NORTH, EAST))
    way = np.where(east, np.where(y >= half_side, WEST, NORTH), way)
    way = np.where(west & ~east, np.where(y <= -half_side, EAST, SOUTH), way)
    way = np.where(mirrored & (way <= SOUTH), NORTH + SOUTH - way, way)
    way = np.where(step.avail[b, runner, way], way, farthest(step.avail[b, runner], away))
    flees = (apart[b, runner] < start) & ~alone
    actions[b[flees], runner[flees]] = way[flees]
    return np.where(step.alive, actions, NOTHING)


def farthest(avail, to_foe):
    """Of the moves open to a unit (B, A), the one that leads farthest from a foe at `to_foe` (B, 2)."""
    moves = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]])
    worth = np.linalg.norm(to_foe[:, None] - moves, axis=-1)
    return NORTH + np.where(avail[:, NORTH : WEST + 1], worth, -1.0).argmax(1)


class ShieldRest:
    """2s_vs_1sc: a stalker without shield steps out of reach; both rest until shields are back, then return."""

    def __init__(self, batch, last_fight=200):
        self.resting = np.zeros(batch, bool)
        self.last_fight = last_fight

    def __call__(self, env, step, t):
        """Actions (B, 2) in step t."""
        places = _places(env)
        apart = np.linalg.norm(places[:, :2] - places[:, 2:], axis=-1)
        spent = (env.bodies[:, :2, SHIELD] <= 10) | ~step.alive
        fresh = (env.bodies[:, :2, SHIELD] >= 79) | ~step.alive
        early = t < self.last_fight
        self.resting = np.where(self.resting, ~fresh.all(1), spent.all(1) & early)
        back = self.resting[:, None] | (spent & ~spent[:, ::-1] & early)
        retreat = np.where((apart < 9.5) & step.avail[:, :, SOUTH], SOUTH, STOP)
        fight = np.where(step.avail[:, :, NORTH], NORTH, STOP)
        fight = np.where(step.avail[:, :, ATTACK], ATTACK, fight)
        return np.where(step.alive, np.where(back, retreat, fight), NOTHING)


def play(env, policy, steps):
    """First battles under `policy(env, step, t)`: which are won (B,), and health and shield the foe has left (B,)."""
    step, won, done = env.reset(), np.zeros(env.batch, bool), np.zeros(env.batch, bool)
    left = np.full(env.batch, np.inf)
    for t in range(steps):
        actions = policy(env, step, t)
        step = env.step(actions)
        ended = (step.terminated | step.truncated) & ~done
        won |= ended & step.battle_won
        done |= ended
        left = np.where(done, left, env.bodies[:, FOE, HP] + env.bodies[:, FOE, SHIELD])
    assert done.all()
    return won, np.where(won, 0.0, left)
