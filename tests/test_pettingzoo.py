"""The engine's PettingZoo environment: PettingZoo's own tests on every map, masks, truncation, infos."""

import warnings

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test, parallel_seed_test

from mawm.envs.skirmish.maps import map_names, parse_map
from mawm.envs.skirmish.pettingzoo_env import parallel_env

SHORT = """limit = 3
[[allies]]
kind = "marine"
count = 2
at = [4, 4]
[[enemies]]
kind = "zergling"
at = [28, 28]
"""


def counted(name):
    """An environment, and a list that grows by one with every step: PettingZoo's tests do not report what they did."""
    env, played = parallel_env(name), []
    step = env.step
    env.step = lambda actions: (played.append(1), step(actions))[1]
    return env, played


@pytest.mark.parametrize("name", map_names())
def test_pettingzoo_api_test_passes(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env, played = counted(name)
        parallel_api_test(env, num_cycles=12)
    assert len(played) >= 12


@pytest.mark.parametrize("name", map_names())
def test_pettingzoo_seed_test_passes(name):
    made = []

    def make():
        made.append(counted(name))
        return made[-1][0]

    parallel_seed_test(make, num_cycles=6)
    # One step each: PettingZoo 1.24 asks any(terminations) of a dict, whose keys are true. Longer runs are below.
    assert [len(played) >= 1 for _, played in made] == [True, True]


@pytest.mark.parametrize("name", ["3m", "2s3z", "MMM"])
def test_pettingzoo_api_test_passes_over_whole_battles(name):
    env, played = counted(name)
    parallel_api_test(env, num_cycles=200)
    assert len(played) > 12 and env.agents == [], "it ends with the battle"


@pytest.mark.parametrize("name", ["3m", "1c3s5z", "bane_vs_bane", "2c_vs_64zg"])
def test_pettingzoo_observations_and_states_lie_in_their_spaces(name):
    env = parallel_env(name)
    obs, _ = env.reset(seed=3)
    for _ in range(15):
        for agent in env.agents:
            assert env.observation_space(agent).contains(obs[agent])
        assert env.state_space.contains(env.state())
        obs, *_ = env.step({a: env.action_space(a).sample(mask=obs[a]["action_mask"]) for a in env.agents})
        if not env.agents:
            break


def test_pettingzoo_masks_in_observations_and_infos_are_equal():
    env = parallel_env("2s3z")
    obs, infos = env.reset(seed=0)
    for agent in env.agents:
        np.testing.assert_array_equal(obs[agent]["action_mask"], infos[agent]["action_mask"])
        assert obs[agent]["action_mask"].dtype == np.int8


def test_pettingzoo_limit_truncates_and_does_not_terminate():
    env = parallel_env(parse_map(SHORT, "short", "short.toml"))
    env.reset(seed=0)
    for left in (2, 1, 0):
        _, rewards, terminated, truncated, infos = env.step(dict.fromkeys(env.agents, 1))
        assert set(truncated.values()) == {left == 0}
        assert set(terminated.values()) == {False}
    assert env.agents == []
    assert set(rewards) == {"marine_0", "marine_1"}
    assert infos["marine_0"]["battle_won"] is False


def test_pettingzoo_won_battle_is_flagged_and_pays_20():
    near = SHORT.replace("limit = 3", "limit = 60").replace("[28, 28]", "[7, 4]").replace("count = 2", "count = 6")
    env = parallel_env(parse_map(near, "near", "near.toml"))
    obs, infos = env.reset(seed=0)
    total = 0.0
    while env.agents:
        actions = {
            a: 6 if obs[a]["action_mask"][6] else int(np.flatnonzero(obs[a]["action_mask"])[0]) for a in env.agents
        }
        obs, rewards, terminated, _, infos = env.step(actions)
        total += rewards["marine_0"]
    assert terminated["marine_0"]
    assert infos["marine_0"]["battle_won"]
    assert infos["marine_0"]["dead_enemies"] == 1
    # Zerglings recover a little health, which SMAC pays for or lets cancel damage.
    assert total == pytest.approx(20.0, abs=0.5)


def test_pettingzoo_dead_agents_stay_with_zero_observations():
    env = parallel_env("2s3z")
    obs, _ = env.reset(seed=1)
    dead = []
    while not dead:
        obs, _, _, _, infos = env.step({a: 1 for a in env.agents})
        dead = [a for a in env.agents if obs[a]["action_mask"][0]]
    assert dead and infos[dead[0]]["dead_allies"] == len(dead)
    assert obs[dead[0]]["action_mask"].sum() == 1
    assert not obs[dead[0]]["observation"].any()
    env.step({a: 1 for a in env.agents if a not in dead})
    assert dead[0] in env.possible_agents


def test_pettingzoo_battles_differ_within_a_seed_and_repeat_with_it():
    def states(env, seed):
        env.reset(seed=seed)
        out = []
        for battle in range(2):
            if battle:
                env.reset()
            for _ in range(14):
                env.step(dict.fromkeys(env.agents, 1))
                out.append(env.state())
        return out

    first, second = states(parallel_env("3m"), 5), states(parallel_env("3m", seed=9), 5)
    np.testing.assert_array_equal(first, second)
    assert (np.array(first[:14]) != first[14:]).any()


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ({"marine_0": 1, "marine_1": 1}, "lack 'marine_2'"),
        ({"marine_0": 1, "marine_1": 1, "marine_2": 1, "marine_9": 1}, "'marine_9'"),
        ({"marine_0": 8, "marine_1": 1, "marine_2": 1}, "not available"),
    ],
)
def test_pettingzoo_refuses_wrong_actions(actions, words):
    env = parallel_env("3m", strict=True)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=words):
        env.step(actions)


def test_pettingzoo_replaces_a_forbidden_action_by_stop_and_reports_it():
    env, stopping = parallel_env("3m"), parallel_env("3m")
    env.reset(seed=0), stopping.reset(seed=0)
    obs, *_, infos = env.step({"marine_0": 8, "marine_1": 1, "marine_2": 0})
    expected, *_ = stopping.step(dict.fromkeys(stopping.agents, 1))
    assert [infos[agent]["replaced"] for agent in env.agents] == [True, False, True]
    np.testing.assert_array_equal(obs["marine_0"]["observation"], expected["marine_0"]["observation"])


def test_pettingzoo_step_after_the_end_asks_for_reset():
    env = parallel_env("3m")
    with pytest.raises(ValueError, match="reset"):
        env.step({})
