"""Agents that are taken over: by random actions, by the lowest allowed one, by agents of another run."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from trained_runs import fresh_run

from mawm.team import Actors
from mawm.trained.conditions import check_sizes, replacement, taken_over
from mawm.trained.takeover import LowestAction, OtherRun, RandomActions, TakenOver
from mawm.types import Ints, Spaces

MASK = np.array([[0, 1, 0, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]], np.bool_)


class Told(Actors):
    """A team of two agents, or a substitute, that takes one action and writes down what it is told was played."""

    members = ((0,), (1,))

    def __init__(self, action: int) -> None:
        self.action, self.told = action, list[Ints]()

    def begin(self, *slot_or_battles: Any) -> None:
        """Nothing to forget."""

    def act(self, obs: Any, *rest: Any, **more: Any) -> Ints:
        """The same action for each row (and agent)."""
        return np.full(obs.shape[:-1], self.action, np.int64)

    def played(self, actions: Ints, slot: str = "") -> None:
        """Write it down."""
        self.told.append(actions.copy())


def steps_of(share: float, steps: int = 1) -> tuple[Ints, Told, Told]:
    """Actions (steps, 1000, 2) of a team in which agent 1 is taken over, the team, and the substitute."""
    team, substitute = Told(0), Told(1)
    actors = TakenOver(team, {1: substitute}, share)  # type: ignore[arg-type, dict-item]
    actors.begin("eval", 1000)
    seen = np.zeros((1000, 2, 3), np.float32), np.ones((1000, 2, 2), np.bool_), np.zeros(1000, np.bool_)
    return np.stack([actors.act(*seen, slot="eval", mode="greedy") for _ in range(steps)]), team, substitute


def test_random_actions_are_uniform_over_the_allowed_ones() -> None:
    substitute = RandomActions(np.random.default_rng(0))
    mask = np.repeat(MASK, 10_000, 0)
    chosen = substitute.act(np.zeros((30_000, 1), np.float32), mask, np.zeros(30_000, np.bool_), "greedy")
    counts = [np.bincount(part, minlength=5) for part in chosen.reshape(3, -1)]
    assert (counts[0][[0, 2]] == 0).all() and counts[1].tolist() == [0, 0, 0, 0, 10_000]
    # Five standard deviations of a binomial count: sqrt(10000 * 1/3 * 2/3) = 47, sqrt(10000 * 1/5 * 4/5) = 40.
    assert np.abs(counts[0][[1, 3, 4]] - 10_000 / 3).max() < 240
    assert np.abs(counts[2] - 2000).max() < 200


def test_lowest_action_is_the_first_allowed_one() -> None:
    assert LowestAction().act(np.zeros((3, 1), np.float32), MASK, np.zeros(3, np.bool_), "sample").tolist() == [1, 4, 0]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_taken_over_agent_follows_the_substitute_in_a_share_of_the_steps(share: float) -> None:
    actions, _, _ = steps_of(share, steps=20)
    assert (actions[..., 0] == 0).all()  # the other agent keeps its actions
    taken = actions[..., 1].mean()
    assert abs(taken - share) <= 5 * np.sqrt(share * (1 - share) / actions[..., 1].size)
    if 0 < share < 1:  # independent in each step and battle: not whole battles, and not the same steps in all
        assert actions[..., 1].mean(0).max() < 1 and actions[..., 1].mean(1).std() < 0.05


def test_team_and_substitute_are_told_the_actions_that_were_played() -> None:
    actions, team, substitute = steps_of(0.5, steps=2)
    assert np.array_equal(np.stack(team.told), actions)
    assert np.array_equal(np.stack(substitute.told), actions[..., 1])


def test_taken_over_agent_remembers_the_action_that_was_played() -> None:
    run = fresh_run("both")
    actors = TakenOver(run.team, {1: LowestAction()}, 1.0)
    actors.begin("eval", 4)
    obs = np.random.default_rng(0).random((4, 3, run.spaces.obs_size), dtype=np.float32)
    mask = np.zeros((4, 3, run.spaces.n_actions), np.bool_)
    mask[..., 2:] = True
    actions = actors.act(obs, mask, np.ones(4, np.bool_), slot="eval", mode="sample")
    assert (actions[:, 1] == 2).all() and (actions[:, [0, 2]] != 2).any()
    remembered = [learner.memories["eval"].prev_action for learner in run.team.learners]
    assert np.array_equal(np.stack(remembered, 1), actions)


@pytest.mark.parametrize("method", ["both", "centralized", "ippo", "mappo"])
def test_agent_of_another_run_acts_as_in_its_own_team(method: str) -> None:
    run, again = fresh_run(method), fresh_run(method)
    other = OtherRun(again, 1)
    other.begin(5)
    run.team.begin("eval", 5)
    rng = np.random.default_rng(1)
    for step in range(4):
        obs = rng.random((5, 3, run.spaces.obs_size), dtype=np.float32)
        mask = rng.random((5, 3, run.spaces.n_actions)) < 0.7
        mask[..., 0] = True
        first = np.full(5, step == 0)
        team = run.team.act(obs, mask, first, slot="eval", mode="sample")
        other_actions = other.act(obs[:, 1], mask[:, 1], first, "sample")
        assert np.array_equal(other_actions, team[:, 1])
        run.team.played(team, slot="eval")
        other.played(other_actions)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("agent_1", "give AGENT:random, AGENT:noop or AGENT:RUN2, as in agent_0:random"),
        ("agent_7:noop", "the team has no agent 'agent_7'; its agents are agent_0, agent_1; did you mean"),
        ("agent_1:randm", "randm is not a run's folder (it holds no config.json); after the colon give random, noop"),
    ],
)
def test_mistakes_in_a_replacement_are_named(word: str, said: str) -> None:
    team: Any = SimpleNamespace(agents=("agent_0", "agent_1"))
    with pytest.raises(ValueError, match=re.escape(said)):
        replacement(team, word)


@pytest.mark.parametrize(
    ("word", "name", "by"), [("team:red:noop", "team:red", "noop"), ("team:random", "team", "random")]
)
def test_names_of_replaced_agents_may_hold_colons(word: str, name: str, by: str) -> None:
    team: Any = SimpleNamespace(agents=("team", "team:red"))
    found = replacement(team, word)
    assert (found.name, found.by) == (name, by)


def test_agent_with_two_replacements_is_refused() -> None:
    team: Any = SimpleNamespace(agents=("agent_0", "agent_1"), config=None)
    with pytest.raises(ValueError, match="--replace names agent_1 twice"):
        taken_over(team, ("agent_1:noop", "agent_1:random"), (1.0,))


def test_error_about_sizes_names_all_sizes_of_both() -> None:
    said = "A has observations 5, actions 7, agents 2, and B has observations 5, actions 9, agents 2"
    with pytest.raises(ValueError, match=said):
        check_sizes("A", Spaces(2, 7, 5, 1, 10), "B", Spaces(2, 9, 5, 4, 99))
    check_sizes("A", Spaces(2, 7, 5, 1, 10), "B", Spaces(2, 7, 5, 4, 99))
