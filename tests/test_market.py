"""The market: its rewards, the effect of exploratory strategies, and its interfaces."""

from dataclasses import replace

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test

from mawm.benchmarks.market import actions, returns, rules
from mawm.configs.presets import load_preset
from mawm.envs.market.pettingzoo_env import parallel_env
from mawm.envs.market.rules import MarketRules
from mawm.envs.market.vector import BUY, HOLD, SELL, MarketVectorEnv
from mawm.envs.pettingzoo import ParallelVectorEnv
from mawm.envs.registry import EXPLORER, make_env
from mawm.train import main

CALM = MarketRules(turn=0.0, noise=0.0, signal_noise=0.0, cost=0.25, impact=0.5)


SIGNAL, TREND = (rules(np.random.default_rng(0))[name] for name in ("the sign of the own signal", "knows the trend"))


def test_market_step_matches_hand_computation() -> None:
    env = MarketVectorEnv(1, 0, CALM)
    trend = env.reset().state[0, 0]
    ahead, against = (BUY, SELL) if trend > 0 else (SELL, BUY)
    step = env.step(np.array([[ahead, ahead, against]]))
    # Positions 1, 1, -1 with the trend: 1 + 1 - 1. Each paid 0.25; two traded one of the volume of 1: others 0, and -2.
    assert step.reward[0] == pytest.approx(0.5 * (1.0 - 0.75) / 3)
    step = env.step(np.array([[ahead, ahead, HOLD]]))
    # Positions 2, 2, -1; two paid 0.25 and 0.5 for the unit that the other traded beside them.
    assert step.reward[0] == pytest.approx(0.5 * (3.0 - 2 * 0.75) / 3)
    assert step.obs[0, 0] == pytest.approx([trend / 2, trend / 2, 1.0 * trend, 2 / 3 * trend, 1 - 2 / 24])
    assert step.avail[0, 0].tolist() == [True, trend < 0, trend > 0]


def test_market_session_ends_after_its_steps_and_is_won_by_a_profit() -> None:
    env = MarketVectorEnv(200, 3)
    step, total = env.reset(), np.zeros(200)
    for t in range(24):
        step = env.step(actions(step, SIGNAL(step) - 1.0))
        total += step.reward
        assert step.terminated.tolist() == [t == 23] * 200 and not step.truncated.any()
    assert np.array_equal(step.battle_won, total > 0.0) and 0 < step.battle_won.sum() < 200


def test_market_signal_follower_earns_and_trend_follower_earns_more() -> None:
    follows, knows = (returns(MarketVectorEnv(500, 1), rule) for rule in (SIGNAL, TREND))
    assert 10.0 < follows.mean() < knows.mean() < 17.0


def test_market_policy_loses_beside_exploratory_strategies() -> None:
    plain, explored, level = (
        returns(MarketVectorEnv(500, 1, numbers, explored=there), SIGNAL)
        for numbers, there in ((None, False), (None, True), (MarketRules(gap=0.0), True))
    )
    assert explored.mean() < -10.0 and np.array_equal(plain, level)


def test_only_gate_explorers_play_in_the_changed_market() -> None:
    config = replace(load_preset("debug"), map="market")
    assert {p: make_env(config, p, 1).env.explored for p in ("train", "eval", "test", EXPLORER)} == {  # type: ignore[attr-defined]
        "train": False, "eval": False, "test": False, EXPLORER: True,
    }  # fmt: skip


def test_market_session_depends_on_seed_number_and_actions_only() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = MarketVectorEnv(4, 7), MarketVectorEnv(1, 7)
    wishes = rng.normal(size=(24, 3))
    a, b = wide.reset(), narrow.reset()
    for t in range(30):
        wish = wishes[t % 24]
        assert np.array_equal(a.obs[0], b.obs[0]) or t >= 24
        a, b = (env.step(actions(s, np.tile(wish, (env.batch, 1)))) for env, s in ((wide, a), (narrow, b)))
        assert t >= 24 or (a.reward[0] == b.reward[0] and np.array_equal(a.final_obs[0], b.final_obs[0]))
    # Row 0 of four now plays session 4, and the single row session 1.
    assert not np.array_equal(a.obs[0], b.obs[0])


def test_market_snapshot_continues_bit_for_bit() -> None:
    one, two = MarketVectorEnv(3, 5), MarketVectorEnv(3, 5)
    step = one.reset()
    for _ in range(10):
        step = one.step(actions(step, SIGNAL(step)))
    two.restore(one.snapshot())
    for _ in range(20):
        chosen = actions(step, SIGNAL(step))
        step, other = one.step(chosen), two.step(chosen)
        assert all(np.array_equal(x, y) for x, y in zip(vars(step).values(), vars(other).values(), strict=True))
    with pytest.raises(ValueError, match="this market has"):
        MarketVectorEnv(2, 5).restore(one.snapshot())


def test_market_refuses_wrong_actions_by_name() -> None:
    env = MarketVectorEnv(2, 0)
    env.reset()
    for _ in range(2):
        env.step(np.full((2, 3), BUY))
    with pytest.raises(ValueError, match=r"session 0, trader 1: action 1 is not available; available now: \[0, 2\]"):
        env.step(np.array([[HOLD, BUY, HOLD], [HOLD, HOLD, HOLD]]))
    with pytest.raises(ValueError, match="shape"):
        env.step(np.zeros((2, 2), np.int64))
    with pytest.raises(ValueError, match="it must be at least 1"):
        MarketVectorEnv(0, 0)


def test_market_passes_the_pettingzoo_api_test() -> None:
    env = parallel_env(3)
    parallel_api_test(env, num_cycles=60)
    obs, _ = env.reset(seed=1)
    assert env.agents == ["trader_0", "trader_1", "trader_2"]
    for _ in range(2):
        obs, *_, infos = env.step(dict.fromkeys(env.agents, BUY))
    obs, *_, infos = env.step(dict.fromkeys(env.agents, BUY))
    assert infos["trader_0"]["replaced"] and obs["trader_0"]["action_mask"].tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="outside its space"):
        env.step(dict.fromkeys(env.agents, 3))


def test_market_behind_the_pettingzoo_adapter_equals_the_vector_form() -> None:
    theirs = ParallelVectorEnv(parallel_env, 1, 0, 24)
    step = theirs.reset()
    seed = int(np.random.SeedSequence((0, 0)).generate_state(1)[0] >> 1)
    ours = MarketVectorEnv(1, seed)
    expected = ours.reset()
    for _ in range(24):
        assert np.array_equal(step.obs, expected.obs) and np.array_equal(step.avail, expected.avail)
        chosen = actions(step, SIGNAL(step))
        step, expected = theirs.step(chosen), ours.step(chosen)
        assert step.reward == pytest.approx(expected.reward)
    assert step.terminated[0] and expected.terminated[0] and step.battle_won[0] == expected.battle_won[0]


def test_market_training_measures_the_model_without_explorers(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    from mawm.evaluate import main as evaluate

    args = ["--map", "market", "--preset", "debug", "--gate", "open", "--placement", "inline"]
    assert main([*args, "--run-dir", str(tmp_path / "run")]) == 0
    assert "the market of docs/market.md" in capsys.readouterr().out
    assert evaluate([str(tmp_path / "run"), "--episodes", "20"]) == 0
    assert "world model, mean squared error a step ahead" in capsys.readouterr().out
