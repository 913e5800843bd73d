"""What one agent does and learns depends on its own data and received messages only."""

import tempfile
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mawm.agents.agent import Agent
from mawm.build import make_learner, make_run, make_team
from mawm.collect import Collector
from mawm.configs.presets import load_preset, merge
from mawm.configs.train import TrainConfig
from mawm.envs.registry import make_env
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.gating.build import make_explorer_hook
from mawm.loop import round_
from mawm.methods import members_of
from mawm.sharing.broadcast import Broadcaster
from mawm.sharing.budgets import Unlimited
from mawm.sharing.provenance import ProvenanceError
from mawm.sharing.selectors import AllOrNone
from mawm.team import InlineTeam
from mawm.types import Origin, Role, Segment, Spaces

SPACES = Spaces(n_agents=3, n_actions=9, obs_size=30, state_size=48, episode_limit=60)
INDEPENDENT = replace(load_preset("debug"), method="independent")


def segments(agent: int, count: int = 6, seed: int = 0) -> list[Segment]:
    rng = np.random.default_rng([seed, agent])
    out = []
    for k in range(count):
        first = np.zeros(8, np.bool_)
        first[0] = True
        avail = rng.random((8, 9)) < 0.6
        avail[:, 1] = True
        out.append(
            Segment(
                Origin(agent, Role.PRIMARY, k), k % 4, 0, rng.random((8, 30), dtype=np.float32), rng.integers(0, 9, 8),
                rng.random(8).astype(np.float32), np.zeros(8, np.bool_), first, avail,
            )
        )  # fmt: skip
    return out


def make(index: int, spaces: Spaces = SPACES, config: TrainConfig = INDEPENDENT) -> Agent:
    return make_learner(index, config=config, spaces=spaces, device="cpu")


def learn(agent: Agent, data: list[Segment]) -> dict[str, Any]:
    agent.remember(data)
    agent.offer_segments(data, env_steps=100)
    agent.admit([])
    agent.fit_world_model(3)
    agent.imagine(2)
    agent.offer_rollouts(env_steps=100)
    agent.fit_behaviour([], env_steps=100)
    return agent.state()[0]


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_agents_start_from_equal_weights_with_own_generators() -> None:
    a, b = make(0), make(2)
    weights_a, weights_b = ({k: v for k, v in x.state()[0].items() if k.startswith("weights")} for x in (a, b))
    assert same(weights_a, weights_b)
    assert a.rngs["model"].random() != b.rngs["model"].random()


def test_update_does_not_depend_on_other_agents() -> None:
    alone = learn(make(1), segments(1))
    crowd = [make(i, replace(SPACES, n_agents=4)) for i in (3, 1, 0)]
    results = {agent.name: learn(agent, segments(agent.members[0])) for agent in crowd}
    assert same(alone, results["agent_1"])
    assert not same(alone, results["agent_0"])


def test_update_leaves_global_generators_unchanged() -> None:
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - read only
    learn(make(0), segments(0))
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002 - read only


@pytest.mark.parametrize("mode", ["sample", "greedy", "random"])
def test_action_depends_on_the_agents_own_lane_only(mode: str) -> None:
    rng = np.random.default_rng(0)
    obs = rng.random((5, 4, 30), dtype=np.float32)
    avail = rng.random((5, 4, 9)) < 0.5
    avail[:, :, 1] = True
    other = obs.copy()
    other[:, [0, 2, 3]] = rng.random((5, 3, 30), dtype=np.float32)

    def play(observations: np.ndarray) -> list[int]:
        agent = make(0)
        agent.begin("train", 4)
        first = np.ones(4, np.bool_)
        taken = []
        for t in range(5):
            actions = agent.act(observations[t], avail[t], first, slot="train", mode=mode)
            assert avail[t][np.arange(4), actions].all()
            first = np.zeros(4, np.bool_)
            taken.append(int(actions[1]))
        return taken

    assert play(obs) == play(other)


def test_memory_is_cleared_at_the_first_arrival_of_a_battle() -> None:
    def after(history_seed: int) -> np.ndarray:
        agent = make(0)
        learn(agent, segments(0))
        agent.begin("eval", 2)
        rng = np.random.default_rng(history_seed)
        all_on = np.ones((2, 9), np.bool_)
        for t in range(4):
            agent.act(rng.random((2, 30), dtype=np.float32), all_on, np.full(2, t == 0), slot="eval", mode="greedy")
        agent.act(np.full((2, 30), 0.3, np.float32), all_on, np.ones(2, np.bool_), slot="eval", mode="greedy")
        return np.asarray(agent.memories["eval"].arrays()["deter"])

    assert np.array_equal(after(1), after(2))


def test_segment_of_a_foreign_role_is_refused_on_entry() -> None:
    agent = make(0)
    foreign = [replace(segments(0)[0], origin=Origin(7, Role.EXPLORER, 3))]
    with pytest.raises(ProvenanceError, match=r"agent 7.*explorer.*episode 3"):
        agent.remember(foreign)


def test_agent_state_round_trip_continues_bit_for_bit() -> None:
    a = make(0)
    a.begin("train", 4)
    learn(a, segments(0))
    arrays, rest = a.state()
    b = make(0)
    b.load_state(arrays, rest)
    assert same(learn(a, segments(0, seed=9)), learn(b, segments(0, seed=9)))


@pytest.mark.parametrize("method", ["experience", "both"])
def test_bandwidth_zero_equals_independent_bit_for_bit(method: str) -> None:
    mute = replace(load_preset("debug"), method=method)
    mute = replace(mute, sharing=replace(mute.sharing, bandwidth=0.0))
    assert same(learn(make(0), segments(0)), learn(make(0, config=mute), segments(0)))


