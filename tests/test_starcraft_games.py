"""Games of StarCraft II in processes: equal to the embedded engine behind a test double; faults replace the game."""

import threading
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from package_double import SEED, PackageDouble, double_games, make_double

from mawm.envs.checked import CheckedEnv, EnvFault
from mawm.envs.process import ProcessDied
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.envs.starcraft import game
from mawm.envs.starcraft.game import GameCrashed
from mawm.envs.starcraft.games import Games
from mawm.types import Step, VectorEnv


def played(env: VectorEnv, steps: int) -> list[tuple[Step, Any]]:
    """Answers to the last available actions, and the actions."""
    step, answers = env.reset(), []
    for _ in range(steps):
        actions = step.avail.shape[-1] - 1 - step.avail[..., ::-1].argmax(-1)
        step = env.step(actions)
        answers.append((step, actions))
    return answers


def assert_equal(one: Step, other: Step, rows: Any = slice(None)) -> None:
    """All fields equal; `final_*` are compared where a battle ended."""
    over = (one.terminated | one.truncated)[rows]
    for name, value in vars(one).items():
        mine, theirs = value[rows], getattr(other, name)[rows]
        if name.startswith("final_"):
            mine, theirs = mine[over], theirs[over]
        np.testing.assert_array_equal(mine, theirs, name)


