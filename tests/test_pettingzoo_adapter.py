"""Any ParallelEnv behind our vector interface, shown on the engine's own PettingZoo environment."""

import numpy as np
import pytest

from mawm.envs.pettingzoo import ParallelVectorEnv
from mawm.envs.skirmish.maps import load_map
from mawm.envs.skirmish.pettingzoo_env import parallel_env


def adapted(batch=3, limit=60, seed=0):
    return ParallelVectorEnv(lambda: parallel_env("3m"), batch, seed, limit)


def play(env, step, steps, generator):
    """Random available actions; the rewards, flags and final observations on the way."""
    seen = []
    for _ in range(steps):
        actions = np.array([[generator.choice(np.flatnonzero(mask)) for mask in row] for row in step.avail])
        step = env.step(actions)
        seen.append(step)
    return step, seen


def test_sizes_are_those_of_the_engine():
    env = adapted()
    assert (env.spaces.n_agents, env.spaces.n_actions, env.spaces.obs_size, env.spaces.state_size) == (3, 9, 30, 48)
    assert load_map("3m").limit == env.spaces.episode_limit


def test_battles_end_give_way_to_the_next_and_keep_their_last_arrival():
    env = adapted()
    _, seen = play(env, env.reset(), 70, np.random.default_rng(0))
    ended = [(step, row) for step in seen for row in range(3) if step.terminated[row] or step.truncated[row]]
    assert len(ended) >= 3
    for step, row in ended:
        assert not step.final_alive[row].all() or step.truncated[row]
        assert step.alive[row].all()


def test_the_limit_truncates():
    env = adapted(limit=4)
    _, seen = play(env, env.reset(), 4, np.random.default_rng(0))
    assert [bool(step.truncated.all()) for step in seen] == [False, False, False, True]
    assert not any(step.terminated.any() for step in seen)


def test_a_restored_snapshot_goes_on_alike():
    env = adapted()
    step, _ = play(env, env.reset(), 30, np.random.default_rng(1))
    kept = env.snapshot()
    _, first = play(env, step, 20, np.random.default_rng(2))
    other = adapted()
    other.restore(kept)
    _, second = play(other, step, 20, np.random.default_rng(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.obs, b.obs)
        np.testing.assert_array_equal(a.reward, b.reward)


def test_a_battle_does_not_depend_on_the_batch():
    wide, narrow = adapted(batch=3), adapted(batch=1)
    np.testing.assert_array_equal(wide.reset().obs[:1], narrow.reset().obs)


def test_an_unavailable_action_is_refused():
    env = adapted(batch=1)
    env.reset()
    with pytest.raises(ValueError, match="action 8 is not available"):
        env.step(np.array([[8, 1, 1]]))
