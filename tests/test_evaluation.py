"""Evaluation: greedy and sampled win rates, their intervals, and the number of distinct battles."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mawm.agents.actor_critic import policy_logits
from mawm.build import make_team
from mawm.configs.presets import load_preset
from mawm.envs.registry import make_env
from mawm.evaluation import AgentOutcome, Evaluation, TeamEvaluation, evaluate, evaluate_both, wilson
from mawm.runtime.training_progress import Progress
from mawm.types import Ints, Spaces, Step

COLUMNS = ("wins", "battles", "distinct", "low", "high")


# Wilson's formula by hand; with n wins of n battles it is n / (n + 1.96^2), with none of n 1.96^2 / (n + 1.96^2).
@pytest.mark.parametrize(
    COLUMNS,
    [
        (5, 10, 10, 0.2366, 0.7634),
        (0, 10, 10, 0.0, 0.2775),
        (10, 10, 10, 0.7225, 1.0),
        (288, 320, 320, 0.8622, 0.9282),
    ],
)
def test_win_rate_interval_is_wilsons(wins: int, battles: int, distinct: int, low: float, high: float) -> None:
    assert Evaluation(battles, wins, 0.0, 0.0, distinct).interval() == pytest.approx((low, high), abs=2e-4)


@pytest.mark.parametrize(
    COLUMNS,
    [
        (64, 64, 1, 0.2065, 1.0),  # 1 / (1 + 3.8415)
        (0, 64, 1, 0.0, 0.7935),
        (64, 64, 17, 0.8157, 1.0),  # 17 / 20.8415
        (32, 64, 10, 0.2366, 0.7634),  # as 5 of 10
    ],
)
def test_win_rate_interval_counts_copies_of_a_battle_once(
    wins: int, battles: int, distinct: int, low: float, high: float
) -> None:
    assert Evaluation(battles, wins, 0.0, 0.0, distinct).interval() == pytest.approx((low, high), abs=2e-4)


class Script:
    """An environment whose battles end after fixed numbers of steps (row 3 wins), and a team of fixed actions."""

    spaces, batch = Spaces(2, 4, 1, 1, 10), 5
    lengths = np.array([3, 3, 3, 2, 3])
    plays = np.array(
        [  # (rows, steps, agents)
            [[1, 0], [1, 0], [2, 0], [0, 0]],
            [[1, 0], [1, 0], [2, 0], [1, 1]],  # as row 0: what follows its end is another battle
            [[1, 0], [1, 0], [2, 1], [0, 0]],  # the other agent, in the last step
            [[1, 0], [1, 0], [2, 0], [0, 0]],  # as row 0, but shorter
            [[1, 0], [2, 0], [1, 0], [0, 0]],  # the same actions in another order
        ]
    )

    def __init__(self) -> None:
        self.time = 0
        self.closed = False

    def begin(self, slot: str, batch: int) -> None:
        """Nothing to forget."""

    def act(self, obs: Any, avail: Any, is_first: Any, *, slot: str, mode: str) -> Ints:
        """The next column; sampled actions are greedy ones plus one."""
        return self.plays[:, min(self.time, 3)] + (mode == "sample")

    def reset(self) -> Step:
        """The first arrival."""
        return self._step(np.zeros(5, np.bool_))

    def step(self, actions: Ints) -> Step:
        """One more step."""
        self.time += 1
        return self._step(self.time == self.lengths)

    def _step(self, over: Any) -> Step:
        full = [np.zeros((5, 2, 1), np.float32), np.ones((5, 2, 4), np.bool_), np.ones((5, 2), np.bool_)]
        won = over & (np.arange(5) == 3)
        reward, none = np.ones(5, np.float32), np.zeros(5, np.bool_)
        return Step(*full, np.zeros((5, 1), np.float32), reward, over, none, won, *full)

    def close(self) -> None:
        """Note it."""
        self.closed = True


def test_distinct_battles_differ_in_a_joint_action_or_in_length() -> None:
    script: Any = Script()
    found = evaluate(script, script, 5)
    assert (found.episodes, found.wins, found.distinct) == (5, 1, 4)
    assert found.mean_return == pytest.approx(2.8) and found.mean_length == pytest.approx(2.8)


def test_evaluation_counts_the_actions_of_each_agent() -> None:
    script: Any = Script()
    first, second = evaluate(script, script, 5).agents
    # By hand from `plays`: the steps before the end of each row.
    assert (first.actions, second.actions) == ((0, 10, 4, 0), (13, 1, 0, 0))
    assert first.action_shares() == pytest.approx([0.0, 10 / 14, 4 / 14, 0.0])


class Deaths(Script):
    """Agent 1 dies in the second step of rows 0 and 2."""

    def _step(self, over: Any) -> Step:
        step = super()._step(over)
        alive = np.ones((5, 2), np.bool_)
        alive[[0, 2], 1] = self.time < 2
        return replace(step, alive=alive, final_alive=alive)


def test_evaluation_counts_deaths_and_no_action_of_the_dead() -> None:
    script: Any = Deaths()
    found = evaluate(script, script, 5)
    assert [agent.deaths for agent in found.agents] == [0, 2] and found.deaths == pytest.approx(0.4)
    assert sum(found.agents[0].actions) == 14 and sum(found.agents[1].actions) == 12


def test_interval_of_none_and_of_all_ends_exactly_at_zero_and_one() -> None:
    assert all(wilson(0.0, n)[0] == 0.0 and wilson(1.0, n)[1] == 1.0 for n in range(1, 400))


def test_agent_facts_give_the_share_of_deaths_with_wilsons_interval() -> None:
    (facts,) = Evaluation(20, 0, 0.0, 0.0, 10, (AgentOutcome(10, (3, 1)),)).agent_facts()
    assert facts.pop("actions") == [0.75, 0.25]
    assert facts == pytest.approx({"deaths": 0.5, "deaths_low": 0.2366, "deaths_high": 0.7634}, abs=2e-4)


class LastAction:
    """Agents without memory that take the last available action: an attack if there is a target."""

    def begin(self, slot: str, batch: int) -> None:
        """Nothing to forget."""

    def act(self, obs: Any, avail: Any, is_first: Any, *, slot: str, mode: str) -> Ints:
        """The last available action."""
        last: Ints = avail.shape[-1] - 1 - avail[..., ::-1].argmax(-1)
        return last


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_evaluation_in_few_rows_plays_the_same_battles_as_in_many(rows: int) -> None:
    config = load_preset("debug")
    team: Any = LastAction()
    with closing(make_env(config, "eval", 7)) as wide, closing(make_env(config, "eval", rows)) as narrow:
        assert evaluate(narrow, team, 7) == evaluate(wide, team, 7)


def test_greedy_and_sampled_evaluation_use_own_environments_and_close_them() -> None:
    made: list[Any] = []
    team: Any = SimpleNamespace(begin=lambda slot, batch: None)

    def make() -> Any:
        made.append(Script())
        team.act = made[-1].act
        return made[-1]

    found = evaluate_both(make, team, 5)
    assert replace(found.greedy, agents=()) == replace(found.sampled, agents=())
    assert [env.closed for env in made] == [True, True]


def outcome() -> TeamEvaluation:
    return TeamEvaluation(Evaluation(64, 64, 20.0, 25.0, 17), Evaluation(64, 32, 12.0, 30.0, 10))


def test_evaluation_metrics_have_greedy_and_sampled_win_rates_with_intervals() -> None:
    expected = {"win_rate": 1.0, "win_rate_low": 0.8157, "win_rate_high": 1.0, "return": 20.0, "length": 25.0}
    expected |= {"win_rate_sampled": 0.5, "win_rate_sampled_low": 0.2366, "win_rate_sampled_high": 0.7634}
    expected |= {"return_sampled": 12.0, "length_sampled": 30.0, "episodes": 64.0}
    expected |= {"distinct_battles": 17.0, "distinct_battles_sampled": 10.0}
    assert outcome().metrics() == pytest.approx(expected, abs=2e-4)


def test_progress_line_shows_both_win_rates_until_the_next_evaluation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run: Any = SimpleNamespace(collector=SimpleNamespace(env_steps=500), env_steps=1000, wall_s=1.0)
    progress = Progress()
    progress(run, {})
    progress(run, {f"eval/{name}": value for name, value in outcome().metrics().items()})
    progress(run, {"train/win_rate": 0.25})
    before, then, after = capsys.readouterr().out.splitlines()
    assert "win rate greedy -  sampled -  train -" in before
    assert "win rate greedy 100 % [82, 100]  sampled 50 % [24, 76]  train -" in then
    assert "win rate greedy 100 % [82, 100]  sampled 50 % [24, 76]  train 25 %" in after


@pytest.fixture(scope="module")
def small() -> Iterator[Any]:
    """Settings of a run that takes seconds, its environment and its team."""
    config = load_preset("debug")
    env = make_env(config, "eval", 6)
    yield config, env, make_team(config, env.spaces, "cpu", "inline")
    env.close()


def test_evaluation_changes_no_generator_or_learner_of_training(small: Any) -> None:
    config, _, team = small
    team.begin("train", 4)
    before = team.states()
    evaluate_both(lambda: make_env(config, "eval", 6), team, 6)
    for (arrays, rest), (arrays_then, rest_then) in zip(before, team.states(), strict=True):
        assert {name for name in arrays_then if name not in arrays} <= {
            f"memory/eval/{part}" for part in ("deter", "stoch", "prev_action")
        }
        assert [name for name in arrays if not np.array_equal(arrays[name], arrays_then[name])] == []
        moved = {purpose for purpose, at in rest_then["generators"].items() if at != rest["generators"][purpose]}
        assert moved == {"evaluate"}
        assert {**rest, "generators": {}} == {**rest_then, "generators": {}}


def test_greedy_action_is_the_most_likely_of_a_sampled_latent(small: Any) -> None:
    _, env, team = small
    agent, step = team.learners[0], env.reset()
    obs, avail = step.obs[:, 0], step.avail[:, 0]
    latents = {}
    for mode, seed in (("greedy", 5), ("sample", 5), ("greedy", 6)):
        agent.begin("eval", 6)
        memory = agent.memories["eval"]
        action = memory.act(obs, avail, np.ones(6, np.bool_), mode, np.random.default_rng(seed))
        latents[mode, seed] = memory.arrays()["stoch"]
        if mode == "greedy":
            logits = policy_logits(agent.acting.actor, memory.state, torch.from_numpy(avail))
            assert action.tolist() == logits.argmax(-1).tolist()
    assert np.array_equal(latents["greedy", 5], latents["sample", 5])  # one draw a latent, whatever the action
    assert not np.array_equal(latents["greedy", 5], latents["greedy", 6])