def test_games_play_the_battles_of_their_rows_and_report_ends_like_the_engine() -> None:
    with closing(double_games(2, processes=True)) as games:
        answers = played(games, 70)
    engine = played(SkirmishVectorEnv("3m", 2, seed=SEED), 70)
    for (step, _), (expected, _) in zip(answers, engine, strict=True):
        assert_equal(step, expected)
    assert sum(int((step.terminated | step.truncated).sum()) for step, _ in answers) >= 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("crash", "GameCrashed: the game ended or gave an error"),
        pytest.param("kill", "was killed by SIGKILL", marks=pytest.mark.slow),
        ("hang", "no answer within 2 s"),
        ("nan", "reward holds nan"),
    ],
)
def test_faulty_game_is_replaced_and_its_battle_is_truncated(
    fault: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # A game that is killed or hangs needs a process.
    where = {"kill": {"processes": True}, "hang": {"processes": True, "timeout_s": 2.0}}.get(fault, {})
    with closing(double_games(2, 1, fault, **where)) as games:
        before, (cut, _), (after, _) = played(games, 4)[1:]
    assert cut.truncated.tolist() == [False, True] and cut.terminated.tolist() == [False, False]
    assert cut.reward[1] == 0.0 and not cut.battle_won[1]
    np.testing.assert_array_equal(cut.final_obs[1], before[0].obs[1])
    undisturbed = SkirmishVectorEnv("3m", 1, seed=SEED, first_battle=3, stride=2)
    for step, (expected, _) in zip((after,), played(undisturbed, 1), strict=True):
        np.testing.assert_array_equal(step.obs[1], expected.obs[0])
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and said in line and "the game is replaced and its battle is cut (1 of 3)" in line
    assert "environment 3m (double), battle 1, step 3: " in line


def test_fault_of_a_later_battle_names_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(double_games(2, 5)) as games:
        for _ in range(2):  # rows 0 and 1 play battles 0 and 1, then 2 and 3, then 4 and 5
            games.reset()
        played(games, 3)
    assert "environment 3m (double), battle 5, step 3: " in capsys.readouterr().err


def test_faults_that_repeat_end_with_one_error() -> None:
    with closing(double_games(1, faulty=0)) as games:
        games._make = games_that_crash_at_the_start
        games.reset()
        with pytest.raises(EnvFault, match="after 3 new games within 1000 environment steps it is not replaced"):
            for _ in range(3):
                games.step(games._now[0].avail.argmax(-1))


def test_new_game_that_cannot_be_constructed_counts_as_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(double_games(2, 1, "crash")) as games:
        make, failures = games._make, [TimeoutError("no answer within 60 s"), ProcessDied("its process has ended")]

        def unlucky(first: int) -> VectorEnv:
            if failures:
                raise failures.pop(0)
            return make(first)

        games._make = unlucky  # type: ignore[method-assign]
        cut = played(games, 3)[2][0]
    assert cut.truncated.tolist() == [False, True]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and "(3 of 3)" in lines[2]
    assert "environment 3m (double), battle 3: construction gave no answer within 60 s; the game is rep" in lines[1]


def test_first_game_that_cannot_be_constructed_is_one_error() -> None:
    def broken(first: int) -> VectorEnv:
        raise ProcessDied("its process ended with exit code 1")

    with pytest.raises(EnvFault, match=r"environment 3m, battle 0: construction raised ProcessDied: its process ended"):
        Games(broken, 2, "3m")


def test_close_ends_a_game_that_another_row_was_starting_when_the_run_failed() -> None:
    starting, may_go_on, closed = threading.Event(), threading.Event(), []

    class Double(CheckedEnv):
        def close(self) -> None:
            closed.append(self)

    def start(first: int) -> VectorEnv:
        if first == 3:  # the new game of row 1 starts slowly
            starting.set()
            assert may_go_on.wait(20)
        return Double(make_double(first, 2, 1, "crash"), "3m (double)")

    games = Games(start, 2, "3m (double)")
    actions = games.reset().avail.argmax(-1)
    for _ in range(2):
        actions = games.step(actions).avail.argmax(-1)
    games._replaced = [0, 0]  # the crash of row 1 is the third fault, that of row 0 the fourth

    def fail_while_row_1_starts(actions: Any) -> Step:
        assert starting.wait(20)
        raise EnvFault("row 0 has failed")

    games._games[0].step = fail_while_row_1_starts  # type: ignore[method-assign]
    with pytest.raises(EnvFault, match="row 0 has failed"):
        games.step(actions)
    threading.Timer(0.2, may_go_on.set).start()
    games.close()
    assert len(games._games) == 2 and all(game in closed for game in games._games)


def test_actions_of_a_wrong_shape_are_an_error_before_any_game_plays() -> None:
    with closing(double_games(2)) as games:
        actions = games.reset().avail.argmax(-1)
        with pytest.raises(ValueError, match=r"actions have shape \(1, 3\); expected \(battles, agents\) = \(2, 3\)"):
            games.step(actions[:1])


def test_each_game_has_a_seed_of_its_own_and_so_has_a_game_that_replaces_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds: list[int] = []

    def package_double(package: str, map_name: str, seed: int) -> PackageDouble:
        seeds.append(seed)
        return PackageDouble(0, 1, None, "crash")

    monkeypatch.setattr(game, "package_env", package_double)
    for seed, first in [(3, 0), (3, 1), (3, 3), (3, 0), (2**63 - 1, 0)]:
        game.make_game("smac", "3m", seed, first, 2)
    assert len(set(seeds)) == 4 and seeds[0] == seeds[3] and all(0 <= seed < 2**31 for seed in seeds)


def games_that_crash_at_the_start(first: int) -> VectorEnv:
    raise EnvFault("the game does not start")


def test_games_begin_new_battles_after_a_restore(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(double_games(2)) as games:
        played(games, 3)
        saved = games.snapshot()
    with closing(double_games(2)) as again:
        begun = again.restore(saved)
        assert begun is not None
        assert_equal(begun, SkirmishVectorEnv("3m", 2, seed=SEED, first_battle=2).reset())
        assert again.snapshot()["battle"].tolist() == [2, 3]
    assert "not exact: 3m (double) cannot continue running battles, so new ones begin" in capsys.readouterr().err


def test_unavailable_action_is_an_error_before_any_game_plays() -> None:
    with closing(double_games(2)) as games:
        first = games.reset()
        actions = first.avail.argmax(-1)
        actions[1, 2] = 0
        with pytest.raises(ValueError, match=r"battle 1, agent 2: action 0 is not available; available now: \[1, "):
            games.step(actions)
        step = games.step(first.avail.argmax(-1))
    expected = SkirmishVectorEnv("3m", 2, seed=SEED)
    assert_equal(step, expected.step(expected.reset().avail.argmax(-1)))


def test_game_does_not_start_again_by_itself() -> None:
    double = make_double(0, 1, faulty=0, fault="crash")
    step = double.reset()
    for _ in range(2):
        step = double.step(step.avail.argmax(-1))
    with pytest.raises(GameCrashed):
        double.step(step.avail.argmax(-1))
