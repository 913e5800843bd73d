"""Single rules of the engine, invariants of every battle, and refused input."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mawm.envs.skirmish.benchmark import random_actions
from mawm.envs.skirmish.combat import damage_to
from mawm.envs.skirmish.layout import ENERGY, HP, QUIET, S_ARMOR, S_SEP, SHIELD, STAT, X, Y
from mawm.envs.skirmish.maps import MapSpec, Point, load_map, map_names, type_orders
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.setup import formation, stat_table
from mawm.envs.skirmish.vector import SkirmishVectorEnv

STOP, EAST, ATTACK = 1, 4, 6


def field(allies: dict[Point, str], enemies: dict[Point, str]) -> MapSpec:
    """Open ground with units at given points; the enemies have no orders."""
    kinds = tuple(allies.values()), tuple(enemies.values())
    ally_types, enemy_types = type_orders(*kinds)
    open_ground = np.ones((32, 32), np.bool_)
    return replace(
        load_map("3m"), limit=500, allies=kinds[0], enemies=kinds[1], ally_spawns=tuple(allies),
        enemy_spawns=tuple(enemies), attack=None, pathable=open_ground, walkable=open_ground,
        ally_types=ally_types, enemy_types=enemy_types,
    )  # fmt: skip


def play_randomly(env: SkirmishVectorEnv, steps: int) -> NDArray[np.int64]:
    """Random available actions in all rows; how often each row's battle ended."""
    step, counter = env.reset(), np.zeros(1, np.uint64)
    actions, ends = np.zeros((env.batch, env.spaces.n_agents), np.int64), np.zeros(env.batch, np.int64)
    for _ in range(steps):
        random_actions(step.avail, counter, actions)
        step = env.step(actions)
        ends += step.terminated | step.truncated
    return ends


@pytest.mark.parametrize(
    ("attacker", "target", "amount"),
    [
        ("marine", "stalker", 6), ("stalker", "stalker", 18), ("stalker", "zealot", 13), ("marauder", "stalker", 20),
        ("marauder", "zergling", 10), ("baneling", "marine", 35), ("baneling", "stalker", 20),
        ("baneling", "spine_crawler", 80), ("spine_crawler", "stalker", 30), ("colossus", "zergling", 15),
        ("colossus", "stalker", 10),
    ],
)  # fmt: skip
def test_damage_of_one_hit_before_armour(attacker: str, target: str, amount: float) -> None:
    stats = stat_table(field({(5.0, 5.0): attacker}, {(25.0, 25.0): target}), Rules())
    assert damage_to(stats, 0, 1) == amount


def test_hit_takes_at_least_half_a_point_of_health() -> None:
    env = SkirmishVectorEnv(field({(16.0, 16.0): "marine"}, {(20.0, 16.0): "zealot"}), 1, 0)
    env.reset()
    env._stats[1, S_ARMOR] = 50.0
    env.bodies[0, 1, SHIELD], env.bodies[0, 1, QUIET] = 0.0, 0.0
    env.step(np.array([[ATTACK]]))
    assert env.bodies[0, 1, HP] == 99.5


def test_damage_beyond_the_shield_is_reduced_by_armour() -> None:
    env = SkirmishVectorEnv(field({(16.0, 16.0): "marine"}, {(20.0, 16.0): "zealot"}), 1, 0)
    env.reset()
    env.bodies[0, 1, SHIELD], env.bodies[0, 1, QUIET] = 2.0, 0.0
    env.step(np.array([[ATTACK]]))
    assert env.bodies[0, 1, SHIELD] == 0.0
    assert env.bodies[0, 1, HP] == 100.0 - (6.0 - 2.0 - 1.0)


