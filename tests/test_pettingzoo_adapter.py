"""The adapter from ParallelEnv to the vector interface, on the engine's PettingZoo environment."""

import re
import typing

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import ParallelEnv

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


def test_adapter_sizes_equal_those_of_the_engine():
    env = adapted()
    assert (env.spaces.n_agents, env.spaces.n_actions, env.spaces.obs_size, env.spaces.state_size) == (3, 9, 30, 0)
    assert load_map("3m").limit == env.spaces.episode_limit


def test_adapter_starts_the_next_battle_and_keeps_final_views():
    env = adapted()
    _, seen = play(env, env.reset(), 70, np.random.default_rng(0))
    ended = [(step, row) for step in seen for row in range(3) if step.terminated[row] or step.truncated[row]]
    assert len(ended) >= 3
    for step, row in ended:
        assert not step.final_alive[row].all() or step.truncated[row]
        assert step.alive[row].all()


def test_adapter_limit_truncates():
    env = adapted(limit=4)
    _, seen = play(env, env.reset(), 4, np.random.default_rng(0))
    assert [bool(step.truncated.all()) for step in seen] == [False, False, False, True]
    assert not any(step.terminated.any() for step in seen)


def test_adapter_snapshot_continues_alike():
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


def test_adapter_battle_does_not_depend_on_the_batch():
    wide, narrow = adapted(batch=3), adapted(batch=1)
    np.testing.assert_array_equal(wide.reset().obs[:1], narrow.reset().obs)


def test_adapter_refuses_an_unavailable_action():
    env = adapted(batch=1)
    env.reset()
    with pytest.raises(ValueError, match="action 8 is not available"):
        env.step(np.array([[8, 1, 1]]))


class Changeable(ParallelEnv):
    """Two agents that count; from the n-th call on, `change` alters what is answered."""

    metadata: typing.ClassVar = {"name": "changeable"}
    possible_agents: typing.ClassVar = ["a", "b"]

    def __init__(self, at=10**9, change=None):
        self.calls, self.at, self.change = 0, at, change

    def action_space(self, agent):
        """Two actions."""
        return spaces.Discrete(2)

    def answered(self, what, answer):
        """What was meant, or the change."""
        self.calls += 1
        return self.change(answer) if self.calls >= self.at and self.change.__name__.startswith(what) else answer

    def reset(self, seed=None, options=None):
        """Begin."""
        self.agents = ["a", "b"]
        return self.answered("reset", (self.seen(), {"a": {}, "b": {}}))

    def step(self, actions):
        """Count."""
        no = dict.fromkeys("ab", False)
        return self.answered("step", (self.seen(), dict.fromkeys("ab", 1.0), no, no, {"a": {}, "b": {}}))

    def seen(self):
        """Four numbers each."""
        return {agent: np.full(4, self.calls, np.float32) for agent in self.agents}


def reset_shows_one_agent(answer):
    return {"a": answer[0]["a"]}, {"a": {}}


def reset_shows_three_agents(answer):
    return {**answer[0], "c": answer[0]["a"]}, answer[1]


def reset_gives_observations_alone(answer):
    return answer[0]


def step_shows_longer_observations(answer):
    return ({**answer[0], "b": np.zeros(5, np.float32)}, *answer[1:])


def step_shows_shorter_observations(answer):
    return ({**answer[0], "b": np.zeros(1, np.float32)}, *answer[1:])


def step_shows_a_stranger(answer):
    return ({**answer[0], "c": np.zeros(4, np.float32)}, *answer[1:])


def step_masks_another_number_of_actions(answer):
    return (*answer[:4], {"a": {}, "b": {"action_mask": [1]}})


def step_pays_one_agent(answer):
    return (answer[0], {"a": 1.0}, *answer[2:])


def step_answers_as_starcraft_does_after_a_crash(answer):
    return (0, True, {})


def step_raises(answer):
    raise ValueError("operands could not be broadcast together")


def step_shows_words(answer):
    return ({**answer[0], "b": ["north"]}, *answer[1:])


def step_shows_a_dictionary_of_its_own(answer):
    return ({**answer[0], "b": {"eyes": np.zeros(4)}}, *answer[1:])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (reset_shows_one_agent, "reset shows 1 agents (a); expected 2 (a, b)"),
        (reset_shows_three_agents, "reset shows 3 agents (a, b, c); expected 2 (a, b)"),
        (reset_gives_observations_alone, "its reset returned dict; expected a tuple of 2"),
        (step_shows_longer_observations, "the observation of b has 5 numbers; expected 4"),
        (step_shows_shorter_observations, "the observation of b has 1 numbers; expected 4"),
        (step_shows_a_stranger, "observations contain c; expected only a, b"),
        (step_masks_another_number_of_actions, "the action mask of b has 1 numbers; expected 2"),
        (step_pays_one_agent, "rewards lack b; expected one for each of a, b"),
        (step_answers_as_starcraft_does_after_a_crash, "its step returned 3 values; expected a tuple of 5"),
        (step_raises, "its step raised ValueError: operands could not be broadcast together"),
        (step_shows_words, "the observation of b is not one array of numbers (could not convert string to float"),
        (
            step_shows_a_dictionary_of_its_own,
            "the observation of b has the keys eyes; expected observation, and optionally action_mask",
        ),
    ],
)
def test_adapter_error_names_field_expected_and_found(change, said):
    env = ParallelVectorEnv(lambda: Changeable(12, change), batch=1, seed=0, limit=3)
    env.reset()
    with pytest.raises(RuntimeError, match=re.escape(said)):
        for _ in range(10):
            env.step(np.zeros((1, 2), np.int64))


def test_adapter_plays_a_conforming_environment():
    env = ParallelVectorEnv(Changeable, batch=2, seed=0, limit=3)
    env.reset()
    steps = [env.step(np.zeros((2, 2), np.int64)) for _ in range(10)]
    assert [bool(step.truncated.all()) for step in steps] == [t % 3 == 2 for t in range(10)]


def test_adapter_refuses_a_foreign_snapshot():
    with pytest.raises(ValueError, match=r"snapshot holds \['bodies'\]; expected actions, battle, length"):
        adapted().restore({"bodies": np.zeros(3)})
