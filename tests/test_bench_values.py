"""`mawm.bench values`: values and imagined returns of a run, beside real returns from the same states."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_runs import train_here

from mawm import bench
from mawm.benchmarks.values import Battles, real_return, summary
from mawm.build import make_learner
from mawm.configs.presets import load_preset
from mawm.envs.skirmish.vector import SkirmishVectorEnv


def test_bench_values_prints_one_row_for_each_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = train_here(tmp_path / "run", "--env-steps", "200", capsys=capsys)
    assert code == 0, err
    words = ["values", str(tmp_path / "run"), "--states", "3", "--copies", "4", "--json"]
    assert bench.main(words) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["agent"] for row in rows] == ["agent_0", "agent_1", "agent_2"]
    for row in rows:
        assert row["states"] >= 3 and 0.0 <= row["real"] <= 20.0
        assert row["value_bias"] == pytest.approx(row["value"] - row["real"])
        assert row["imagined_bias"] == pytest.approx(row["imagined"] - row["real"])
    assert bench.main([*words, "--each"]) == 0
    states = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(states) == sum(row["states"] for row in rows)
    for row in rows:
        own = [state for state in states if state["agent"] == row["agent"]]
        assert np.mean([state["real"] for state in own]) == pytest.approx(row["real"])
    assert all(1 <= state["alive"] <= 3 and 0 <= state["time"] < 60 for state in states)


def test_bench_values_refuses_an_environment_whose_battles_cannot_be_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = train_here(tmp_path / "run", "--map", "market", "--env-steps", "100", capsys=capsys)
    assert code == 0, err
    with pytest.raises(SystemExit) as end:
        bench.main(["values", str(tmp_path / "run")])
    assert end.value.code == 2
    assert "battles of --map market (--env skirmish) cannot be continued in copies" in capsys.readouterr().err


def test_real_return_of_a_battle_about_to_be_won_is_its_last_reward() -> None:
    config = load_preset("debug")
    env = SkirmishVectorEnv("3m", 1, seed=0)
    agents = [make_learner(i, config=config, spaces=env.spaces, device="cpu") for i in range(3)]
    for agent in agents:
        agent.begin("eval", 1)
    step = env.reset()
    env.bodies[0, 3:, 2] = 0.0  # all enemies are dead but the battle has not noticed: the next step wins it
    battle = Battles(env, [agent.memories["eval"] for agent in agents], step, np.ones(1, np.bool_))
    won = 200.0 / (env.contract.max_reward / 20.0)
    assert real_return(battle, agents, 5, np.random.default_rng(0)) == pytest.approx(won, rel=1e-5)


def test_row_of_states_with_one_return_has_no_correlation_and_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    def states(last: float) -> list[dict[str, Any]]:
        pairs = ((1.0, 2.0, 0.0), (3.0, 4.0, last))
        return [{"agent": "agent_0", "value": v, "imagined": i, "real": r} for v, i, r in pairs]

    (row,) = summary(states(0.0))
    assert "correlation" not in row and row["value_bias"] == 2.0 and not recwarn.list
    assert summary(states(1.0))[0]["correlation"] == pytest.approx(1.0)
