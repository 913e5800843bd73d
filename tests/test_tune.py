"""Tuning: search spaces, the decision to end a trial early, and a real tuning that is stopped and continued."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from real_runs import ENVIRONMENT, wait_until

from mawm.configs.presets import load_preset, names_in
from mawm.configs.train import TrainConfig
from mawm.configs.tuning import TuningConfig, load_space, with_values
from mawm.storage.lock import FolderLock
from mawm.sweeps.executors import Task
from mawm.sweeps.manifest import Manifest
from mawm.sweeps.runner import Runner
from mawm.tune import main

optuna_only = pytest.mark.skipif(not importlib.util.find_spec("optuna"), reason="needs the extra tune (optuna)")


@pytest.mark.parametrize("name", names_in("tuning"))
def test_packaged_search_space_fits_the_settings(name: str) -> None:
    assert len(load_space(name, TrainConfig())) >= 2


def test_search_space_takes_dotted_and_nested_names_and_knows_whole_numbers(tmp_path: Path) -> None:
    text = (
        '["agent.world_model.lr"]\nlow = 1e-4\nhigh = 1e-2\nlog = true\n[agent.behaviour.horizon]\nlow = 5\nhigh = 15\n'
    )
    (tmp_path / "space.toml").write_text(f'{text}["sharing.selector"]\ncategories = ["adaptive", "random"]\n')
    rate, horizon, selector = load_space(str(tmp_path / "space.toml"), TrainConfig())
    assert (rate.name, rate.low, rate.high, rate.log, rate.whole) == ("agent.world_model.lr", 1e-4, 1e-2, True, False)
    assert (horizon.whole, horizon.extremes) == (True, (5, 15))
    assert selector.flags("random") == ("--selector", "random")
    assert with_values(TrainConfig(), {"agent.behaviour.horizon": 7}, "trial").agent.behaviour.horizon == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[agent.world_model.lrr]\nlow = 1\nhigh = 2",
            "is no setting of mawm.train (--help-all lists them); did you mean 'agent.world_model.lr'?",
        ),
        ("[agent.world_model.lr]\nlow = 1e-3\nhigh = 1e-4", "low must be below high; got 0.001 and 0.0001"),
        ("[agent.world_model.lr]\nlow = 1e-3", "high must be a number; got nothing"),
        ("[agent.world_model.lr]\nlow = 'a'\nhigh = 1", "low must be a number; got 'a'"),
        ("[agent.world_model.lr]\nlow = 0\nhigh = 1\nlog = true", "with log = true, low must be above 0; got 0"),
        ("[agent.world_model.lr]\nlow = 1e-3\nhigh = 1e-2\nstep = 1", "unknown key 'step'"),
        ("[sharing.bandwidth]\nlow = 0.1\nhigh = 3.0", "bandwidth must be a number in [0, 1]; got 3"),
        ("[agent.behaviour.horizon]\nlow = 1.5\nhigh = 4", "low and high must be whole numbers; got 1.5 and 4"),
        ("[sharing.selector]\nlow = 1\nhigh = 2", "is no number: give categories"),
        ("[sharing.wire]\ncategories = ['float32', 'float8']", "must be one of float32, float16; got 'float8'"),
        ("[sharing.wire]\ncategories = ['float32']", "at least two values, and each once"),
        ("[sharing.wire]\ncategories = ['float32', 'float16']\nlow = 1", "give categories, or low and high"),
        ("[seed]\nlow = 1\nhigh = 5", "[seed] is not for a search space"),
        ("seeds = 5", "seeds must be a table"),
        ("", "it has none"),
        ("[[", "space.toml"),
    ],
)
def test_wrong_search_space_error_names_the_setting_and_the_rule(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(said)):
        load_space(str(tmp_path / "space.toml"), TrainConfig())


def refused(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an error with exit code 2."""
    with pytest.raises(SystemExit) as end:
        main(args)
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1
    return error


def test_tune_without_optuna_names_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    error = refused(["learner", "--out", str(tmp_path / "out")], capsys)
    assert "pip install -c constraints.txt -e '.[tune]'" in error and not (tmp_path / "out").exists()


@optuna_only
def test_tune_refuses_the_seeds_of_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(["learner", "--first-seed", "30", "--out", str(tmp_path / "out")], capsys)
    assert "seeds below 1000 are for runs that you report" in error and not (tmp_path / "out").exists()


@optuna_only
def test_trial_below_the_median_of_earlier_trials_is_pruned() -> None:
    import optuna

    from mawm.sweeps.trials import make_pruner

    decisions = {}
    for rule in ("median", "none"):
        study = optuna.create_study(direction="maximize", pruner=make_pruner(TuningConfig(prune=rule, startup=2)))
        for value in (2.0, 4.0):
            earlier = study.ask()
            earlier.report(value, 1)
            study.tell(earlier, value)
        low, high = study.ask(), study.ask()
        low.report(2.9, 1)
        high.report(3.1, 1)
        decisions[rule] = (low.should_prune(), high.should_prune())
    assert decisions == {"median": (True, False), "none": (False, False)}


@optuna_only
def test_study_refuses_other_settings_and_takes_more_trials(tmp_path: Path) -> None:
    from mawm.sweeps.trials import open_study

    space = load_space("learner", TrainConfig())
    assert open_study(tmp_path, TuningConfig(), space).trials == []
    open_study(tmp_path, TuningConfig(), space)
    with pytest.raises(ValueError, match="holds a tuning with another env_steps"):
        open_study(tmp_path, TuningConfig(env_steps=7), space)
    with pytest.raises(ValueError, match="holds a tuning with another search space"):
        open_study(tmp_path, TuningConfig(), space[1:])


