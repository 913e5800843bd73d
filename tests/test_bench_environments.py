"""`mawm.bench environments`: random play, the table from finished runs, and the environments of other packages."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mawm import bench
from mawm.benchmarks import environments
from mawm.benchmarks.environments import RandomTeam, rows, text
from mawm.build import write_config
from mawm.configs.presets import load_preset
from mawm.envs.pettingzoo import ParallelVectorEnv

PLAIN = replace(load_preset("debug"), map="odd_env:Plain", env_steps=100, success="return>=2")


def test_random_team_plays_every_allowed_action_equally_often_and_no_other() -> None:
    team, avail = RandomTeam(2, np.random.default_rng(0)), np.zeros((3000, 2, 4), bool)
    avail[:, 0, 1:] = avail[:, 1, 2] = True
    actions = team.act(np.zeros((3000, 2, 1), np.float32), avail, avail[:, 0, 0], slot="eval", mode="greedy")
    counts = np.bincount(actions[:, 0], minlength=4)
    assert counts[0] == 0 and (abs(counts[1:] - 1000) < 120).all()
    assert (actions[:, 1] == 2).all()


def test_table_has_random_play_and_every_seed_of_the_finished_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, last, steps in ((0, 3.5, 100), (1, 1.0, 100), (2, 9.0, 50)):
        folder = tmp_path / f"s{seed}"
        folder.mkdir()
        write_config(folder, replace(PLAIN, seed=seed), {})
        log = {"eval/return": last, "eval/return_sampled": last / 2, "eval/win_rate": float(last > 2)}
        (folder / "metrics.jsonl").write_text(json.dumps({"env_steps": steps, "wall_s": 60.0, **log}) + "\n")
    (row,) = rows(tmp_path, 120)
    # Four steps, two agents, and one of three actions pays 1: the mean of random play is 4 / 3.
    assert row.random == pytest.approx(4 / 3, abs=3 * row.random_half) and 0.05 < row.random_half < 0.2
    assert (row.seeds, row.greedy, row.sampled, row.win_rates) == ([0, 1], [3.5, 1.0], [1.75, 0.5], [1.0, 0.0])
    assert row.better == 1 and 0.0 < row.random_win_rate < 0.5
    line = list(text([row]))[-1]
    assert "| both | 100 |" in line and "| 3.5, 1 | 1.75, 0.5 | 1 of 2 |" in line and "-> 100, 0 % | 1 |" in line
    assert all(each.count("|") == 10 for each in text([row]))
    with pytest.raises(SystemExit) as end:
        bench.main(["environments", str(tmp_path / "s2")])
    assert end.value.code == 2 and "holds no finished run" in capsys.readouterr().err


def test_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(environments.importlib, "import_module", missing)
    for make in (environments.spread, environments.foraging):
        with pytest.raises(ImportError, match=r"is missing .*'\.\[environments\]'"):
            make()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("name", "package", "agents", "actions", "numbers"),
    [("spread", "mpe2", 3, 5, 18), ("foraging", "lbforaging", 2, 6, 12), ("pursuit", "pygame", 4, 5, 147)],
)
def test_environment_of_another_package_plays(name: str, package: str, agents: int, actions: int, numbers: int) -> None:
    pytest.importorskip(package, reason="the extra `environments` is not installed")
    env = ParallelVectorEnv(getattr(environments, name), 2, 0, 200)
    sizes = env.spaces.n_agents, env.spaces.n_actions, env.spaces.obs_size
    assert sizes == (agents, actions, numbers)
    step, ended = env.reset(), 0
    team = RandomTeam(agents, np.random.default_rng(0))
    for _ in range(110):
        step = env.step(team.act(step.obs, step.avail, step.terminated, slot="eval", mode="greedy"))
        ended += int((step.terminated | step.truncated).sum())
    assert ended >= 2
    env.close()
