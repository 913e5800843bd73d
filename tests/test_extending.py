"""The script of docs/extending.md runs: one row makes a method, an environment, a selector, a budget, a delivery."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mawm.configs.train import TrainConfig
from mawm.envs.checked import EnvFault
from mawm.envs.market.vector import MarketVectorEnv
from mawm.envs.registry import ENVIRONMENTS, Environment, make_env
from mawm.estimates import _learning
from mawm.types import Spaces, Step

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("extending") / "mine.py"
    path.write_text("\n".join(BLOCKS))
    return path


def run(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, script, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_extending_example_is_at_most_ten_lines() -> None:
    assert len(BLOCKS) == 7 and max(block.count("\n") for block in BLOCKS) <= 10


@pytest.mark.parametrize("placement", ["inline", "process"])  # worker processes import the script again
def test_run_uses_the_rows_of_the_extending_page(placement: str, script: Path, tmp_path: Path) -> None:
    words = "--preset debug --map short_market --method both --selector newest --budget double --channel nobody"
    more = ("--env-steps", "200", "--run-dir", str(tmp_path / "run"), "--placement", placement)
    done = run(script, *words.split(), *more)
    assert done.returncode == 0, done.stderr
    assert "the market, with no explorers in it" in done.stdout
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["channel/sent_items"] > 0
    received = [value for tag, value in last.items() if tag.endswith("replay/received_steps")]
    assert received and sum(received) == 0  # the delivery "nobody"


def test_run_uses_the_method_of_the_extending_page(script: Path, tmp_path: Path) -> None:
    words = "--preset debug --map short_market --method one_model --env-steps 200 --placement inline"
    done = run(script, *words.split(), "--run-dir", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert "team/world_model/loss" in last and last["channel/sent_items"] == 0  # one learner, which sends nothing


def test_command_line_accepts_the_rows_of_the_extending_page(script: Path, tmp_path: Path) -> None:
    shown = run(script, "--help-all").stdout
    assert "one_model" in shown and "nobody" in shown and "double" in shown
    done = run(script, "--preset", "debug", "--map", "short_market", "--method", "one_modle")
    assert done.returncode == 2 and "did you mean 'one_model'" in done.stderr


def test_environment_of_a_row_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(MarketVectorEnv):
        def reset(self) -> Step:
            step = super().reset()
            return replace(step, obs=np.full_like(step.obs, np.nan))

    row = Environment(lambda name: name == "broken", lambda s, p, batch, seed: Broken(batch, seed, s.market), str)
    monkeypatch.setitem(ENVIRONMENTS, "broken", row)
    env = make_env(TrainConfig(map="broken"), "train", 2)
    with pytest.raises(EnvFault, match="obs"):
        env.reset()


def test_learner_of_an_unknown_kind_has_no_estimate() -> None:
    assert math.isnan(_learning(object(), TrainConfig(), Spaces(1, 2, 3, 4, 5)))
