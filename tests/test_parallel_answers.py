"""Habits of users' environments: those with a clear meaning are understood, the others are refused by name."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from odd_env import Plain, Reversed

from mawm.envs.checked import CheckedEnv, EnvFault
from mawm.envs.opposing_rewards import STEPS, OpposingRewards
from mawm.envs.parallel_answers import action_count, flag, info_of, mask_of, number
from mawm.envs.pettingzoo import ParallelVectorEnv, own_parallel_env
from mawm.envs.restarting import RestartingEnv
from mawm.types import Step

FALSE = {"red": False, "blue": False}
TRUE = {"red": True, "blue": True}


class Ends(Plain):
    """Never removes an agent by itself; `plan` gives each step's terminations, truncations and agents that are left."""

    def __init__(self, plan: list[tuple[dict[str, bool], dict[str, bool], list[str]]]) -> None:
        self.plan = plan

    def step(self, actions: dict[str, int]) -> Any:
        """Play a step."""
        terminated, truncated, left = self.plan[min(self.t, len(self.plan) - 1)]
        self.t += 1
        playing, self.agents = self.agents, list(left)
        infos = {agent: {"battle_won": len(terminated) == 2 and all(terminated.values())} for agent in playing}
        return self.seen(), dict.fromkeys(playing, 1.0), terminated, truncated, infos


BOTH = ["red", "blue"]
GOES_ON = (FALSE, FALSE, BOTH)


@pytest.mark.parametrize(
    ("last", "ended"),
    [
        ([(TRUE, FALSE, BOTH)], "terminated"),
        ([(TRUE, FALSE, [])], "terminated"),
        ([(FALSE, TRUE, BOTH)], "truncated"),
        ([({"red": True, "blue": False}, FALSE, BOTH), ({"red": True, "blue": True}, FALSE, BOTH)], "terminated"),
        ([({"red": True}, {}, BOTH), ({"blue": True}, {}, BOTH)], "terminated"),
        ([({"__all__": True, **FALSE}, FALSE, BOTH)], "terminated"),
        ([(FALSE, {"__all__": True, **FALSE}, BOTH)], "truncated"),
        ([(FALSE, FALSE, [])], "terminated"),
        ([({"red": True, "blue": False}, {"red": False, "blue": True}, [])], "truncated"),
    ],
)
def test_adapter_ends_a_battle_whose_agents_have_all_ended_though_the_environment_keeps_them(
    last: list[Any], ended: str
) -> None:
    env = CheckedEnv(ParallelVectorEnv(lambda: Ends([GOES_ON, GOES_ON, *last]), 1, 0, 50), "ends")
    env.reset()
    steps = [env.step(np.zeros((1, 2), np.int64)) for _ in range(2 + len(last))]
    assert [bool(step.terminated[0] or step.truncated[0]) for step in steps] == [False] * (1 + len(last)) + [True]
    assert getattr(steps[-1], ended)[0]


def test_adapter_counts_an_agent_that_terminated_earlier_as_dead_until_it_is_reported_alive_again() -> None:
    plan = [GOES_ON, ({"red": True, "blue": False}, FALSE, BOTH), ({"red": True, "blue": False}, FALSE, BOTH), GOES_ON]
    env = ParallelVectorEnv(lambda: Ends(plan), 1, 0, 50)
    env.reset()
    alive = [env.step(np.zeros((1, 2), np.int64)).alive[0].tolist() for _ in range(4)]
    assert alive == [[True, True], [True, True], [False, True], [True, True]]


class Stateful(Plain):
    """Keeps an array under the name of PettingZoo's method."""

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        """Reset."""
        self.state = np.zeros(4)
        return super().reset(seed)


def test_adapter_does_not_call_the_state_of_an_environment() -> None:
    env = ParallelVectorEnv(Stateful, 2, 0, 9)
    assert env.reset().state.shape == (2, 0) and env.spaces.state_size == 0


def test_adapter_puts_agents_in_the_wanted_order_and_refuses_other_names() -> None:
    listed, turned = (ParallelVectorEnv(Reversed, 1, 0, 9, names) for names in ((), ("green", "blue", "red")))
    assert listed.spaces.agents == ("red", "blue", "green") and turned.spaces.agents == ("green", "blue", "red")
    np.testing.assert_array_equal(listed.reset().obs[:, ::-1], turned.reset().obs)
    paid = [env.step(np.array([[0, 1, 2]])).reward[0] for env in (listed, turned)]
    assert paid == [np.float32(1.0), np.float32(1 / 3)]
    with pytest.raises(ValueError, match=r"agents are red, blue, green; .* red, pink, green: the names of"):
        ParallelVectorEnv(Reversed, 1, 0, 9, ("red", "pink", "green"))


