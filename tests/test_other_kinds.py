"""Environments of other kinds than `ParallelEnv`: converted, with the meaning that their kind gives to each answer."""

import re
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from odd_env import Plain
from other_envs import BOX, Alone, Cycle, CycleCut, CycleMaskSeen, CycleMaskTold, Endless, OutOfOrder, Team
from pettingzoo.test import parallel_api_test, parallel_seed_test
from pettingzoo.utils import aec_to_parallel, parallel_to_aec

from mawm.envs.checked import CheckedEnv, EnvFault
from mawm.envs.other_kinds import as_parallel
from mawm.envs.parallel_answers import InvalidAnswer
from mawm.envs.pettingzoo import ParallelVectorEnv, own_parallel_env
from mawm.types import Step


def changed(kind: Any, **parts: Any) -> Any:
    """A factory of a class with other attributes."""
    return type("Changed", (kind,), parts)


def played(make: Any, actions: list[list[int]], limit: int = 9) -> list[Step]:
    """The steps of one row, with checks; the first one is the reset."""
    env = CheckedEnv(ParallelVectorEnv(make, 1, 0, limit), "it")
    return [env.reset(), *(env.step(np.array([each])) for each in actions)]


# ---- PettingZoo AEC


@pytest.mark.parametrize("kind", [Cycle, CycleCut, Alone, Team])
def test_converted_environment_passes_the_tests_of_pettingzoo(kind: Any) -> None:
    parallel_api_test(as_parallel(kind())[0], num_cycles=20)
    parallel_seed_test(lambda: as_parallel(kind())[0], num_cycles=20)
    assert as_parallel(kind())[1]


def test_agents_of_an_aec_environment_act_at_once_and_die_one_after_the_other() -> None:
    _, *steps = played(Cycle, [[1, 1, 0], [0, 0, 0], [0, 1, 1], [0, 1, 0]])
    assert [float(step.reward[0]) for step in steps] == pytest.approx([2 / 3, 0.0, 1.0, 0.5])
    # Red dies in the second cycle: its last arrival is shown, and then it is gone.
    assert [step.alive[0].tolist() for step in steps[:3]] == [[True] * 3, [True] * 3, [False, True, True]]
    assert steps[2].obs[0, 0].tolist() == [0.0] * 3 and steps[2].avail[0, 0].tolist() == [True, False, False]
    assert [bool(step.terminated[0]) for step in steps] == [False, False, False, True]
    assert not any(step.truncated[0] for step in steps)


def test_aec_environment_that_is_cut_is_truncated_and_not_terminated() -> None:
    step = played(CycleCut, [[0, 0, 0]] * 3)[-1]
    assert (bool(step.terminated[0]), bool(step.truncated[0])) == (False, True)


@pytest.mark.parametrize("kind", [CycleMaskSeen, CycleMaskTold])
def test_mask_of_an_aec_environment_is_read_from_the_observation_or_the_infos(kind: Any) -> None:
    steps = played(kind, [[0] * 3, [1] * 3])
    assert [step.avail[0, 2].tolist() for step in steps] == [np.eye(3, dtype=bool)[t].tolist() for t in range(3)]
    assert steps[0].obs.shape == (1, 3, 3)


def test_aec_environment_made_of_a_parallel_one_is_that_one_again() -> None:
    inner = Plain()
    inner.render_mode = None
    assert as_parallel(parallel_to_aec(inner))[0] is inner
    assert as_parallel(inner) == (inner, "")
    converted = aec_to_parallel(Cycle())
    assert as_parallel(converted) == (converted, "")


def test_how_an_environment_was_converted_is_told_by_its_name() -> None:
    kinds = [lambda: Cycle(), lambda: gymnasium.make("CartPole-v1"), Alone, Team]
    assert [ParallelVectorEnv(make, 1, 0, 9).spaces.conversion for make in kinds] == [
        "PettingZoo AECEnv cycle, converted by aec_to_parallel",
        "Gymnasium environment CartPole-v1, a team of one agent",
        "Gymnasium environment Alone, a team of one agent",
        "Gymnasium environment Team, 2 agents from its tuples of spaces",
    ]


# ---- Gymnasium with one agent


