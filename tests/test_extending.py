"""The script of docs/extending.md runs: rows make methods, a learner, an environment, a selector and more."""

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mawm.agents.config import AgentConfig, ReplayConfig
from mawm.build import check_room
from mawm.configs.train import TrainConfig
from mawm.envs.checked import EnvFault
from mawm.envs.market.vector import MarketVectorEnv
from mawm.envs.registry import ENVIRONMENTS, Environment, make_env
from mawm.estimates import _learning
from mawm.team import InlineTeam
from mawm.types import Spaces, Step

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("extending") / "mine.py"
    path.write_text("\n".join(BLOCKS))
    return path


def run(command: str, words: str, plugin: Path, plugins: str = "mine") -> subprocess.CompletedProcess[str]:
    """Run a command from the plugin's folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MAWM_PLUGINS": plugins}
    line = [sys.executable, "-m", f"mawm.{command}", *words.split()]
    return subprocess.run(line, cwd=plugin.parent, env=environment, capture_output=True, text=True, check=False)


def rows_of(run_dir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


SMALL = "--preset debug --map short_market --env-steps 200"


def test_extending_examples_have_at_most_thirteen_lines() -> None:
    lengths = [len([line for line in block.splitlines() if line]) for block in BLOCKS[1:]]
    assert len(lengths) == 6 and max(lengths) <= 13


# Worker processes import the plugin, too (slow).
@pytest.mark.parametrize("placement", ["inline", pytest.param("process", marks=pytest.mark.slow)])
def test_run_uses_the_rows_of_a_plugin(placement: str, plugin: Path, tmp_path: Path) -> None:
    rows = "--method both --selector lost --budget double --channel nobody"
    done = run("train", f"{SMALL} {rows} --run-dir {tmp_path}/run --placement {placement}", plugin)
    assert done.returncode == 0, done.stderr
    assert "the market, with no explorers in it" in done.stdout
    last = rows_of(tmp_path / "run")[-1]
    assert 0 < last["channel/sent_items"] == last["channel/experience/sent_items"]  # of rollouts none is offered
    received = [value for tag, value in last.items() if tag.endswith("replay/received_steps")]
    assert received and sum(received) == 0  # the delivery "nobody"


@pytest.mark.slow  # six processes
def test_sweep_evaluation_and_report_know_the_method_of_a_plugin(plugin: Path, tmp_path: Path) -> None:
    grid = "--maps short_market --methods one_model --seeds 1 --env-steps 200 --train-preset debug"
    done = run("sweep", f"{grid} --jobs 1 --out {tmp_path}/runs", plugin)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = [path.parent for path in (tmp_path / "runs").rglob("config.json")]
    last = rows_of(folder)[-1]
    assert "team/world_model/loss" in last and last["channel/sent_items"] == 0  # one learner, which sends nothing
    shown = run("evaluate", f"{folder} --episodes 4", plugin)
    assert shown.returncode == 0, shown.stderr
    without = run("evaluate", f"{folder} --episodes 4", plugin, plugins="")
    assert without.returncode == 2 and "MAWM_PLUGINS=mine; set it again" in without.stderr
    page = run("report", f"{tmp_path}/runs -o {tmp_path}/page.html", plugin)
    assert page.returncode == 0 and "one_model" in (tmp_path / "page.html").read_text(), page.stderr


def test_learner_of_a_plugin_logs_and_keeps_its_number_and_is_protected_by_the_gate(
    plugin: Path, tmp_path: Path
) -> None:
    words = f"{SMALL} --method counting --selector all --gate strict --placement inline --run-dir {tmp_path}/run"
    for steps in (200, 300):  # the second command continues the run
        done = run("train", f"{words} --env-steps {steps}", plugin)
        assert done.returncode == 0, done.stderr
    counts = [row["agent_0/channel/messages"] for row in rows_of(tmp_path / "run")]
    assert counts == sorted(counts) and counts[-1] > 0 and len(counts) >= 2


def test_plan_without_a_world_model_needs_no_room_in_the_replay() -> None:
    config = TrainConfig(agent=replace(AgentConfig(), replay=replace(ReplayConfig(), capacity=1)))
    spaces = Spaces(3, 2, 3, 4, 5)
    check_room(replace(config, method="mappo"), spaces)
    with pytest.raises(ValueError, match="capacity"):
        check_room(config, spaces)


def test_command_line_accepts_the_rows_of_a_plugin(plugin: Path) -> None:
    shown = run("train", "--help-all", plugin).stdout
    assert "one_model" in shown and "nobody" in shown and "double" in shown
    done = run("train", "--method one_modle", plugin)
    assert done.returncode == 2 and "did you mean 'one_model'" in done.stderr


def test_plugin_that_does_not_exist_is_named(plugin: Path) -> None:
    done = run("train", "", plugin, plugins="mine, mnie")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "MAWM_PLUGINS names the module 'mnie', which does not exist" in done.stderr


def test_mistake_inside_a_plugin_shows_its_line(plugin: Path) -> None:
    (plugin.parent / "faulty.py").write_text("import no_such_module\n")
    done = run("train", "", plugin, plugins="faulty")
    assert done.returncode == 1 and "faulty.py" in done.stderr and "no_such_module" in done.stderr


def test_environment_of_a_row_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(MarketVectorEnv):
        def reset(self) -> Step:
            step = super().reset()
            return replace(step, obs=np.full_like(step.obs, np.nan))

    row = Environment(
        lambda settings: settings.map == "broken", lambda s, p, batch, seed: Broken(batch, seed, s.market), str
    )
    monkeypatch.setitem(ENVIRONMENTS, "broken", row)
    env = make_env(TrainConfig(map="broken"), "train", 2)
    with pytest.raises(EnvFault, match="obs"):
        env.reset()


def test_learner_of_an_unknown_kind_has_no_estimate() -> None:
    team = InlineTeam(lambda index: object(), ((0,),))
    assert math.isnan(_learning(team, TrainConfig(), Spaces(1, 2, 3, 4, 5)))