class Answers(Plain):
    """Changes what its step answers."""

    def __init__(self, field: int, change: Callable[[Any], Any]) -> None:
        self.field, self.change = field, change

    def step(self, actions: dict[str, int]) -> Any:
        """Play a step."""
        answer = list(super().step(actions))
        answer[self.field] = self.change(answer[self.field])
        return tuple(answer)


@pytest.mark.parametrize(
    "infos", [None, {}, {"red": None}, {"red": {}, "blue": None}, {"red": {"alive": np.array([1])}, "blue": {}}]
)
def test_adapter_understands_missing_infos(infos: Any) -> None:
    env = ParallelVectorEnv(lambda: Answers(4, lambda _: infos), 1, 0, 9)
    env.reset()
    assert env.step(np.array([[1, 0]])).reward[0] == 0.5 and env.step(np.array([[1, 1]])).alive.all()


NAN = float("nan")
REFUSED: dict[str, tuple[int, Callable[[Any], Any], str]] = {
    "infos": (4, lambda x: [x], "infos are of type list; expected a dictionary by agent"),
    "info": (4, lambda x: {"red": 3}, "infos of red are of type int; expected a dictionary by agent"),
    "mask NaN": (4, lambda x: {"red": {"action_mask": [NAN, 1, 0]}}, "the action mask of red holds nan; expected 0"),
    "mask of logits": (4, lambda x: {"red": {"action_mask": [-np.inf, 0, 0]}}, "the action mask of red holds -inf"),
    "mask of words": (4, lambda x: {"red": {"action_mask": "ab"}}, "the action mask of red is 'ab'; expected zeros"),
    "alive NaN": (4, lambda x: {"red": {"alive": NAN}}, "alive of red is nan; expected True or False"),
    "won maybe": (4, lambda x: {"red": {"battle_won": 0.5}}, "battle_won of red is 0.5; expected True or False"),
    "flag NaN": (2, lambda x: {**x, "red": NAN}, "terminations of red is nan; expected True or False"),
    "one flag": (2, lambda x: True, "terminations are of type bool; expected a dictionary by agent"),
    "one reward": (1, lambda x: 1.0, "rewards are of type float; expected a dictionary by agent"),
    "reward None": (1, lambda x: {**x, "red": None}, "the reward of red is None; expected one finite number"),
    "reward NaN": (1, lambda x: {**x, "red": NAN}, "the reward of red is nan; expected one finite number"),
    "two rewards": (1, lambda x: {**x, "red": [1, 2]}, "the reward of red is [1, 2]; expected one finite number"),
    "no observation": (0, lambda x: {**x, "red": None}, "the observation of red is None; leave out an agent"),
    "nested": (
        0, lambda x: {**x, "red": {"observation": {"position": [0]}}},
        "the observation of red, field observation, is a dictionary with the keys position; expected one array",
    ),
    "ragged": (0, lambda x: {**x, "red": [[1.0], [1.0, 2.0]]}, "the observation of red is not one array of numbers"),
    "complex": (0, lambda x: {**x, "red": [1j, 0, 0]}, "the observation of red is not one array of numbers"),
    "list": (0, lambda x: list(x), "observations are of type list; expected a dictionary by agent"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_adapter_refuses_an_answer_without_a_clear_meaning_and_names_agent_and_field(name: str) -> None:
    field, change, said = REFUSED[name]
    with pytest.raises(RuntimeError, match=re.escape(said)):
        ParallelVectorEnv(lambda: Answers(field, change), 1, 0, 9)


def test_flags_numbers_and_masks_may_be_arrays_of_one_element() -> None:
    assert (flag("x", np.array([True])), flag("x", 0), flag("x", np.float32(1.0))) == (True, False, True)
    assert number("x", np.array([[2.5]], np.float32)) == 2.5 and info_of({"a": None}, "a") == {}
    assert mask_of("a", [1.0, 0, True], 3).tolist() == [True, False, True]


def of_gym(kind: str) -> Any:
    """An object whose class pretends to be of the old package gym."""
    return type(kind, (), {"__module__": "gym.spaces", "__repr__": lambda self: f"{kind}(3)", "n": 3})()


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (of_gym("Discrete"), "red has action space Discrete(3) of the old package gym; use gymnasium.spaces.Discrete"),
        (spaces.Discrete(3, start=1), "only Discrete spaces that start at 0 are supported"),
        (spaces.MultiDiscrete([3, 2]), "only Discrete spaces that start at 0 are supported"),
    ],
)
def test_action_space_that_is_not_supported_is_named(space: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        action_count(space, "red")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NoSeed", "environment odd_env:NoSeed: NoSeed.reset() got an unexpected keyword argument 'seed'"),
        ("FourValues", "environment odd_env:FourValues: its step returned 4 values; expected a tuple of 5"),
        ("needs_size", "environment odd_env:needs_size: needs_size() missing 1 required positional argument: 'size'"),
        (
            "Turns",
            "Turns is a PettingZoo AECEnv whose agents act in turn (its metadata do not say is_parallelizable)",
        ),
        ("Exits", "environment odd_env:Exits ended its process at the start (sys.exit(2))"),
    ],
)
def test_mistake_that_a_restart_does_not_cure_is_a_user_error(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        own_parallel_env(f"odd_env:{name}", 1, 0, 9)


class Fails:
    """Raises an error at every step."""

    def __init__(self, error: Exception) -> None:
        self.error, self.inner = error, ParallelVectorEnv(Plain, 1, 0, 9)
        self.spaces, self.batch = self.inner.spaces, 1

    def reset(self) -> Step:
        """Reset."""
        return self.inner.reset()

    def step(self, actions: Any) -> Step:
        """Fail."""
        raise self.error

    def close(self) -> None:
        """Nothing to release."""


@pytest.mark.parametrize(("error", "lines"), [(KeyError("wall"), 1), (ConnectionError("gone"), 3)])
def test_restarting_env_gives_up_at_the_second_occurrence_of_a_mistake_but_not_of_an_outside_failure(
    error: Exception, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    env = RestartingEnv(lambda: CheckedEnv(Fails(error), "x"), "x")  # type: ignore[arg-type]
    env.reset()
    with pytest.raises(EnvFault, match="not restarted"):
        env.step(np.zeros((1, 2), np.int64))
    assert capsys.readouterr().err.count("it is restarted") == lines


def judged(rewards: np.ndarray) -> str:
    """The sentence about rewards (steps, agents)."""
    judge = OpposingRewards([f"a{i}" for i in range(rewards.shape[1])])
    return "".join(judge.add({f"a{i}": float(x) for i, x in enumerate(row)}) for row in rewards)


def test_opposing_rewards_are_found_and_those_of_a_team_are_not() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(2 * STEPS, 1))
    assert "the rewards of a0 and a1 oppose each other (correlation -1.00" in judged(np.hstack([one, -one]))
    assert "a1 and a2" in judged(np.hstack([0 * one, one, rng.normal(0, 0.2, one.shape) - one]))
    for team in (np.hstack([one, one]), rng.normal(size=(2 * STEPS, 4)), (rng.random((2 * STEPS, 3)) < 0.1), 0 * one):
        assert judged(np.asarray(team, float)) == ""
    found = rng.integers(0, 8, 2 * STEPS)
    assert judged(np.eye(8)[found][:, :2]) == ""  # each find is paid to one of several agents


class ZeroSum(Plain):
    """Pays red what blue loses."""

    length = 50

    def step(self, actions: dict[str, int]) -> Any:
        """Play a step."""
        obs, _, *rest = super().step(actions)
        pay = float(self.rng.normal())
        return obs, {"red": pay, "blue": -pay}, *rest


def test_adapter_warns_once_of_a_zero_sum_environment() -> None:
    said: list[str] = []
    env = ParallelVectorEnv(ZeroSum, 2, 0, 60, warn=said.append)
    env.reset()
    for _ in range(2 * STEPS):
        env.step(np.zeros((2, 2), np.int64))
    assert len(said) == 1 and "the rewards of red and blue oppose each other (correlation -1.00" in said[0]


class LastMask(Ends):
    """Shows an ending agent a mask of zeros, and tells `battle_won` only at the end."""

    def step(self, actions: dict[str, int]) -> Any:
        """Play a step."""
        seen, rewards, ends, cut, infos = super().step(actions)
        for agent in infos:
            infos[agent] = {"action_mask": np.full(3, int(not ends[agent])), "battle_won": None}
        return seen, rewards, ends, cut, infos


def test_adapter_accepts_a_mask_of_zeros_of_an_agent_that_ends_and_missing_values_in_infos() -> None:
    plan = [({"red": False, "blue": True}, FALSE, BOTH), (TRUE, FALSE, BOTH)]
    env = CheckedEnv(ParallelVectorEnv(lambda: LastMask(plan), 1, 0, 9), "last")
    env.reset()
    step = env.step(np.zeros((1, 2), np.int64))
    assert step.avail[0].tolist() == [[True, True, True], [True, False, False]] and not step.battle_won[0]
    with pytest.raises(EnvFault, match="forbids every action"):
        never = [(FALSE, FALSE, BOTH)]
        blocked = CheckedEnv(ParallelVectorEnv(lambda: Blocked(never), 1, 0, 9), "blocked")
        blocked.reset()
        blocked.step(np.zeros((1, 2), np.int64))


class Blocked(Ends):
    """Forbids every action to an agent that goes on."""

    def step(self, actions: dict[str, int]) -> Any:
        """Play a step."""
        seen, rewards, ends, cut, infos = super().step(actions)
        return seen, rewards, ends, cut, {agent: {"action_mask": np.zeros(3)} for agent in infos}
