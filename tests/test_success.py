"""The setting `success`: which battles count as won, and what follows from it; and a team of one."""

import json
import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd_env import Plain
from other_envs import Alone
from results_study import write_run

from mawm.build import temporary_run
from mawm.configs.presets import load_preset
from mawm.envs.pettingzoo import ParallelVectorEnv
from mawm.envs.registry import make_env, names_success
from mawm.envs.success import ReturnThreshold, described, flag_of, threshold_of, with_success
from mawm.evaluation import Evaluation, TeamEvaluation
from mawm.loop import train
from mawm.results.study import Study
from mawm.run_folder.checkpoint import Loaded
from mawm.run_folder.run_state import parts_of, restore
from mawm.train import configure, main
from mawm.trained.conditions import AS_TRAINED, Condition
from mawm.trained.tables import lines_of

DEBUG = load_preset("debug")
ALONE = replace(DEBUG, map="other_envs:Alone", env_steps=200)


@pytest.mark.parametrize(
    ("text", "threshold", "flag"),
    [
        ("return>=5", 5.0, "battle_won"),
        (" return >= -1.5e2 ", -150.0, "battle_won"),
        ("auto", None, "battle_won"),
        ("battle_won", None, "battle_won"),
        ("is_success", None, "is_success"),
    ],
)
def test_success_is_a_flag_or_a_least_return(text: str, threshold: float | None, flag: str) -> None:
    assert (threshold_of(text), flag_of(text)) == (threshold, flag)