def test_number_of_gradient_steps_does_not_depend_on_received_items() -> None:
    both = replace(load_preset("debug"), method="both")
    both = replace(both, sharing=replace(both.sharing, bandwidth=1.0))
    sender, receiver, alone = make(1, config=both), make(0, config=both), make(0, config=both)
    for agent, data in ((sender, segments(1)), (receiver, segments(0)), (alone, segments(0))):
        agent.remember(data)
        agent.fit_world_model(2)
        for _ in range(2):  # what a critic that was never fitted says of a rollout is not sent
            agent.fit_behaviour([], env_steps=0)
            agent.imagine(1)
    sent = sender.offer_rollouts(env_steps=0)
    assert sent.counts.sent_items == sent.counts.produced_items > 0
    receiver.fit_behaviour(sent.messages, env_steps=0)
    alone.fit_behaviour([], env_steps=0)
    steps = [int(a.state()[0]["optimiser/actor/step"].reshape(-1)[0]) for a in (receiver, alone)]
    assert steps[0] == steps[1] > 1


@pytest.mark.parametrize("channel", ["real", "random", "stale", "self", "shuffled"])
def test_channel_controls_deliver_what_was_sent_with_equal_gradient_steps(channel: str) -> None:
    sharing = {"channel": channel, "stale_rounds": 1, "bandwidth": 0.5, "rollout_window": 20}
    config = merge(load_preset("debug"), {"sharing": sharing, "env_steps": 600}, "test")
    with tempfile.TemporaryDirectory() as folder, closing(make_env(config, "train", config.schedule.battles)) as env:
        team = make_team(config, env.spaces, "cpu", "inline")
        explorer_hook = make_explorer_hook(config, env.spaces)
        run = make_run(config, env, team, explorer_hook, Path(folder), lambda run, metrics: None, None)
        for writer in run.writers:
            writer.close()  # nothing is logged
        last = dict.fromkeys(("experience", "rollouts"), 0)
        while run.collector.env_steps < config.env_steps:
            before = {kind: tally.sent_items for kind, tally in run.channel.tallies.items()}
            round_(run)
            last = {kind: tally.sent_items - before[kind] for kind, tally in run.channel.tallies.items()}
        rows = run.channel.ledger.close(config.env_steps)
        for kind, tally in run.channel.tallies.items():
            under_way = last[kind] if channel == "stale" else 0
            delivered = sum(row["delivered"] for row in rows if row["kind"] == kind)
            assert delivered == 2 * (tally.sent_items - under_way) > 0, kind
        for arrays, _ in team.states():
            steps = [int(arrays[f"optimiser/{name}/step"].reshape(-1)[0]) for name in ("world_model", "actor")]
            assert steps == [11, 9], "the same in every channel"


def run_rounds(placement: str, method: str = "both", mute: str = "", **sharing: Any) -> list[dict[str, Any]]:
    """Arrays of three learners after three rounds at bandwidth 1; `mute` silences one kind of item."""
    config = replace(load_preset("debug"), method=method)
    config = replace(config, sharing=replace(config.sharing, **{"bandwidth": 1.0, **sharing}))
    env = SkirmishVectorEnv("3m", 4, seed=3)
    team = make_team(config, env.spaces, "cpu", placement)
    if mute:
        assert isinstance(team, InlineTeam)
        for learner in team.learners:
            setattr(learner, mute, Broadcaster(AllOrNone(False), Unlimited()))
    try:
        collector = Collector(env, team, seq_len=8, discount=0.99)
        for _ in range(3):
            lived = collector.collect(12, "sample")
            team.remember(lived)
            boxes = team.offer_segments(lived, env_steps=10)
            inbox = [[m for j, box in enumerate(boxes) if j != i for m in box.messages] for i in range(3)]
            team.admit(inbox)
            team.fit_world_model(2)
            team.imagine(1)
            boxes = team.offer_rollouts(env_steps=10)
            inbox = [[m for j, box in enumerate(boxes) if j != i for m in box.messages] for i in range(3)]
            team.fit_behaviour(inbox, env_steps=10)
        return [arrays for arrays, _ in team.states()]
    finally:
        team.close()


@pytest.fixture(scope="module")
def inline() -> list[dict[str, Any]]:
    return run_rounds("inline")


def test_placement_process_equals_placement_inline_bit_for_bit(inline: list[dict[str, Any]]) -> None:
    process = run_rounds("process")
    assert len(inline) == 3
    assert all(same(a, b) for a, b in zip(inline, process, strict=True))


def test_centralized_is_one_learner_with_a_lane_per_agent() -> None:
    config = replace(load_preset("debug"), method="centralized")
    assert members_of(config, SPACES) == ((0, 1, 2),)
    agent = partial(make, 0, config=config)()
    assert agent.replay.own.lanes == 3 * config.schedule.battles


@pytest.mark.parametrize(("mute", "method"), [("rollouts", "experience"), ("experience", "rollouts")])
def test_method_both_with_one_kind_muted_equals_the_other_method(
    mute: str, method: str, inline: list[dict[str, Any]]
) -> None:
    muted, alone = run_rounds("inline", "both", mute), run_rounds("inline", method)
    assert all(same(a, b) for a, b in zip(muted, alone, strict=True))
    assert not any(same(a, b) for a, b in zip(muted, inline, strict=True))


def test_bandwidth_one_shares_all_for_every_rule_and_budget(inline: list[dict[str, Any]]) -> None:
    everything = run_rounds("inline", selector="all", budget="report", bandwidth=0.5)
    assert all(same(a, b) for a, b in zip(inline, everything, strict=True))
    some = run_rounds("inline", selector="random", bandwidth=0.5)
    assert not any(same(a, b) for a, b in zip(inline, some, strict=True))