def test_gymnasium_environment_is_a_team_of_one_that_is_truncated_at_its_own_limit() -> None:
    steps = played(Alone, [[1], [0], [1], [1]])
    assert [float(step.reward[0]) for step in steps] == [0.0, 1.0, 0.0, 1.0, 1.0]
    assert [bool(step.truncated[0]) for step in steps] == [False, False, False, False, True]
    assert not any(step.terminated[0] for step in steps)
    assert ParallelVectorEnv(Alone, 1, 0, 9).spaces.agents == ("agent",)


def test_environment_that_never_ends_is_cut_at_the_limit_of_the_run() -> None:
    steps = played(Endless, [[0]] * 6, limit=3)
    assert [bool(step.truncated[0]) for step in steps] == [False, False, False, True, False, False, True]


def test_battle_of_a_gymnasium_environment_depends_on_its_seed_alone() -> None:
    first, second = (ParallelVectorEnv(Alone, 2, seed, 9).reset().obs for seed in (7, 7))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, ParallelVectorEnv(Alone, 2, 8, 9).reset().obs)
    assert not np.array_equal(first[0], first[1])


GOAL = spaces.Dict({"observation": BOX, "desired_goal": spaces.Box(0.0, 9.0, (2,), np.float32)})
SEEN: dict[str, tuple[spaces.Space, Any, list[float]]] = {
    "bytes": (spaces.Box(0, 255, (2, 2), np.uint8), np.array([[0, 255], [7, 1]], np.uint8), [0, 255, 7, 1]),
    "float64": (spaces.Box(-9, 9, (2,), np.float64), np.array([0.5, -2.0]), [0.5, -2.0]),
    "a list of integers": (spaces.Box(-9, 9, (2,), np.int64), [3, -4], [3, -4]),
    "a number": (spaces.Box(-9, 9, (), np.float32), 2.5, [2.5]),
    "one of four": (spaces.Discrete(4), 2, [0, 0, 1, 0]),
    "one of three from 5 on": (spaces.Discrete(3, start=5), np.int64(6), [0, 1, 0]),
    "several choices": (spaces.MultiDiscrete([2, 3]), np.array([1, 2]), [0, 1, 0, 0, 1]),
    "bits": (spaces.MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1]),
    "a tuple of one agent": (spaces.Tuple((spaces.Discrete(2), BOX)), (1, [1, 2, 3]), [0, 1, 1, 2, 3]),
    "a dictionary, in the order of its keys": (
        spaces.Dict({"b": BOX, "a": spaces.Discrete(2)}), {"b": [1, 2, 3], "a": 0}, [1, 0, 1, 2, 3],
    ),
    "a goal beside the observation": (
        GOAL, {"observation": [1, 2, 3], "desired_goal": [8, 9]}, [8, 9, 1, 2, 3],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_observation_of_a_gymnasium_environment_is_flattened_as_its_space_says(name: str) -> None:
    space, value, numbers = SEEN[name]
    make = changed(Alone, observation_space=space, look=lambda self: value)
    step = played(make, [[0]])[1]
    assert step.obs.dtype == np.float32 and step.obs[0, 0].tolist() == numbers


FREE = np.array([0, 1, 1], np.int8)
MASKED = spaces.Dict({"observation": BOX, "action_mask": spaces.MultiBinary(3)})


def test_mask_of_a_gymnasium_environment_is_read_from_a_dictionary_or_the_infos() -> None:
    seen = changed(Alone, observation_space=MASKED, look=lambda self: {"observation": [1, 2, 3], "action_mask": FREE})
    rich = changed(
        Alone,
        observation_space=spaces.Dict({**GOAL.spaces, "action_mask": spaces.MultiBinary(3)}),
        look=lambda self: {"observation": [1, 2, 3], "desired_goal": [8, 9], "action_mask": FREE},
    )
    told = changed(Alone, step=lambda self, action: (self.look(), 0.0, False, False, {"action_mask": [0, 1, 1]}))
    for make, size in ((seen, 3), (rich, 5), (told, 3)):
        step = played(make, [[1]])[1]
        assert step.avail[0, 0].tolist() == [False, True, True] and step.obs.shape[-1] == size
    parallel_api_test(as_parallel(seen())[0], num_cycles=5)


# ---- Gymnasium with tuples of spaces


@pytest.mark.parametrize(
    ("pay", "reward"),
    [
        (lambda self, actions: [1.0, 2.0], 1.5),
        (lambda self, actions: (1, 2), 1.5),
        (lambda self, actions: np.array([1.0, 2.0], np.float32), 1.5),
        (lambda self, actions: np.array([[1.0], [2.0]]), 1.5),
        (lambda self, actions: 3.0, 3.0),  # of the team: every agent gets it
        (lambda self, actions: np.float32(3.0), 3.0),
        (lambda self, actions: np.array([3.0]), 3.0),
    ],
)
def test_rewards_of_a_tuple_environment_are_one_for_each_agent_or_one_for_the_team(pay: Any, reward: float) -> None:
    assert float(played(changed(Team, pay=pay), [[0, 0]])[1].reward[0]) == reward


def test_items_of_a_tuple_environment_go_to_the_agents_in_their_order_and_are_padded() -> None:
    looks = ([np.full(3, 1.0), np.full(2, 2.0)], (np.full(3, 1.0), [2.0, 2.0]))
    for look in looks:
        step = played(changed(Team, look=lambda self, look=look: look), [[2, 1]])[1]
        assert step.obs[0].tolist() == [[1.0, 1.0, 1.0], [2.0, 2.0, 0.0]]
        assert step.avail[0].tolist() == [[True, True, True], [True, True, False]]
    array = changed(Team, observation_space=spaces.Tuple((BOX, BOX)), look=lambda self: np.ones((2, 3)))
    assert played(array, [[0, 0]])[1].obs[0].tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize(
    ("told", "masks"),
    [
        (lambda self: {"action_mask": [[1, 0, 1], [0, 1]]}, [[True, False, True], [False, True, False]]),
        (lambda self: ({"action_mask": [0, 1, 0]}, {}), [[False, True, False], [True, True, False]]),
        (lambda self: {}, [[True, True, True], [True, True, False]]),
    ],
)
def test_masks_of_a_tuple_environment_are_read_for_each_agent(told: Any, masks: Any) -> None:
    assert played(changed(Team, told=told), [])[0].avail[0].tolist() == masks


def test_one_mask_of_a_tuple_environment_is_that_of_all_agents() -> None:
    same = spaces.Tuple((spaces.Discrete(2), spaces.Discrete(2)))
    team = changed(Team, action_space=same, told=lambda self: {"action_mask": np.array([0, 1])})
    assert played(team, [])[0].avail[0].tolist() == [[False, True]] * 2


def test_agents_of_a_tuple_environment_may_end_one_after_the_other() -> None:
    ends = lambda self: ([self.t >= 1, self.t >= 3], [False, False])  # noqa: E731 - a method of a changed class
    _, *steps = played(changed(Team, ends=ends), [[1, 1], [0, 1], [0, 1]])
    assert [step.alive[0].tolist() for step in steps[:2]] == [[True, True], [False, True]]
    assert [float(step.reward[0]) for step in steps] == [1.0, 1.0, 1.0]  # of those that still play
    assert [bool(step.terminated[0]) for step in steps] == [False, False, True]


@pytest.mark.parametrize("won", [True, np.True_, np.array(True), [False, True], np.array([1, 0])])
def test_named_flag_of_a_tuple_environment_is_one_or_one_for_each_agent(won: Any) -> None:
    env = ParallelVectorEnv(changed(Team, told=lambda self: {"solved": won}), 1, 0, 9, success="solved")
    env.reset()
    assert [bool(env.step(np.zeros((1, 2), np.int64)).battle_won[0]) for _ in range(4)] == [False] * 3 + [True]


def test_infos_of_a_tuple_environment_may_name_the_dead_and_the_won_battle() -> None:
    told = lambda self: {"alive": [self.t < 2, True], "battle_won": np.array([False, self.t >= 4])}  # noqa: E731
    steps = played(changed(Team, told=told), [[0, 0]] * 4)
    assert steps[2].alive[0].tolist() == [False, True]
    assert [bool(step.battle_won[0]) for step in steps] == [False, False, False, False, True]


# ---- What has no clear meaning


ONE = changed(Team, observation_space=spaces.Tuple((BOX,)))
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "class": (lambda: Alone, TypeError, "the factory returned the class Alone; return an object: Alone()"),
    "none": (lambda: None, TypeError, "NoneType has no possible_agents; return a PettingZoo ParallelEnv"),
    "parts": (lambda: SimpleNamespace(possible_agents=["a"], reset=1), TypeError, "SimpleNamespace has no step"),
    "empty": (changed(Plain, possible_agents=[]), TypeError, "possible_agents are none; expected at least one"),
    "twice": (changed(Plain, possible_agents=[1, "1"]), TypeError, "possible_agents are 1, 1; expected at least one"),
    "rllib": (changed(Plain, action_space=spaces.Dict({})), TypeError, "has an action_space of type Dict; a"),
    "vector": (lambda: gymnasium.make_vec("CartPole-v1", 2), TypeError, "a vector of Gymnasium environments; return"),
    "in turn": (changed(Cycle, metadata={"name": "chess"}), TypeError, "chess is a PettingZoo AECEnv whose agents"),
    "disorder": (OutOfOrder, AssertionError, "expected agent"),
    "items": (ONE, TypeError, "a tuple of 2 action spaces and the observation space"),
    "shared": (changed(Team, observation_space=BOX), TypeError, "a tuple of 2 action spaces and the observation"),
    "box": (changed(Alone, action_space=BOX), ValueError, "agent has action space Box"),
    "start": (changed(Alone, action_space=spaces.Discrete(3, start=1)), ValueError, "Discrete spaces that start at 0"),
    "mixed": (changed(Team, action_space=spaces.Tuple((BOX, BOX))), ValueError, "agent_0 has action space Box"),
    "names": (
        changed(Alone, observation_space=spaces.Sequence(BOX), look=lambda self: (np.ones(3),)), InvalidAnswer,
        "which has no fixed number of numbers",
    ),
    "misfit": (
        changed(Alone, observation_space=spaces.Discrete(2), look=lambda self: 5), InvalidAnswer,
        "the observation of agent does not fit its space Discrete(2) (IndexError",
    ),
    "key": (
        changed(Alone, observation_space=GOAL, look=lambda self: {"observation": [1, 2, 3]}), InvalidAnswer,
        "the observation of agent does not fit its space",
    ),
    "old reset": (changed(Alone, reset=lambda self, seed=None: np.ones(3)), InvalidAnswer, "expected a tuple of 2"),
    "old team reset": (
        changed(Team, reset=lambda self, seed=None: (np.ones(3), np.ones(2))), InvalidAnswer, "its infos are array",
    ),
    "old step": (
        changed(Alone, step=lambda self, action: (np.ones(3), 0.0, False, {})), InvalidAnswer,
        "its step returned 4 values; expected a tuple of 5",
    ),
    "no seed": (changed(Alone, reset=lambda self: (np.ones(3), {})), TypeError, "unexpected keyword argument 'seed'"),
    "three rewards": (changed(Team, pay=lambda self, actions: [1, 2, 3]), InvalidAnswer, "expected one number, or 2"),
    "no reward": (changed(Team, pay=lambda self, actions: None), InvalidAnswer, "the reward of agent_0 is None"),
    "three items": (changed(Team, look=lambda self: [np.ones(3)] * 3), InvalidAnswer, "expected 2 items, one each"),
    "no end": (changed(Team, ends=lambda self: (None, False)), InvalidAnswer, "terminations of agent_0 is None"),
    "infos": (changed(Team, told=lambda self: None), InvalidAnswer, "its infos are None; expected a dictionary"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_environment_without_a_clear_meaning_is_refused_with_what_to_do(name: str) -> None:
    make, kind, said = REFUSED[name]
    with pytest.raises(kind, match=re.escape(said)):
        ParallelVectorEnv(make, 1, 0, 9)


def test_factory_that_returns_one_object_for_all_battles_is_refused() -> None:
    inner, other = Alone(), Plain()
    for make in (lambda: other, lambda: inner, lambda: gymnasium.wrappers.TimeLimit(inner, 9)):
        with pytest.raises(TypeError, match="the factory returned the same object twice"):
            ParallelVectorEnv(make, 2, 0, 9)


def test_number_that_is_not_finite_is_named_also_through_a_flattened_space() -> None:
    make = changed(Alone, look=lambda self: np.array([0.0, np.nan if self.t == 2 else 1.0, 0.0], np.float32))
    with pytest.raises(EnvFault, match="step 2, agent 0: obs holds nan"):
        played(make, [[0], [0]])


def test_mistakes_of_other_kinds_are_user_errors_in_one_line() -> None:
    for name in ("OutOfOrder", "BOX"):
        with pytest.raises(ValueError, match="other_envs:" if name != "BOX" else "cannot be called") as refused:
            own_parallel_env(f"other_envs:{name}", 1, 0, 9)
        assert "\n" not in str(refused.value)