@pytest.mark.parametrize(
    "text", ["return", "return>5", "return>=", "return>=ten", "return>=inf", "5", "", "a b", "x>=1"]
)
def test_success_that_is_neither_is_refused_with_an_example_in_quotes(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        configure(["--preset", "debug", "--success", text])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1
    assert f"success is {text!r}" in said and "--success 'return>=5'" in said


def test_flag_of_ones_own_is_refused_on_a_map_of_the_engine(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        configure(["--preset", "debug", "--map", "3m", "--success", "is_success"])
    assert end.value.code == 2 and "success is 'is_success', a flag in the infos" in capsys.readouterr().err
    for success in ("battle_won", "return>=10"):
        assert configure(["--map", "3m", "--success", success]).success == success


def scripted(pay: list[float]) -> Any:
    """A factory of battles that pay these rewards, one a step."""

    def step(self: Any, actions: dict[str, int]) -> Any:
        """Play a step."""
        seen, rewards, *rest = Plain.step(self, actions)
        return seen, dict.fromkeys(rewards, pay[self.t - 1]), *rest

    return type("Scripted", (Plain,), {"step": step, "length": len(pay)})


def won(make: Any, success: str, steps: int) -> list[bool]:
    """Whether each step's battle of one row was won."""
    env = with_success(ParallelVectorEnv(make, 1, 0, 99, success=success), success)
    env.reset()
    return [bool(env.step(np.zeros((1, 2), np.int64)).battle_won[0]) for _ in range(steps)]


def test_battle_is_won_if_its_return_reaches_the_threshold_at_its_end() -> None:
    pay = scripted([2.0, -1.0, 1.0])
    assert won(pay, "return>=2", 6) == [False, False, True] * 2
    assert won(pay, "return>=2.01", 6) == [False] * 6  # a return of 3 on the way is no return
    assert won(scripted([-1.0, -2.0]), "return>=-3", 2) == [False, True]
    assert won(pay, "auto", 3) == [False] * 3


def test_return_that_lacks_only_the_rounding_of_its_rewards_reaches_the_threshold() -> None:
    pay = [0.1] * 10  # as 32-bit numbers their sum is 1.0000000149; ten times 0.7 is 6.9999999
    assert won(scripted(pay), "return>=1", 10)[-1] and won(scripted([0.7] * 10), "return>=7", 10)[-1]
    assert not won(scripted(pay), "return>=1.001", 10)[-1]


def test_threshold_counts_each_row_alone_and_goes_on_from_a_snapshot() -> None:
    def make() -> ReturnThreshold:
        return ReturnThreshold(ParallelVectorEnv(Plain, 2, 0, 99), 2.0)

    first, again, actions = make(), make(), np.array([[1, 1], [0, 1]])
    first.reset()
    for _ in range(3):
        first.step(actions)
    kept = first.snapshot()
    assert kept["success/returns"].tolist() == [3.0, 1.5]
    assert first.step(actions).battle_won.tolist() == [True, True]  # returns of 4 and 2
    again.reset()
    again.restore(kept)
    assert again.step(np.array([[0, 0], [0, 0]])).battle_won.tolist() == [True, False]
    assert again.snapshot()["success/returns"].tolist() == [0.0, 0.0]


def test_named_flag_counts_at_the_end_though_it_is_told_at_every_step() -> None:
    env = ParallelVectorEnv(Alone, 1, 0, 99, success="is_success")
    env.reset()
    assert [bool(env.step(np.zeros((1, 1), np.int64)).battle_won[0]) for _ in range(4)] == [False] * 3 + [True]
    env = ParallelVectorEnv(Alone, 1, 0, 99)
    env.reset()
    assert not any(env.step(np.zeros((1, 1), np.int64)).battle_won[0] for _ in range(4))


@pytest.mark.parametrize(
    ("success", "said"), [("is_sucess", True), ("battle_won", True), ("is_success", False), ("auto", False)]
)
def test_named_flag_that_no_battle_tells_is_warned_of_once(success: str, said: bool) -> None:
    told: list[str] = []
    env = ParallelVectorEnv(Alone, 2, 0, 99, warn=told.append, success=success)
    env.reset()
    for _ in range(9):
        env.step(np.zeros((2, 1), np.int64))
    assert len(told) == int(said)
    assert not said or (f"did not hold {success}, the flag of --success" in told[0] and "held: is_success" in told[0])


@pytest.mark.parametrize(("success", "share"), [("return>=-1000", 1.0), ("return>=1000", 0.0)])
def test_success_decides_win_rates_and_reaches_the_target_of_the_entropy(
    success: str, share: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--preset", "debug", "--placement", "inline", "--map", "market", "--market.steps", "10"]
    assert main([*options, "--env-steps", "250", "--run-dir", str(tmp_path / "run"), "--success", success]) == 0
    assert f"a battle counts as won if its return is at least {success[8:]}" in capsys.readouterr().out
    row = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert [row[tag] for tag in ("eval/win_rate", "eval/win_rate_sampled", "train/win_rate")] == [share] * 3
    saved = json.loads(next((tmp_path / "run").glob("ck-*/learner_agent_0.json")).read_text())
    assert saved["exploration"]["won"] == share


# ---- what is shown


def test_evaluation_shows_returns_alone_where_no_battle_is_known_to_be_won() -> None:
    lost, some = Evaluation(10, 0, -3.5, 4.0, 10), Evaluation(10, 1, -3.5, 4.0, 10)
    row = Condition(AS_TRAINED, DEBUG)
    without = lines_of([(row, TeamEvaluation(lost, lost))], wins=False)
    assert "win rate" not in "".join(without) and "-3.50 / -3.50" in without[1]
    assert "10.0 %" in lines_of([(row, TeamEvaluation(lost, some))], wins=False)[1]
    assert "0.0 % [" in lines_of([(row, TeamEvaluation(lost, lost))])[1]
    assert [names_success(replace(DEBUG, map=m, success=s)) for m, s in (("3m", "auto"), ("a:b", "auto"))] == [
        True,
        False,
    ]
    assert names_success(replace(DEBUG, map="a:b", success="battle_won"))


def rows(returns: list[float], rate: float) -> list[dict[str, float]]:
    """Rows of the log with evaluations."""
    return [
        {"env_steps": 1000 * i, "wall_s": 1.0, "eval/return": x, "eval/return_sampled": x / 2, "eval/win_rate": rate,
         "eval/win_rate_sampled": rate}
        for i, x in enumerate(returns, 1)
    ]  # fmt: skip


def test_reports_compare_returns_where_no_battle_is_known_to_be_won(tmp_path: Path) -> None:
    pytest.importorskip("scipy", reason="the extra `plot` is not installed")
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    from matplotlib.figure import Figure

    from mawm.report import _about
    from mawm.results.drawing import Look
    from mawm.results.figures import make
    from mawm.results.tables import difference_table, improvement_table, results_table, runs_table

    for seed in range(3):
        for method, last in (("both", -2.0 - seed), ("independent", -6.0)):
            log = rows([-9.0, last], 0.0)
            write_run(tmp_path / f"{method}{seed}", log, map="my:env", method=method, seed=seed)
    cells = Study.load([tmp_path]).cells
    name = "my:env"
    table = results_table(name, cells)
    assert not any("win rate" in head or "80 %" in head for head in table.header)
    both = dict(zip(table.header, next(row for row in table.rows if row[0] == "Both"), strict=True))
    assert both["final return"].startswith("-3 [") and both["final return, sampled"].startswith("-1.5 [")
    assert both["area under curve"].startswith("-6 [")  # the mean of -9 and -3 on the way
    gain = difference_table(name, cells)
    assert gain is not None and gain.rows[0][2].startswith("+3 [") and "percentage points" not in gain.note
    better = improvement_table(name, cells)
    assert better is not None and any(cell.startswith("1.00") for row in better.rows for cell in row)
    runs = runs_table(cells)
    assert "final return" in runs.header and not any("win rate" in head for head in runs.header)
    assert all(
        "–" not in cell for row in runs.rows for head, cell in zip(runs.header, row, strict=True) if "final" in head
    )
    assert any("teams are compared by their returns" in line for line in _about(Study.load([tmp_path])))
    figure = make("figure10_return", cells, Look())
    assert isinstance(figure, Figure) and figure.axes[0].get_ylabel() == "return in evaluation"
    drawn = {float(y) for line in figure.axes[0].get_lines() for y in np.asarray(line.get_ydata())}
    assert {-9.0, -3.0} <= drawn
    assert isinstance(make("figure1_win_rate", cells, Look()), str)


def test_map_of_a_run_names_a_success_of_its_own_so_that_no_table_mixes_wins(tmp_path: Path) -> None:
    for name, more in (("a", {"success": "battle_won"}), ("b", {"success": "return>=5"}), ("c", {"map": "3m"})):
        write_run(tmp_path / name, rows([1.0], 0.0), **{"map": "my:env", **more})
    runs = {run.folder.name: run for run in Study.load([tmp_path]).runs}
    assert [runs[name].map for name in "bc"] == ["my:env (success return>=5)", "3m"]
    write_run(tmp_path / "e", rows([1.0], 0.25), map="other:env")
    wins = {run.map: run.wins for run in Study.load([tmp_path]).runs}
    assert wins == {"my:env": True, "my:env (success return>=5)": True, "3m": True, "other:env": True}
    write_run(tmp_path / "f", rows([1.0], 0.0), map="plain:env")
    assert not {run.map: run for run in Study.load([tmp_path]).runs}["plain:env"].wins
    assert described("auto") == "" and "is_success" in described("is_success")


# ---- a team of one


@pytest.mark.parametrize(
    "method",
    ["both", *(pytest.param(m, marks=pytest.mark.slow) for m in ("rollouts", "experience", "centralized", "mappo"))],
)
def test_team_of_one_learns_and_sends_nothing(method: str) -> None:
    with temporary_run(replace(ALONE, method=method)) as run:
        run.save = lambda run: True
        train(run)
        metrics = run.channel.metrics(run.collector.env_steps)
        assert run.names == ("agent_0",) and run.collector.env_steps >= 200
        assert metrics["channel/nominal_bandwidth"] == metrics["channel/sent_bytes"] == 0.0
        assert all(math.isfinite(value) for value in metrics.values())
        # A checkpoint holds the names of the agents, and another environment's checkpoint is refused.
        parts = parts_of(run)
        assert parts["run"][1]["agents"] == ["agent"]
        restore(run, Loaded(Path("ck"), 200, parts))
        parts["run"][1]["agents"] = ["somebody"]
        with pytest.raises(ValueError, match="ck is of the agents somebody; the environment has agent"):
            restore(run, Loaded(Path("ck"), 200, parts))


def test_explorers_get_the_success_of_the_run_too() -> None:
    config = replace(DEBUG, map="market", success="return>=-1000")
    for purpose in ("train", "eval", "test", "explorer"):
        with closing(make_env(config, purpose, 1)) as env:
            assert isinstance(env, ReturnThreshold)
