"""Scripted policies in SMAC's interface: one action per step of eight loops, within the action masks.

They read positions from the engine's state, which agents cannot observe, so they are only for comparison.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish.contract import NO_ATTACK_ACTIONS, PERFECT_RETURN
from mawm.envs.skirmish.kernel import LOOPS_PER_STEP
from mawm.envs.skirmish.layout import COOLDOWN, HP, SHIELD, TARGET, X, Y
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.types import Bools, Ints, Step

NOOP, STOP, NORTH, SOUTH, EAST, WEST, ATTACK = range(NO_ATTACK_ACTIONS + 1)
EVENTS = 64
"""Largest number of hits and heals of one step that the engine records for each battle."""
Policy = Callable[[SkirmishVectorEnv, Step], Ints]


@dataclass(frozen=True)
class Outcome:
    """Battles (B,) of a policy: won, return, steps, health lost by the only enemy, whether an agent was hit."""

    won: Bools
    returns: NDArray[np.float64]
    steps: Ints
    taken: NDArray[np.float64]
    hurt: Bools


def play(map_name: str, rules: Rules, battles: int, seed: int, policy: Policy) -> Outcome:
    """Play a number of battles to their end, with SMAC's steps and masks."""
    env = SkirmishVectorEnv(map_name, battles, seed, rules, events=EVENTS)
    step, c = env.reset(), env.contract
    won, done, hurt = (np.zeros(battles, np.bool_) for _ in range(3))
    returns, steps = np.zeros(battles), np.zeros(battles, np.int64)
    while not done.all():
        step = env.step(policy(env, step))
        over = step.terminated | step.truncated
        returns += np.where(done, 0.0, step.reward)
        steps += ~done
        won |= over & step.battle_won & ~done
        for b in np.flatnonzero(~done):
            events = env.events(int(b))
            hurt[b] |= bool(np.any((events[:, 1] == 0.0) & (events[:, 3] < c.n_agents)))
        done |= over
    # After the last step the engine holds the units of the next battle. So the damage is computed from the rewards,
    # which count each point of health and shield that an enemy loses.
    damage = returns * c.max_reward / PERFECT_RETURN - c.shield_max[c.n_agents]
    taken = np.where(won, c.hp_max[c.n_agents], np.maximum(0.0, damage))
    return Outcome(won, returns, steps, taken, hurt)


def _directions(env: SkirmishVectorEnv, step: Step) -> Ints:
    """Actions (B, N): attack the nearest enemy that the mask allows, else walk towards the nearest one."""
    n, bodies = env.contract.n_agents, env.bodies
    dx = bodies[:, None, n:, X] - bodies[:, :n, None, X]
    dy = bodies[:, None, n:, Y] - bodies[:, :n, None, Y]
    far = np.where(bodies[:, None, n:, HP] > 0.0, np.hypot(dx, dy), np.inf)
    may = step.avail[:, :, ATTACK : ATTACK + env.contract.n_enemies]
    near = far.argmin(-1)[..., None]
    x, y = np.take_along_axis(dx, near, -1)[..., 0], np.take_along_axis(dy, near, -1)[..., 0]
    walk = np.where(np.abs(x) > np.abs(y), np.where(x > 0, EAST, WEST), np.where(y > 0, NORTH, SOUTH))
    walk = np.where(np.take_along_axis(step.avail, walk[..., None], -1)[..., 0], walk, STOP)
    attack = ATTACK + np.where(may, far, np.inf).argmin(-1)
    chosen: Ints = np.where(step.alive, np.where(may.any(-1), attack, walk), NOOP)
    return chosen


def attack_closest(env: SkirmishVectorEnv, step: Step) -> Ints:
    """Actions (B, N): attack the nearest enemy within the mask's 6 cells, else walk towards it; medivacs stop."""
    actions = _directions(env, step)
    actions[:, env.contract.healer[: env.contract.n_agents]] = STOP
    return np.where(step.alive, actions, NOOP)


class AlternatingFire:
    """Two agents against one enemy: one (first the farther) shoots, one stands; they swap when it is near."""

    NEAR = 3.0
    """Cells between the centres of shooter and enemy, below which the agents swap."""

    def __init__(self, batch: int) -> None:
        self._shooter = np.full(batch, -1)

    def __call__(self, env: SkirmishVectorEnv, step: Step) -> Ints:
        """Actions (B, 2). The agents do not move."""
        rows, places = np.arange(env.batch), env.bodies[:, :, [X, Y]]
        far = np.linalg.norm(places[:, :2] - places[:, 2:], axis=-1)
        shooter = np.where(self._shooter < 0, far.argmax(1), self._shooter)
        swap = (far[rows, shooter] < self.NEAR) & (far[rows, 1 - shooter] > far[rows, shooter])
        self._shooter = np.where(swap, 1 - shooter, shooter)
        fires = (np.arange(2) == self._shooter[:, None]) & step.avail[:, :, ATTACK]
        return np.where(step.alive, np.where(fires, ATTACK, STOP), NOOP)


class StopAlternation:
    """Two stalkers attack the enemy; the one that the enemy targets stops for one step after every `hits` hits.

    It stops while its own weapon is on cooldown. In that step it is no threat, so the enemy changes its target.
    """

    def __init__(self, batch: int, hits: int) -> None:
        self.hits = hits
        self._taken = np.zeros((batch, 2), np.int64)
        self._before = np.full((batch, 2), -np.inf)

    def __call__(self, env: SkirmishVectorEnv, step: Step) -> Ints:
        """Actions (B, 2)."""
        health, target = env.bodies[:, :2, [HP, SHIELD]].sum(-1), env.bodies[:, 2, TARGET]
        self._taken += health < self._before - 5.0  # a crawler's hit takes 29 or 30 points; shields recover 1 a step
        self._before = health
        aimed_at = target[:, None] == np.arange(2)
        cools = env.bodies[:, :2, COOLDOWN] > LOOPS_PER_STEP
        stops = aimed_at & cools & (self._taken >= self.hits) & step.alive & step.alive[:, ::-1]
        self._taken[stops] = 0
        return np.where(stops, STOP, _directions(env, step))