def test_colossus_damages_a_line_across_its_fire() -> None:
    enemies = {(21.0, 16.0): "zergling", (21.0, 17.5): "zergling", (21.0, 18.2): "zergling", (23.0, 16.0): "zergling"}
    env = SkirmishVectorEnv(field({(16.0, 16.0): "colossus"}, enemies), 1, 0, events=20)
    env.reset()
    env._stats[1:, 10] = 0.0  # they stand
    env.step(np.array([[ATTACK]]))
    events = env.events(0)
    assert sorted(events[events[:, 2] == 0.0, 3]) == [1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("killed", [False, True])
def test_baneling_damages_foes_only(killed: bool) -> None:
    enemies: dict[Point, str] = {(17.0, 16.0): "marine", (18.0, 16.0): "marine", (20.5, 16.0): "marine"}
    allies: dict[Point, str] = {(16.0, 16.0): "baneling", (16.0, 17.0): "baneling"}
    env = SkirmishVectorEnv(field(allies, enemies), 1, 0, events=20)
    env.reset()
    if killed:
        env.bodies[0, 0, HP] = 1.0
        step = env.step(np.array([[STOP, STOP]]))
    else:
        step = env.step(np.array([[ATTACK, STOP]]))
    events = env.events(0)
    assert set(events[events[:, 2] == 0.0, 3]) == {2.0, 3.0}
    assert not step.alive[0, 0]
    assert env.bodies[0, 4, HP] == 45.0


def test_medivac_does_not_heal_full_health_or_mechanical_units() -> None:
    allies: dict[Point, str] = {(5.0, 16.0): "marine", (7.0, 16.0): "stalker", (6.0, 18.0): "medivac"}
    env = SkirmishVectorEnv(field(allies, {(30.0, 16.0): "marine"}), 1, 0)
    env.reset()
    env.bodies[0, 1, HP] = 20.0
    for target in (0, 1):
        env.step(np.array([[STOP, STOP, ATTACK + target]]))
    assert env.bodies[0, 1, HP] == 20.0
    assert env.bodies[0, 2, ENERGY] == pytest.approx(50.0 + 2 * 0.5 * 0.5625)


def test_engine_refuses_an_unavailable_action_by_name() -> None:
    env = SkirmishVectorEnv("3m", 2, 0)
    env.reset()
    battle = int(env.battles[1])
    with pytest.raises(ValueError, match=rf"battle {battle}, agent 2: action 7 is not available; available now: \[1"):
        env.step(np.array([[1, 1, 1], [1, 1, 7]]))
    with pytest.raises(ValueError, match="shape"):
        env.step(np.array([[1, 1, 1]]))


def test_event_log_accounts_for_all_damage_and_is_off_by_default() -> None:
    env, silent = SkirmishVectorEnv("3m", 4, 0, events=200), SkirmishVectorEnv("3m", 4, 0)
    step, counter, hits = env.reset(), np.zeros(1, np.uint64), 0
    silent.reset()
    actions = np.zeros((4, 3), np.int64)
    for _ in range(20):
        random_actions(step.avail, counter, actions)
        before = env.bodies[..., HP].copy()
        step = env.step(actions)
        silent.step(actions)
        np.testing.assert_array_equal(env.bodies, silent.bodies)
        for b in np.flatnonzero(~(step.terminated | step.truncated)):
            events = env.events(int(b))
            dealt = np.bincount(events[:, 3].astype(int), events[:, 4], minlength=6)
            np.testing.assert_allclose(before[b] - env.bodies[b, :, HP], np.minimum(dealt, before[b]), atol=1e-9)
            hits += len(events)
        assert len(silent.events(0)) == 0
    assert hits > 0


@pytest.mark.parametrize("name", map_names())
def test_map_plays_with_all_units_inside_walkable_ground(name: str) -> None:
    env = SkirmishVectorEnv(name, 2, 0)
    env.reset()
    counter, actions = np.zeros(1, np.uint64), np.zeros((2, env.spaces.n_agents), np.int64)
    kinds = [*env.spec.allies, *env.spec.enemies]
    step = env.show()
    for _ in range(40):
        random_actions(step.avail, counter, actions)
        step = env.step(actions)
        assert np.isfinite(env.bodies).all() and np.isfinite(step.obs).all() and np.isfinite(step.state).all()
        x, y = env.bodies[..., X].astype(int), env.bodies[..., Y].astype(int)
        for u, kind in enumerate(kinds):
            if kind == "medivac":
                continue
            ground = env.spec.pathable if kind == "colossus" else env.spec.walkable
            assert ground[x[:, u], y[:, u]].all(), f"{kind} left the ground"


@pytest.mark.parametrize("name", ["3m", "2s_vs_1sc"])
def test_battle_ends_by_its_limit(name: str) -> None:
    env = SkirmishVectorEnv(name, 4, 0)
    assert (play_randomly(env, env.spaces.episode_limit) >= 1).all()


def test_resting_units_do_not_overlap() -> None:
    env = SkirmishVectorEnv("25m", 1, 0, Rules(spawn_spacing=0.5))
    env.reset()
    env.bodies[0, 25:, 8] = 0.0  # the enemies stay, too
    for _ in range(10):
        env.step(np.ones((1, 25), np.int64))
    places = env.bodies[0, :, :2]
    distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    radius = env._stats[:, S_SEP]
    overlap = radius[:, None] + radius[None] - distance
    np.fill_diagonal(overlap, 0.0)
    assert overlap.max() < 0.02


def test_enemies_walk_around_the_cliffs_of_corridor() -> None:
    env = SkirmishVectorEnv("corridor", 1, 0)
    step = env.reset()
    target = np.array(env.spec.attack)[0]
    # Agents out of the way: whoever arrives got there by itself.
    env.bodies[0, :6, QUIET] = 0.0
    first = np.hypot(*(env.bodies[0, 6:, :2] - target).T).min()
    env._stats[6:, 3] = 0.0  # harmless zerglings acquire nobody
    for _ in range(60):
        step = env.step(np.where(step.alive, STOP, 0).astype(np.int64))
    assert np.hypot(*(env.bodies[0, 6:, :2] - target).T).min() < 2.0 < first


def test_formation_option_mirrors_the_teams() -> None:
    starts, created = formation(load_map("3m"), Rules())
    ours, theirs = starts[:3] - [9.0, 16.0], starts[3:] - [23.0, 16.0]
    np.testing.assert_allclose(sorted(ours.tolist()), sorted((theirs * [-1.0, 1.0]).tolist()))
    assert created.tolist() == [1.0, 0.0, 2.0, 0.0, 1.0, 2.0]  # who is created first stands in the middle


def test_stat_table_has_the_layout_of_the_kernel() -> None:
    assert stat_table(load_map("MMM"), Rules()).shape == (20, STAT)


def test_engine_step_before_reset_is_refused_with_advice() -> None:
    env = SkirmishVectorEnv("3m", 2, 0)
    with pytest.raises(ValueError, match="call reset"):
        env.step(np.ones((2, 3), np.int64))
