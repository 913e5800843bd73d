"""The main job as a user meets it: real processes that train, stop at Ctrl-C, go on, and are evaluated."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mawm import train
from mawm.run_folder.checkpoint import newest

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
    """A debug run, stopped and resumed once."""
    cwd = tmp_path_factory.mktemp("work")
    args = ("--preset", "debug", "--bandwidth", "0.5", "--placement", "inline", "--run-dir", "r")
    said = finished("train", *args, cwd=cwd)
    for part in ("embedded; not StarCraft II", "method both", "nominal bandwidth 0.5", "tensorboard --logdir", "ETA"):
        assert part in said
    finished("train", "--resume", "r", "--env-steps", "900", cwd=cwd)
    return cwd / "r"


def test_a_run_leaves_its_settings_metrics_events_and_checkpoints(run: Path) -> None:
    settings = json.loads((run / "config.json").read_text())["config"]
    assert settings["map"] == "3m" and settings["sharing"]["bandwidth"] == 0.5
    assert list(run.glob("events.out.tfevents.*"))
    assert newest(run).env_steps >= 900


def test_metrics_go_on_after_a_resume_without_a_doubled_row(run: Path) -> None:
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
    assert "shifted" not in facts


def test_a_finished_run_says_so(run: Path) -> None:
    said = finished("train", "--resume", str(run), cwd=run)
    assert "nothing to do. Raise --env-steps to go on" in said


def test_a_run_on_the_engine_of_version_0_1_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(ROOT / "tests/golden/run-0.2.0", folder)
    config = json.loads((folder / "config.json").read_text())
    config["config"]["rules"] = {"spawn_jitter": 0.0, "leash": 21.0}  # as that version wrote them
    (folder / "config.json").write_text(json.dumps(config))
    for command in (("train", "--resume", str(folder)), ("evaluate", str(folder))):
        done = subprocess.run(
            [sys.executable, "-m", f"mawm.{command[0]}", *command[1:]], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "is from mawm 0.1, whose settings, battles" in done.stderr


def test_a_run_of_an_earlier_release_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(ROOT / "tests/golden/run-0.2.0", folder)
    before = newest(folder)
    assert before.env_steps == 384 and len(before.parts) == 4
    assert train.main(["--resume", str(folder), "--env-steps", "450"]) == 0
    assert newest(folder).env_steps >= 450
    assert "learner_agent_2" in newest(folder).parts
