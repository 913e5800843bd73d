"""The model-free baseline (IPPO and MAPPO): advantages, battle log, isolation of agents, learning."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_docs import documented_tags

from mawm.agents.ppo.batch import PpoBatch, batch_of, gae
from mawm.agents.ppo.battle_log import Battle, BattleLog
from mawm.agents.ppo.learner import Ppo
from mawm.agents.returns import ValueNorm
from mawm.build import make_learner, make_team
from mawm.collect import Collector
from mawm.configs.presets import load_preset
from mawm.configs.train import TrainConfig
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.methods import members_of
from mawm.sharing.broadcast import Counts
from mawm.sharing.provenance import ProvenanceError
from mawm.train import main
from mawm.types import Origin, Role, Segment, Spaces

SPACES = Spaces(n_agents=3, n_actions=5, obs_size=4, state_size=6, episode_limit=10)
BATTLES = 2


def config_of(method: str) -> TrainConfig:
    config = load_preset("debug")
    config = replace(config, method=method, schedule=replace(config.schedule, battles=BATTLES))
    return replace(config, agent=replace(config.agent, ppo=replace(config.agent.ppo, rollout=12)))


def make(method: str, index: int = 0) -> Ppo:
    learner = make_learner(index, config=config_of(method), spaces=SPACES, device="cpu")
    assert isinstance(learner, Ppo)
    learner.begin("train", BATTLES * len(learner.members))
    return learner


def stretch(agent: int, episode: int, row: int, arrivals: int, terminal: bool, data: Any, place: int) -> Segment:
    """One whole stream: observations and masks as acted on, rewards of its own."""
    obs, avail, action = data
    first, last = np.zeros(arrivals, np.bool_), np.zeros(arrivals, np.bool_)
    first[0], last[-1] = True, terminal
    reward = np.random.default_rng([agent, episode, row]).random(arrivals).astype(np.float32)
    lane, previous = place * BATTLES + row, np.concatenate([[0], action[: arrivals - 1]])
    origin = Origin(agent, Role.PRIMARY, episode)
    return Segment(origin, lane, 0, obs[:arrivals], previous, reward, last, first, avail[:arrivals])


def play(learner: Ppo, rounds: int = 3, steps: int = 6, foreign: int = 0, begun: int = 0) -> list[list[int]]:
    """Made-up battles of `steps` steps; what agents other than the first see depends on `foreign`."""
    members, taken = learner.members, []
    for episode in range(begun, begun + rounds):
        obs = np.zeros((steps + 1, len(members), BATTLES, SPACES.obs_size), np.float32)
        avail = np.zeros((steps + 1, len(members), BATTLES, SPACES.n_actions), np.bool_)
        for place, agent in enumerate(members):
            rng = np.random.default_rng([episode, agent, 0 if agent == members[0] else foreign])
            obs[:, place] = rng.random((steps + 1, BATTLES, SPACES.obs_size))
            avail[:, place] = rng.random((steps + 1, BATTLES, SPACES.n_actions)) < 0.5
        avail[..., 1] = True
        action = np.zeros((steps, len(members), BATTLES), np.int64)
        for t in range(steps):
            lanes, masks = obs[t].reshape(-1, SPACES.obs_size), avail[t].reshape(-1, SPACES.n_actions)
            chosen = learner.act(lanes, masks, np.full(len(lanes), t == 0), slot="train", mode="sample")
            action[t] = chosen.reshape(len(members), BATTLES)
            taken.append(chosen[:BATTLES].tolist())
        for row in range(BATTLES):
            for place, agent in enumerate(members):
                data = obs[:, place, row], avail[:, place, row], action[:, place, row]
                learner.remember([stretch(agent, episode * BATTLES + row, row, steps + 1, True, data, place)])
    return taken


def learned(learner: Ppo) -> dict[str, Any]:
    assert "actor/loss" in learner.fit_behaviour([], env_steps=0)
    return learner.state()[0]


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_ppo_advantages_match_hand_computation() -> None:
    # discount 0.5, lam 0.5; columns: a battle that ends, the same numbers in a battle that is cut, one that ends early.
    reward = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [2.0, 2.0, 0.0]])
    discount = torch.tensor([[0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    value = torch.tensor([[3.0, 3.0, 3.0], [4.0, 4.0, 4.0], [8.0, 8.0, 8.0]])
    lived = torch.tensor([[True, True, True], [True, True, False], [False, False, False]])
    # Ended: delta_1 = 2 - 4 = -2; delta_0 = 1 + 2 - 3 = 0, A_0 = 0 + 0.25 * -2 = -0.5.
    # Cut: delta_1 = 2 + 0.5 * 8 - 4 = 2; A_0 = 0 + 0.25 * 2 = 0.5. Ended earlier: A_0 = 1 - 3 = -2.
    expected = torch.tensor([[-0.5, 0.5, -2.0], [-2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(gae(reward, discount, value, lived, 0.5), expected)


def test_ppo_truncated_battle_bootstraps_from_its_last_value() -> None:
    reward, lived = torch.tensor([[0.0], [1.0], [0.0]]), torch.tensor([[True], [False], [False]])
    out = gae(reward, torch.full((3, 1), 0.5), torch.tensor([[3.0], [8.0], [99.0]]), lived, 0.5)
    assert out.flatten().tolist() == [1 + 0.5 * 8 - 3, 0, 0]


def test_ppo_value_statistics_match_hand_computation() -> None:
    norm = ValueNorm(decay=0.5)
    assert norm.scale == (0.0, 1.0)
    norm.update(torch.tensor([1.0, 3.0]))  # debiased: the first returns count in full
    assert norm.scale == pytest.approx((2.0, 1.0))
    norm.update(torch.tensor([5.0, 5.0]))  # weights 1/3 and 2/3: mean 4, mean of squares (5 + 2 * 25) / 3
    deviation = (55 / 3 - 16) ** 0.5
    assert norm.scale == pytest.approx((4.0, deviation))
    norm.update(torch.tensor([float("nan")]))
    returns = torch.tensor([4.0, 4.0 + deviation])
    assert torch.allclose(norm.normalise(returns), torch.tensor([0.0, 1.0]))
    assert torch.allclose(norm.denormalise(norm.normalise(returns)), returns)


def test_ppo_equal_returns_have_the_least_deviation() -> None:
    norm = ValueNorm(floor=0.1)
    norm.update(torch.full((5,), 7.0))
    assert norm.scale == pytest.approx((7.0, 0.1))


@pytest.mark.parametrize("mode", ["sample", "greedy", "random"])
def test_ppo_never_chooses_an_unavailable_action(mode: str) -> None:
    learner, rng = make("mappo"), np.random.default_rng(0)
    learner.begin("eval", 6)
    for _ in range(50):
        avail = rng.random((6, 5)) < 0.3
        avail[np.arange(6), rng.integers(0, 5, 6)] = True
        obs = 100 * rng.standard_normal((6, 4)).astype(np.float32)
        chosen = learner.act(obs, avail, np.ones(6, np.bool_), slot="eval", mode=mode)
        assert avail[np.arange(6), chosen].all()


def batch_from(learner: Ppo, battles: list[Battle]) -> PpoBatch:
    return batch_of(battles, learner.nets, learner.norm, discount=0.9, lam=0.9, device="cpu")


def test_ppo_dead_agents_have_no_rows_and_zero_observations() -> None:
    learner, data = make("mappo"), (np.ones((7, 4), np.float32), np.ones((7, 5), np.bool_), np.full(6, 2))
    for t in range(7):
        learner.act(np.ones((6, 4), np.float32), np.ones((6, 5), np.bool_), np.full(6, t in (0, 6)), slot="train",
                    mode="sample")  # fmt: skip
    lived = {0: 7, 1: 3, 2: 5}
    learner.remember([stretch(a, row, row, lived[a], a > 0, data, a) for row in range(2) for a in range(3)])
    battles = learner.log.take()
    assert [battle.steps for battle in battles] == [6, 6]
    batch = batch_from(learner, battles)
    assert batch.acted.sum(0).tolist() == [[6, 6], [2, 2], [4, 4]]
    assert (batch.action[batch.acted] == 2).all()
    assert batch.obs[3:, 1].abs().sum() == 0 and batch.obs[:, 0].min() == 1
    advantage = batch.advantage.expand_as(batch.acted)[batch.acted]
    assert float(advantage.mean()) == pytest.approx(0, abs=1e-6)
    assert float(advantage.std(correction=0)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("method", ["ippo", "mappo"])
def test_ppo_update_does_not_depend_on_padding_or_battle_order(method: str) -> None:
    """A short battle has the loss and the gradient that it has alone, however long the battles beside it are."""
    learner = make(method)
    play(learner, rounds=1, steps=3)
    play(learner, rounds=1, steps=9, begun=1)
    play(learner, rounds=1, steps=1, begun=2)
    battles = learner.log.take()
    assert [battle.steps for battle in battles] == [3, 3, 9, 9]
    alone, beside = (batch_from(learner, some) for some in (battles[:2], battles[::-1]))
    assert torch.allclose(alone.returns, beside.returns[:4, :, [3, 2]], atol=1e-5)
    padded = replace(beside, acted=beside.acted & torch.tensor([False, False, True, True]), advantage=beside.returns)
    said, states = [], []
    for batch in (replace(alone, advantage=alone.returns), padded):
        other = make(method)
        said.append(other._update(batch))
        states.append(other.optimiser.state()["exp_avg"])
    assert said[0] == pytest.approx(said[1], rel=1e-4, abs=1e-6)
    assert np.allclose(states[0], states[1], atol=1e-6) and np.abs(states[0]).max() > 1e-3


def test_ppo_memory_of_a_lane_is_its_own_battle_only() -> None:
    learner, rng = make("mappo"), np.random.default_rng(0)
    obs, avail = rng.random((4, 6, 4), dtype=np.float32), np.ones((6, 5), np.bool_)

    def hidden(seen: Any, starts: tuple[int, ...]) -> Any:
        learner.begin("eval", 6)
        for t in range(4):
            learner.act(seen[t], avail, np.full(6, t in starts), slot="eval", mode="sample")
        return learner.hidden["eval"].numpy()

    before, changed, later = hidden(obs, (0,)), obs.copy(), obs.copy()
    changed[:, 2], later[:2] = 0.0, 0.0
    assert (np.abs(hidden(changed, (0,)) - before).max(-1) > 0).tolist() == [False, False, True, False, False, False]
    assert np.abs(hidden(later, (0,)) - before).min(-1).max() > 0
    assert np.array_equal(hidden(later, (0, 2)), hidden(obs, (0, 2)))  # a new battle begins without a memory


def test_ppo_evaluation_leaves_training_memory_unchanged() -> None:
    learner = make("ippo")
    play(learner, rounds=1)
    before = learner.hidden["train"].clone()
    learner.begin("eval", 5)
    learner.act(
        np.ones((5, 4), np.float32), np.ones((5, 5), np.bool_), np.ones(5, np.bool_), slot="eval", mode="greedy"
    )
    assert torch.equal(learner.hidden["train"], before)


def test_ppo_learns_an_action_that_depends_on_the_first_observation() -> None:
    """Two steps: the first observation determines which action is rewarded in the second step, where all look alike."""
    config = config_of("ippo")
    config = replace(config, agent=replace(config.agent, ppo=replace(config.agent.ppo, rollout=32, lr=3e-3)))
    learner = make_learner(0, config=config, spaces=SPACES, device="cpu")
    learner.begin("train", BATTLES)
    rng, avail, earned = np.random.default_rng(0), np.ones((3, SPACES.n_actions), np.bool_), []
    for episode in range(400):
        obs = np.zeros((3, BATTLES, SPACES.obs_size), np.float32)
        right = rng.integers(0, 2, BATTLES)
        obs[0, np.arange(BATTLES), right] = 1.0
        action = np.stack([
            learner.act(obs[t], avail[:BATTLES], np.full(BATTLES, t == 0), slot="train", mode="sample")
            for t in range(2)
        ])  # fmt: skip
        for row in range(BATTLES):
            whole = stretch(0, episode * BATTLES + row, row, 3, True, (obs[:, row], avail, action[:, row]), 0)
            whole.reward[:] = [0.0, 0.0, action[1, row] == right[row]]
            learner.remember([whole])
            earned.append(float(whole.reward[2]))
        learner.fit_behaviour([], env_steps=0)
    assert np.mean(earned[:100]) < 0.4 and np.mean(earned[-100:]) > 0.9


def test_ppo_old_log_probs_are_of_the_policy_that_acted() -> None:
    learner = make("ippo")
    play(learner, rounds=3)
    before = learner.log.rows[0][0].of["log_prob"][:6].copy()
    learned(learner)
    play(learner, rounds=1)  # the battle before it becomes whole
    assert np.array_equal(learner.log.take()[0].of["log_prob"][:6], before)


def test_ppo_battle_log_returns_battles_as_played() -> None:
    """A log fed by the collector holds the log-probability of the very action that the next arrival names."""
    config = config_of("mappo")
    env = SkirmishVectorEnv("3m", BATTLES, seed=1)
    team = make_team(config, env.spaces, "cpu", "inline")
    collector = Collector(env, team, seq_len=8, discount=0.99)
    learner, battles = team.learners[0], []
    for _ in range(30):
        lived = collector.collect(7, "sample")
        team.remember(lived)
        battles += learner.log.take()
    assert len(battles) > 4 and any(b.arrivals.min() < b.arrivals.max() for b in battles)
    batch = batch_from(learner, battles)
    start = learner.nets.initial(batch.acted[0].numel())
    logits, _ = learner.nets.logits(batch.obs, batch.avail, start)
    now = torch.log_softmax(logits, -1).gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(now[batch.acted], batch.old_log_prob[batch.acted], atol=1e-5)
    ends = [(int(b.arrivals[m]), bool(b.of["terminal"][b.arrivals[m] - 1, m])) for b in battles for m in range(3)]
    assert all(ended or arrivals == env.spaces.episode_limit + 1 for arrivals, ended in ends)


def test_ippo_agent_does_not_depend_on_other_agents() -> None:
    alone, crowd = make("ippo", 1), [make("ippo", i) for i in (2, 1, 0)]
    taken = play(alone)
    for other in crowd:
        assert (play(other) == taken) is (other.name == "agent_1")
    after = {other.name: learned(other) for other in crowd}
    assert members_of(config_of("ippo"), SPACES) == ((0,), (1,), (2,))
    assert same(learned(alone), after["agent_1"]) and not same(after["agent_0"], after["agent_1"])


def test_mappo_action_depends_on_its_own_observation() -> None:
    assert play(make("mappo"), foreign=1) == play(make("mappo"), foreign=2)


def test_ppo_offers_no_items() -> None:
    learner = make("ippo")
    play(learner)
    offers = [learner.offer_segments([], env_steps=0), learner.offer_rollouts(env_steps=0)]
    assert [(o.messages, o.counts) for o in offers] == [([], Counts())] * 2


def test_ppo_refuses_a_foreign_role() -> None:
    data = (np.ones((7, 4), np.float32), np.ones((7, 5), np.bool_), np.full(6, 2))
    foreign = replace(stretch(0, 3, 0, 4, True, data, 0), origin=Origin(0, Role.EXPLORER, 3))
    with pytest.raises(ProvenanceError, match="explorer"):
        make("ippo").remember([foreign])


@pytest.mark.parametrize("method", ["ippo", "mappo"])
def test_ppo_is_deterministic_and_its_state_continues_bit_for_bit(method: str) -> None:
    a, b = make(method), make(method)
    assert play(a) == play(b)
    assert same(learned(a), learned(b))
    play(a, rounds=2)  # an unfinished rollout, a battle that is not whole, moved generators and moments
    c = make_learner(0, config=config_of(method), spaces=SPACES, device="cpu")
    arrays, rest = a.state()
    c.load_state(arrays, json.loads(json.dumps(rest)))
    assert play(a, rounds=2) == play(c, rounds=2)
    assert same(learned(a), learned(c))


def test_ppo_state_keeps_an_empty_battle_log() -> None:
    log, other = (BattleLog(SPACES, (0,), BATTLES) for _ in range(2))
    other.load_state(log.state())
    assert other.rows == [[], []] and other.take() == []


def train(folder: Path, *args: str) -> list[dict[str, Any]]:
    assert main(["--placement", "inline", *args, "--run-dir", str(folder)]) == 0
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def test_ppo_run_learns_writes_its_tags_and_sends_no_bytes(tmp_path: Path) -> None:
    rows = train(tmp_path / "r", "--preset", "debug", "--method", "ippo")
    tags = {tag for row in rows for tag in row} - {"env_steps", "wall_s"}
    assert {"agent_0/actor/loss", "agent_2/critic/loss", "agent_1/replay/own_steps"} <= tags
    assert {tag for tag in tags if not any(re.fullmatch(pattern, tag) for pattern in documented_tags())} == set()
    assert rows[-1]["channel/sent_bytes"] == 0


@pytest.mark.slow
def test_ippo_wins_3m(tmp_path: Path) -> None:
    rows = train(tmp_path / "r", "--map", "3m", "--method", "ippo", "--seed", "100", "--env-steps", "100000")
    assert rows[-1]["eval/win_rate"] >= 0.8
