"""SMACv2's maps: sizes, distributions of teams and starts over 20 000 battles, determinism, snapshots."""

import os
import subprocess
import sys
from dataclasses import replace
from math import comb, factorial, sqrt

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test

from mawm.configs.presets import load_preset
from mawm.envs.registry import make_env
from mawm.envs.skirmish.battles import make_battles
from mawm.envs.skirmish.layout import HP, S_CREATED, X, Y
from mawm.envs.skirmish.maps import load_map
from mawm.envs.skirmish.pettingzoo_env import parallel_env
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.smacv2.contract import drawn_contract
from mawm.envs.skirmish.smacv2.maps import DRAWN_MAPS, SIZES
from mawm.types import Spaces
from tests.engine_arena import played, random_actions

BATTLES = 20_000
# Sizes of observation, actions and state, by SMACv2's own functions of size.
PROTOSS = ((92, 11, 130), (182, 16, 310), (191, 17, 327), (362, 26, 820), (389, 29, 901))
OTHERS = ((82, 11, 120), (162, 16, 290), (170, 17, 306), (322, 26, 780), (346, 29, 858))


def starts(name, battles=BATTLES, **rules):
    """Kinds (K, U), places (K, U, 2) and creation numbers (K, U) of `battles` battles."""
    env, parts = make_battles(name, 2000, 5, Rules(spawn_jitter=0.0, **rules)), []
    for _ in range(battles // 2000):
        env.reset()
        parts.append((env.kinds.copy(), env.bodies[:, :, [X, Y]].copy(), env._battles.stats[:, :, S_CREATED].copy()))
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


@pytest.fixture(scope="module")
def terran():
    return starts("10gen_terran_5_vs_5")


def by_creation(values, created, n):
    """The allies' rows of `values` in the order in which they were created."""
    order = created[:, :n].argsort(1)
    return np.take_along_axis(values[:, :n], order if values.ndim == 2 else order[..., None], 1)


def mirrored(places, created, n):
    """Which battles have the enemies as mirror images of the allies, (K,)."""
    allies = by_creation(places, created, n)
    return (places[:, n : 2 * n] == np.stack([32.0 - allies[..., 0], allies[..., 1]], -1)).all((1, 2))


def near(observed, expected, spread):
    """Whether a mean over the battles lies within four standard errors of its expectation."""
    return abs(observed - expected) < 4 * spread / sqrt(BATTLES)


@pytest.mark.parametrize("race", ["protoss", "terran", "zerg"])
def test_drawn_map_sizes_equal_those_of_smacv2(race):
    for (n, m), sizes in zip(SIZES, PROTOSS if race == "protoss" else OTHERS, strict=True):
        c = drawn_contract(DRAWN_MAPS[f"10gen_{race}_{n}_vs_{m}"])
        assert (c.n_agents, c.n_enemies, c.obs_size, c.n_actions, c.state_size, c.limit) == (n, m, *sizes, 200)


def test_drawn_map_without_a_size_has_five_units_a_side():
    assert drawn_contract(DRAWN_MAPS["10gen_zerg"]).obs_size == 82
    assert len(DRAWN_MAPS) == 18


def test_drawn_kinds_have_their_shares(terran):
    kinds, _, _ = terran
    for kind, share in enumerate((0.45, 0.45, 0.1)):
        assert near((kinds[:, :5] == kind).mean(), share, 0.5 / sqrt(5))


def test_drawn_protoss_team_has_half_a_colossus_on_average():
    kinds, _, _ = starts("10gen_protoss_5_vs_5")
    colossi = (kinds[:, :5] == 2).sum(1)
    assert near(colossi.mean(), 0.5, sqrt(0.45))
    assert near((colossi == 0).mean(), 0.9**5, 0.5)


@pytest.mark.parametrize("name", ["10gen_terran_10_vs_11", "10gen_zerg_10_vs_11", "10gen_protoss_10_vs_11"])
def test_a_single_further_enemy_is_never_of_the_kind_that_cannot_fill_a_team(name):
    kinds, places, created = starts(name, 4000)
    rare = (kinds[:, -1] == 2).mean()
    assert rare == 0 if "protoss" not in name else abs(rare - 0.1) < 4 * 0.3 / sqrt(4000)
    last = places[mirrored(places, created, 10), -1]
    assert last[:, 0].min() >= 16.0 and abs(last[:, 0].mean() - 24.0) < 0.5


def test_drawn_enemies_are_a_copy_of_the_allies_in_the_order_of_creation(terran):
    kinds, _, created = terran
    np.testing.assert_array_equal(kinds[:, 5:], by_creation(kinds, created, 5))


@pytest.mark.parametrize(("race", "order"), [("protoss", (2, 0, 1)), ("terran", (1, 0, 2)), ("zerg", (2, 1, 0))])
def test_drawn_agents_are_numbered_by_kind_then_place(race, order):
    kinds, places, _ = starts(f"10gen_{race}_10_vs_10", 2000)
    ranks = np.argsort(order)[kinds[:, :10]]  # alphabetical: colossus, stalker, zealot and so on
    keys = ranks * 1e9 + places[:, :10, 0] * 1e6 + places[:, :10, 1]
    assert (np.diff(keys, axis=1) >= 0).all()


def test_drawn_starts_are_mirrored_or_surrounded_with_equal_chance(terran):
    _, places, created = terran
    mirror = mirrored(places, created, 5)
    assert near(mirror.mean(), 0.5, 0.5)
    centred = (np.abs(places[:, :5] - 16.0) < 4.0).all((1, 2))
    assert (centred | mirror).all() and centred[mirror].mean() < 0.01


def test_mirrored_allies_stand_anywhere_in_their_half(terran):
    _, places, created = terran
    allies = places[mirrored(places, created, 5), :5]
    x, y = allies[..., 0].ravel(), allies[..., 1].ravel()
    assert 0.5 <= x.min() < 0.51 and 14.99 < x.max() < 15.0 and 0.5 <= y.min() < 0.51 and 31.49 < y.max() <= 31.5
    assert abs(x.mean() - 7.508) < 0.06 and abs(y.mean() - 16.0) < 0.12
    assert abs((x < 5.0).mean() - 1 / 3) < 0.01 and abs((y < 8.0).mean() - 0.25) < 0.01


def groups_of(places, created):
    """The quadrants (K, 5) and first places of the enemies' groups in surrounded battles."""
    enemies = places[~mirrored(places, created, 5), 5:] - 16.0
    quadrant = 2 * (enemies[..., 0] > 0) + (enemies[..., 1] > 0)
    return enemies, quadrant


def test_surrounding_enemies_come_in_one_to_four_groups_with_equal_chance(terran):
    _, quadrant = groups_of(*terran[1:])
    seen = np.array([len(set(row)) for row in quadrant.tolist()])
    stirling = {1: 1, 2: 15, 3: 25, 4: 10}  # partitions of 5 units into that many groups that are not empty
    for count, partitions in stirling.items():
        expected = sum(comb(g, count) * factorial(count) * partitions / g**5 for g in range(count, 5)) / 4
        assert abs((seen == count).mean() - expected) < 4 * 0.5 / sqrt(len(seen))


def test_surrounding_groups_stand_on_diagonals_at_uniform_distances(terran):
    enemies, quadrant = groups_of(*terran[1:])
    point = np.abs(enemies[:, 0])  # the first unit of a group stands on the drawn point
    inner = point.max(1) < 15.5
    assert np.allclose(point[inner, 0], point[inner, 1])
    distance = np.hypot(*point.T)
    assert distance.min() >= 2 * sqrt(2) and abs(np.minimum(distance, 15.5 * sqrt(2)).mean() - 9.0 * sqrt(2)) < 0.25
    assert all(abs((quadrant[:, 0] == q).mean() - 0.25) < 0.02 for q in range(4))


def test_units_created_at_one_point_do_not_overlap_and_stay_inside():
    _, places, _ = starts("10gen_terran_20_vs_23", 2000)
    assert places.min() >= 0.5 and places.max() <= 31.5
    surrounded = (np.abs(places[:, :20] - 16.0) < 8.0).all((1, 2))
    allies = places[surrounded, :20]
    apart = np.hypot(*(allies[:, :, None] - allies[:, None]).transpose(3, 0, 1, 2)) + 9.0 * np.eye(20)
    assert surrounded.mean() > 0.4 and apart.min() >= 0.749


def test_spawn_jitter_shifts_surrounded_starts_and_leaves_mirrored_ones():
    exact = make_battles("10gen_terran", 200, 1, Rules(spawn_jitter=0.0))
    shifted = make_battles("10gen_terran", 200, 1, Rules(spawn_jitter=0.1))
    exact.reset(), shifted.reset()
    moved = np.abs(np.sort(exact.bodies[:, 5:, X]) - np.sort(shifted.bodies[:, 5:, X])).max(1)
    mirror = mirrored(exact.bodies[:, :, [X, Y]], exact._battles.stats[:, :, S_CREATED], 5)
    assert moved.max() <= 0.1 and (moved[mirror] == 0.0).all() and (moved[~mirror] > 0.0).all()


@pytest.mark.parametrize("name", ["10gen_terran", "10gen_protoss_10_vs_11"])
def test_drawn_battle_in_a_batch_equals_the_battle_alone_bit_for_bit(name):
    many = played(make_battles(name, 16, 7), 150, range(16))
    for row in (0, 15):
        alone = played(make_battles(name, 1, 7, first_battle=row, stride=16), 150, [row])
        assert (alone[5] | alone[6]).sum() >= 2, "several battles have ended on the way"
        for one, all_ in zip(alone, many, strict=True):
            np.testing.assert_array_equal(one[:, 0], all_[:, row])


def test_drawn_battles_of_one_seed_differ_from_each_other_and_from_another_seed():
    env = make_battles("10gen_terran", 500, 3)
    first = (env.reset(), env.bodies.copy())[1]
    second = (env.reset(), env.bodies.copy())[1]
    other = make_battles("10gen_terran", 500, 4)
    other.reset()
    centres = {tuple(row) for row in np.concatenate([first, second, other.bodies])[:, 5:, X].tolist()}
    assert len(centres) == 1500


def test_drawn_snapshot_continues_bit_for_bit_in_another_engine():
    def go_on(env, steps):
        step, rng, seen = env.show(), np.random.default_rng(2), []
        for _ in range(steps):
            seen.append([*vars(step).values(), *env.snapshot().values()])
            step = env.step(random_actions(step, rng))
        return seen

    env, twin = make_battles("10gen_zerg", 8, 3), make_battles("10gen_zerg", 8, 9)
    step, rng = env.reset(), np.random.default_rng(1)
    for _ in range(20):
        step = env.step(random_actions(step, rng))
    kept = env.snapshot()
    first = go_on(env, 120)
    for again in (env, twin):
        again.restore(kept)
        if again is twin:
            again._seed = env._seed  # a run's seed is in its configuration
        for a, b in zip(first, go_on(again, 120), strict=True):
            for left, right in zip(a, b, strict=True):
                np.testing.assert_array_equal(left, right)


def test_drawn_engine_shows_the_same_arrival_again():
    env, rng = make_battles("10gen_terran", 16, 3), np.random.default_rng(1)
    step = env.reset()
    for _ in range(60):
        again = env.show()
        for name in ("obs", "avail", "alive", "state"):
            np.testing.assert_array_equal(getattr(step, name), getattr(again, name))
        step = env.step(random_actions(step, rng))


def test_drawn_engine_refuses_a_snapshot_of_a_map_of_smac():
    fixed, drawn = make_battles("3m", 1, 0), make_battles("10gen_terran", 1, 0)
    fixed.reset()
    with pytest.raises(ValueError, match="snapshot has no kinds"):
        drawn.restore(fixed.snapshot())


def test_drawn_engine_refuses_a_forbidden_action_and_lists_the_others():
    env = make_battles("10gen_terran", 2, 0)
    env.reset()
    with pytest.raises(ValueError, match=r"battle 0, agent 0: action 0 is not available; available now: \[1, "):
        env.step(np.zeros((2, 5), np.int64))


def test_hunting_enemies_reach_and_kill_agents_that_stand_still():
    env = make_battles("10gen_protoss", 32, 0)
    step, ended = env.reset(), np.zeros(32, bool)
    for _ in range(150):
        step = env.step(step.alive.astype(np.int64))
        ended |= step.terminated & ~step.battle_won
    assert ended.all(), "agents fire only on orders"


def test_drawn_map_is_an_environment_of_runs_whose_purposes_have_their_own_battles():
    config = replace(load_preset("debug"), map="10gen_zerg_10_vs_11")
    train, test = (make_env(config, purpose, 3) for purpose in ("train", "test"))
    assert vars(train.spaces) == vars(Spaces(10, 17, 170, 306, 200))
    first, other = train.reset(), test.reset()
    assert not np.array_equal(first.obs, other.obs)
    assert train.step(first.alive.astype(np.int64)).obs.shape == (3, 10, 170)


def test_drawn_maps_are_named_in_errors_of_unknown_maps():
    with pytest.raises(ValueError, match="did you mean '10gen_terran_5_vs_5'"):
        make_battles("terran_5_vs_5", 1, 0)
    with pytest.raises(ValueError, match="did you mean '10gen_protoss_10_vs_11'"):
        make_battles("10gen_protoss_10vs11", 1, 0)
    with pytest.raises(ValueError, match="make_battles"):
        load_map("10gen_zerg")


@pytest.mark.parametrize("name", ["10gen_terran", "10gen_protoss_10_vs_11"])
def test_pettingzoo_api_test_passes_on_drawn_maps(name):
    env = parallel_env(name)
    parallel_api_test(env, num_cycles=30)
    obs, _ = env.reset(seed=3)
    for _ in range(12):
        for agent in env.agents:
            assert env.observation_space(agent).contains(obs[agent])
        assert env.state_space.contains(env.state())
        obs, *_ = env.step({a: env.action_space(a).sample(mask=obs[a]["action_mask"]) for a in env.agents})
    assert env.possible_agents[0] == "agent_0"


PROGRAM = """
import hashlib, numpy as np
from mawm.configs.presets import load_preset
from mawm.envs.registry import make_env
from mawm.envs.skirmish.battles import make_battles
digest = hashlib.sha256()
for name in ("10gen_terran", "10gen_protoss"):
    env = make_battles(name, 1, 11)
    step, rng = env.reset(), np.random.default_rng(5)
    for _ in range(4):
        step = env.step(np.where(step.avail, rng.random(step.avail.shape), -1.0).argmax(2))
        for array in (step.obs, step.state, step.avail, step.reward, *env.snapshot().values()):
            digest.update(np.ascontiguousarray(array).tobytes())
print(digest.hexdigest())
"""


def test_plain_python_of_drawn_maps_equals_the_compiled_kernel():
    def digest(jit):
        variables = {**os.environ, "NUMBA_DISABLE_JIT": jit}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PROGRAM], env=variables, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert digest("1") == digest("0")


def test_deaths_of_drawn_battles_are_counted_by_side():
    env, rng = make_battles("10gen_zerg", 8, 2), np.random.default_rng(1)
    step = env.reset()
    for _ in range(30):
        step = env.step(random_actions(step, rng))
        going = ~(step.terminated | step.truncated)
        dead = np.stack([(env.bodies[:, :5, HP] <= 0).sum(1), (env.bodies[:, 5:, HP] <= 0).sum(1)], 1)
        np.testing.assert_array_equal(env.deaths[going], dead[going])
