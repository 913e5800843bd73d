"""Hunting enemies: an enemy without an order is sent to the nearest agent and keeps it until it is dead."""

import numpy as np
import pytest

from mawm.envs.skirmish.behaviour import hunt
from mawm.envs.skirmish.layout import ATTACK as ATTACKING
from mawm.envs.skirmish.layout import HP, MOVE, ORDER, SHIELD, TARGET, WINDUP, X, Y
from tests.engine_arena import STOP, arena

FAR = [("marine", 4.0, 4.0), ("marine", 4.0, 20.0)]


def hunting(allies, enemies):
    """One battle on open ground in which the enemies have hunted once, without keepers."""
    env = arena(allies, enemies, keepers=False)
    hunt(env.bodies[0], env._stats, len(allies))
    return env


def orders(env):
    """(order, target) of each enemy."""
    n = env.contract.n_agents
    return [tuple(row) for row in env.bodies[0, n:, [ORDER, TARGET]].T]


def stand(env, steps, hunts=True):
    """Agents stand; the enemies hunt before every step, if `hunts`."""
    n = env.contract.n_agents
    for _ in range(steps):
        if hunts:
            hunt(env.bodies[0], env._stats, n)
        env.step(np.where(env.bodies[:, :n, HP] > 0.0, STOP, 0))


def test_hunting_enemy_attacks_the_nearest_living_agent_at_any_distance():
    env = hunting(FAR, [("zealot", 31.0, 14.0), ("zealot", 31.0, 3.0)])
    assert orders(env) == [(ATTACKING, 1), (ATTACKING, 0)]
    env.bodies[0, 1, HP] = 0.0
    hunt(env.bodies[0], env._stats, 2)
    assert orders(env) == [(ATTACKING, 0), (ATTACKING, 0)]


def test_hunting_enemy_without_a_hunt_stays_where_it_is():
    env = arena(FAR, [("zealot", 31.0, 14.0)], keepers=False)
    stand(env, 10, hunts=False)
    assert env.bodies[0, 2, X] == 31.0


def test_hunting_enemy_walks_to_its_target_past_a_nearer_agent():
    env = hunting([("marine", 4.0, 16.0), ("marine", 31.0, 31.0)], [("zealot", 20.0, 16.0)])
    env.bodies[0, 1, X], env.bodies[0, 1, Y] = 16.0, 17.0  # now it is nearer, and close to the way
    stand(env, 5)
    assert orders(env) == [(ATTACKING, 0)]
    assert env.bodies[0, 2, X] < 15.5, "a zealot walks 3.15 cells a second"
    assert env.bodies[0, 1, HP] == 45.0


def test_hunting_enemy_keeps_its_target_when_another_agent_hits_it():
    env = hunting([("marine", 4.0, 16.0), ("stalker", 31.0, 31.0)], [("zealot", 20.0, 16.0)])
    env.bodies[0, 1, X], env.bodies[0, 1, Y] = 20.0, 19.0
    env.step(np.array([[STOP, 6]]))
    stand(env, 2)
    assert env.bodies[0, 2, HP] + env.bodies[0, 2, SHIELD] < 150.0, "the stalker's shot has arrived"
    assert orders(env) == [(ATTACKING, 0)]


def test_hunting_enemy_with_an_attack_move_gets_no_order():
    env = arena(FAR, [("zealot", 31.0, 14.0)], keepers=False, attack=((8.0, 16.0), (8.0, 16.0)))
    hunt(env.bodies[0], env._stats, 2)
    assert orders(env) == [(MOVE, -1)]


def test_hunting_ground_enemy_gets_no_order_for_a_medivac_and_acquires_as_usual():
    env = hunting([("medivac", 18.0, 16.0), ("marine", 4.0, 16.0)], [("zealot", 20.0, 16.0)])
    assert orders(env)[0][1] == -1
    env.bodies[0, 1, X] = 16.5
    stand(env, 1)
    assert orders(env)[0][1] == 1, "the marine is within its scan range"


def test_hunting_medivac_gets_no_order():
    env = hunting([("marine", 4.0, 16.0)], [("medivac", 20.0, 16.0), ("marine", 21.0, 16.0)])
    assert orders(env)[0][0] != ATTACKING
    assert orders(env)[1] == (ATTACKING, 0)


@pytest.mark.parametrize("far", [False, True])
def test_hunting_enemy_takes_the_next_agent_when_its_target_is_dead(far):
    env = hunting([("marine", 16.0, 16.0), ("marine", 2.0, 2.0 if far else 16.0)], [("zealot", 18.0, 16.0)])
    env.bodies[0, 0, HP] = 1.0
    stand(env, 6)
    assert env.bodies[0, 0, HP] == 0.0
    assert orders(env) == [(ATTACKING, 1)]


def test_hunting_enemy_whose_target_died_is_idle_until_it_hunts_again():
    env = hunting([("marine", 16.0, 16.0), ("marine", 2.0, 2.0)], [("zealot", 16.9, 16.0)])
    env.bodies[0, 0, HP] = 1.0
    stand(env, 4, hunts=False)
    place = env.bodies[0, 2, X]
    assert env.bodies[0, 0, HP] == 0.0 and orders(env)[0][1] == -1 and env.bodies[0, 2, WINDUP] < 0.0
    stand(env, 3, hunts=False)
    assert env.bodies[0, 2, X] == place