class Tried:
    """An executor whose trainings log one evaluation, by trial. That of trial 2 lasts until it is stopped."""

    name = "tried"
    returns = (1.0, 2.0, 0.5)

    def __init__(self, folder: Path) -> None:
        self.folder, self.stopped = folder, list[str]()

    def start(self, task: Task) -> "TriedTask":
        """Log the evaluation, or write its file."""
        name, found = task.name.removesuffix("-evaluate"), {"env_steps": 600, "win_rate": 0.0}
        value = self.returns[int(name[1:5])]
        if name != task.name:
            task.output.write_text(json.dumps({**found, "return_sampled": value}))
            return TriedTask(self, name, 0)
        (self.folder / name).mkdir()
        row = {"env_steps": 300, "wall_s": 1.0, "eval/win_rate": 0.0, "eval/return_sampled": value}
        (self.folder / name / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        return TriedTask(self, name, None if value < 1 else 0)


@dataclass
class TriedTask:
    """A task of `Tried`."""

    executor: Tried
    name: str
    code: int | None

    def poll(self) -> int | None:
        """The exit code."""
        return self.code

    def status(self) -> str:
        """The exit code, as text."""
        return f"ended ({self.code})"

    def stop(self) -> None:
        """End the training."""
        self.executor.stopped.append(self.name)
        self.code = 143


@optuna_only
def test_runs_of_a_pruned_trial_save_and_end_and_the_best_trial_is_named(tmp_path: Path) -> None:
    from mawm.sweeps.trials import Trials, open_study

    (tmp_path / "space.toml").write_text(SPACE)
    base = with_values(TrainConfig(), {"method": "ippo", "env_steps": 600}, "test")
    config, space = (
        TuningConfig(method="ippo", env_steps=600, startup=2),
        load_space(str(tmp_path / "space.toml"), base),
    )
    executor, manifest = Tried(tmp_path), Manifest(tmp_path)
    runner = Runner(tmp_path, [], manifest, 2, FolderLock(tmp_path), executor)
    trials = Trials(open_study(tmp_path, config, space), config, space, base, 3)
    trials.continue_trials(runner)
    runner.work(trials, pause=0.0)
    assert executor.stopped == ["t0002_s1000", "t0002_s1001"]
    states = [manifest.runs[f"t000{number}_s{seed}"].state for number in range(3) for seed in (1000, 1001)]
    assert states == ["done"] * 4 + ["pruned"] * 2
    first, _, best, other = trials.table(5)
    assert first == "3 trials: 2 complete, 1 pruned, 0 failed, 0 unfinished"
    assert best.startswith("    1  2 (2 2) ") and other.startswith("    0  1 (1 1) ")
    rate = trials.study.trials[1].params["agent.ppo.lr"]
    assert f"--agent.ppo.lr {rate}" in (trials.best_command() or "")


SPACE = '["agent.ppo.lr"]\nlow = 1e-4\nhigh = 1e-2\nlog = true\n["agent.ppo.epochs"]\nlow = 1\nhigh = 3\n'


def tune(folder: Path, space: Path) -> "subprocess.Popen[str]":
    args = (
        str(space), "--method", "ippo", "--train-preset", "debug", "--env-steps", "200", "--trials", "3",
        "--seeds", "2", "--startup", "1", "--jobs", "2", "--out", str(folder),
    )  # fmt: skip
    command = [sys.executable, "-m", "mawm.tune", *args]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def trials_of(folder: Path, space: Path) -> list[Any]:
    """Number, settings, value and seeds' values of each trial."""
    from mawm.sweeps.trials import open_study

    config = TuningConfig(method="ippo", train_preset="debug", env_steps=200, startup=1)
    study = open_study(folder, config, load_space(str(space), load_preset("debug")))
    return [(t.number, t.params, t.state.name, t.values, t.user_attrs) for t in study.trials]


@pytest.mark.slow
@optuna_only
def test_tuning_that_is_stopped_and_killed_ends_like_one_without_stops(tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    space.write_text(SPACE)
    whole = tune(tmp_path / "whole", space)
    out, error = whole.communicate(timeout=900)
    assert whole.returncode == 0, error
    assert "3 trials: " in out and "python -m mawm.train --map 3m --method ippo" in out.splitlines()[-1]
    stopped = tune(tmp_path / "stopped", space)
    wait_until(lambda: (tmp_path / "stopped" / "t0000_s1000" / "config.json").exists(), stopped)
    stopped.send_signal(signal.SIGINT)
    out, error = stopped.communicate(timeout=300)
    assert stopped.returncode == 130 and "the same command goes on" in out, error
    killed = tune(tmp_path / "stopped", space)
    wait_until(lambda: (tmp_path / "stopped" / "t0001_s1000" / "config.json").exists(), killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    last = tune(tmp_path / "stopped", space)
    _, error = last.communicate(timeout=900)
    assert last.returncode == 0, error
    assert trials_of(tmp_path / "stopped", space) == trials_of(tmp_path / "whole", space)
    runs = json.loads((tmp_path / "whole" / "manifest.json").read_text())["runs"]
    assert len(runs) == 6 and {entry["args"][5] for entry in runs.values()} == {"1000", "1001"}
