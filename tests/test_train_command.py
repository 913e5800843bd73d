"""`mawm.train` and `mawm.evaluate` as real processes: train, resume, evaluate."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mawm import evaluate, train
from mawm.run_folder.checkpoint import newest
from mawm.run_folder.manifest import read_config

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def command(name: str, *args: str) -> list[str]:
    return [sys.executable, "-m", f"mawm.{name}", *args]


def finished(name: str, *args: str, cwd: Path) -> str:
    done = subprocess.run(
        command(name, *args), cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a debug run that was resumed once."""
    cwd = tmp_path_factory.mktemp("work")
    args = ("--preset", "debug", "--bandwidth", "0.5", "--placement", "inline", "--run-dir", "r")
    said = finished("train", *args, cwd=cwd)
    for part in ("embedded; not StarCraft II", "method both", "nominal bandwidth 0.5", "tensorboard --logdir", "ETA"):
        assert part in said
    assert "\x1b" not in said  # no terminal: plain lines
    assert re.search(r"^steps 1\d\d/600  steps/s \d+  ETA \d+m\d\ds  win rate greedy -  sampled -  train ", said, re.M)
    assert train.main(["--resume", str(cwd / "r"), "--env-steps", "900"]) == 0
    return cwd / "r"


def test_train_writes_settings_metrics_events_and_checkpoints(run: Path) -> None:
    settings = json.loads((run / "config.json").read_text())["config"]
    assert settings["map"] == "3m" and settings["sharing"]["bandwidth"] == 0.5
    assert list(run.glob("events.out.tfevents.*"))
    assert newest(run).env_steps >= 900


def test_train_resume_continues_metrics_without_duplicate_rows(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [row["env_steps"] for row in rows]
    assert steps == sorted(set(steps)) and steps[-1] >= 900
    expected = {
        "eval/win_rate",
        "eval/win_rate_sampled_low",
        "eval/distinct_battles_sampled",
        "train/win_rate",
        "channel/realised_bandwidth",
        "channel/bytes_per_env_step",
    }
    expected |= {"agent_0/world_model/reward_loss", "agent_2/critic/loss"}
    assert expected <= {tag for row in rows for tag in row}
    shares = [row["channel/realised_bandwidth"] for row in rows]
    assert max(shares) <= 0.5 and shares[-1] > 0.02
    assert rows[-1]["channel/experience/sent_items"] > 0


def test_evaluate_prints_one_line_of_json_with_an_interval(run: Path) -> None:
    lines = finished("evaluate", str(run), "--json", "--episodes", "8", cwd=run).splitlines()
    facts = json.loads(lines[0])
    assert len(lines) == 1 and facts["episodes"] == 8
    for rate in ("win_rate", "win_rate_sampled"):
        assert 0 <= facts[f"{rate}_low"] <= facts[rate] <= facts[f"{rate}_high"] <= 1
    assert (facts["low"], facts["high"]) == (facts["win_rate_low"], facts["win_rate_high"])
    assert "rows" not in facts and facts["agents"].keys() == {"agent_0", "agent_1", "agent_2"}


def test_train_of_a_finished_run_reports_nothing_to_do(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--resume", str(run)]) == 0
    assert "nothing to do. Raise --env-steps to go on" in capsys.readouterr().out


def test_train_refuses_a_run_of_engine_version_0_1_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(ROOT / "tests/golden/run-0.2.0", folder)
    config = json.loads((folder / "config.json").read_text())
    config["config"]["rules"] = {"spawn_jitter": 0.0, "leash": 21.0}  # as that version wrote them
    (folder / "config.json").write_text(json.dumps(config))
    for main, args in ((train.main, ("--resume", str(folder))), (evaluate.main, (str(folder),))):
        with pytest.raises(SystemExit) as end:
            main([*args])
        said = capsys.readouterr().err
        assert end.value.code == 2 and said.count("\n") == 1
        assert "is from mawm 0.1, whose settings, battles" in said


def test_train_resumes_a_run_of_an_earlier_release(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(ROOT / "tests/golden/run-0.2.0", folder)
    before = newest(folder)
    assert before.env_steps == 384 and len(before.parts) == 4
    assert train.main(["--resume", str(folder), "--env-steps", "450"]) == 0
    assert newest(folder).env_steps >= 450
    assert "learner_agent_2" in newest(folder).parts


def test_engine_is_compiled_before_the_clock_and_other_environments_are_not_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    make_env = train.make_env
    monkeypatch.setattr(train, "make_env", lambda config, *rest: made.append(config.map) or make_env(config, *rest))
    for name, battles in (("3m", 2), ("market", 1)):  # the battles of the run, and before them one that does not count
        made.clear()
        words = ["--preset", "debug", "--map", name, "--env-steps", "8", "--placement", "inline"]
        assert train.main([*words, "--run-dir", str(tmp_path / name)]) == 0
        assert made == battles * [name]


def test_early_run_goes_on_by_the_settings_with_which_it_began(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(ROOT / "tests/golden/run-0.2.0", folder)
    config = json.loads((folder / "config.json").read_text())
    assert read_config(folder).agent.world_model.end_rewards == "apart"
    for group, name in (
        ("world_model", "end_rewards"),
        ("behaviour", "greedy_battles"),
        ("behaviour", "replay_critic"),
    ):
        del config["config"]["agent"][group][name]
    (folder / "config.json").write_text(json.dumps(config))
    agent = read_config(folder).agent
    assert agent.world_model.end_rewards == "shared"
    assert (agent.behaviour.greedy_battles, agent.behaviour.replay_critic) == (0.0, 0.0)
