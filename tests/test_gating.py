"""Explorers beside the primary: what they are, and what reaches the primary under each gate."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import resume_cases

from mawm.agents.agent import Agent
from mawm.build import make_run, make_team
from mawm.configs.presets import load_preset
from mawm.configs.train import TrainConfig
from mawm.envs.registry import make_env
from mawm.gating.build import make_explorer_hook
from mawm.gating.fitness import distance, diversity
from mawm.gating.policy import ExplorerPolicy, log_softmax
from mawm.gating.search import RandomSearch
from mawm.loop import Run, round_, train
from mawm.run_folder.checkpoint import newest
from mawm.run_folder.run_state import load_team
from mawm.sharing.provenance import ProvenanceError
from mawm.team import InlineTeam
from mawm.train import main
from mawm.types import ROLES, Role, Spaces

SPACES = Spaces(n_agents=3, n_actions=9, obs_size=30, state_size=48, episode_limit=60)


def config_of(gate: str, explorers: int = 16, information: str = "param_ig", **changes: Any) -> TrainConfig:
    config = replace(load_preset("debug"), **changes)
    search = replace(config.gating.search, evolve_every=100)
    gating = replace(config.gating, gate=gate, explorers=explorers, search=search)
    # The same term with and without a gate, so that explorers are all that differs.
    agent = replace(config.agent, information=replace(config.agent.information, kind=information, snapshot_every=50))
    return replace(config, gating=gating, agent=agent, sharing=replace(config.sharing, bandwidth=1.0))


def start(config: TrainConfig, folder: Path) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    env = make_env(config, "train", config.schedule.battles)
    team = make_team(config, env.spaces, "cpu", "inline")
    explorer_hook = make_explorer_hook(config, env.spaces)
    return make_run(config, env, team, explorer_hook, folder, lambda *_: None, None)


def played(config: TrainConfig, folder: Path) -> Run:
    run = start(config, folder)
    train(run)
    for writer in run.writers:
        writer.close()
    return run


def team_of(config: TrainConfig) -> InlineTeam:
    """The learners of a run that has not begun."""
    team = make_team(config, make_env(config, "train", config.schedule.battles).spaces, "cpu", "inline")
    assert isinstance(team, InlineTeam)
    return team


def agents_of(run: Run) -> list[Agent]:
    assert isinstance(run.team, InlineTeam)
    return run.team.learners


def same(a: Any, b: Any) -> bool:
    """Nested dicts, lists and arrays, bit for bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b


def primary_state(run: Run) -> list[Any]:
    """The state of the primary: learners, collector, channel, schedule."""
    return [run.team.states(), run.collector.state(), run.channel.state(), run.schedule.state()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return played(config_of("off"), tmp_path_factory.mktemp("off"))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("open")
    return played(config_of("open"), folder), folder


@pytest.mark.parametrize("explorers", [3, pytest.param(16, marks=pytest.mark.slow)])
def test_strict_gate_leaves_the_primary_bit_for_bit_unchanged(alone: Run, explorers: int, tmp_path: Path) -> None:
    run = played(config_of("strict", explorers), tmp_path)
    assert same(primary_state(run), primary_state(alone))
    state = run.explorer_hook.state({})
    assert state is not None and state[1]["search"]["generation"] >= 3 and state[0]["psi"].shape[0] == explorers


def test_policy_gate_uses_explorer_states_for_imagination_starts_only(alone: Run, tmp_path: Path) -> None:
    run = played(config_of("policy"), tmp_path)
    assert not same(primary_state(run), primary_state(alone))
    for agent in agents_of(run):
        held = agent.replay.state({})
        assert (held["rows/considered/role"] == ROLES.index(Role.EXPLORER)).all()
        assert len(agent.replay.explorers) > 0
        assert (held["rows/own/role"] == 0).all() and (held["rows/received/role"] == 0).all()
        assert agent.label is Role.PRIMARY
        agent.imagine(2)
        assert (
            0 < agent.behaviour_trainer.explorer_starts == round(0.25 * 16)
            and agent.behaviour_trainer.count == 16 - agent.behaviour_trainer.explorer_starts
        )
        assert len(agent.behaviour_trainer.critic_losses()) == agent.behaviour_trainer.count


def test_open_gate_mixes_explorer_data_and_reports_it(opened: tuple[Run, Path]) -> None:
    run, folder = opened
    for agent in agents_of(run):
        assert (agent.replay.received.state()["role"] == ROLES.index(Role.EXPLORER)).any()
        assert agent.label is Role.EXPLORER
    with pytest.raises(ProvenanceError, match="agent_0: the saved world model has learned from explorer data"):
        load_team(team_of(config_of("strict")), run.names, newest(folder).parts)


def test_rollout_of_a_mixed_model_is_refused_by_a_gated_peer(opened: tuple[Run, Path]) -> None:
    mixed = agents_of(opened[0])[0]
    mixed.imagine(1)
    message = mixed.offer_rollouts(env_steps=10_000).messages[0]
    peer = team_of(config_of("strict")).learners[1]
    with pytest.raises(ProvenanceError, match="role explorer"):
        peer.fit_behaviour([message], env_steps=10_000)


def test_explorer_data_enter_the_replay_under_the_open_gate_only() -> None:
    segments = make_explorer_hook(config_of("policy"), SPACES).explorers.explore(70)  # type: ignore[attr-defined]
    agent, theirs = team_of(config_of("policy")).learners[0], [s for s in segments if s.origin.agent == 0]
    with pytest.raises(ProvenanceError, match="role explorer"):
        agent.learn_from_explorers(theirs)
    assert len(agent.replay.received) == 0 and agent.label is Role.PRIMARY
    agent.add_explorer_starts(theirs)
    assert len(agent.replay.explorers) > 0


def test_explorer_search_approaches_the_primary_and_random_search_does_not() -> None:
    apart = {}
    for kind in ("cem", "random"):
        config = config_of("strict")
        search = replace(config.gating.search, closeness=1.0)
        config = replace(config, gating=replace(config.gating, explorer=kind, search=search))
        explorers = make_explorer_hook(config, SPACES).explorers  # type: ignore[attr-defined]
        weights = team_of(config).call(Agent.policy_weights)
        explorers.explore(60)
        for _ in range(15):
            explorers.evolve([(f"agent_{i}", w) for i, w in enumerate(weights)])
        apart[kind] = explorers.metrics["distance"]
        assert explorers.metrics["diversity"] > 0.01
    assert apart["cem"] < 0.5 * apart["random"]


def test_explorer_policy_takes_available_actions_and_depends_on_psi_only() -> None:
    rng = np.random.default_rng(0)
    policy = ExplorerPolicy(SPACES, 4, np.random.default_rng(1))
    psi, obs = rng.normal(size=(5, 4)), rng.random((5, 7, 30), dtype=np.float32)
    avail = rng.random((5, 7, 9)) < 0.5
    avail[..., 0] = True
    own = policy.logits(psi, obs, avail)
    assert own.shape == (5, 7, 9) and np.array_equal(np.isfinite(own), avail)
    assert np.allclose(own[2], policy.logits(psi[2:3], obs[2], avail[2])[0])
    assert np.allclose(np.exp(log_softmax(own)).sum(-1), 1.0)
    assert np.abs(policy.logits(np.zeros((1, 4)), obs[0], np.ones((7, 9), np.bool_))).max() == 0.0


def test_explorer_diversity_and_distance_match_hand_computation() -> None:
    with np.errstate(divide="ignore"):
        opposite = np.log(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]))
        # Mixture (1/2, 1/2), middle (3/4, 1/4): JS = (log 4/3 + (log 2/3 + log 2)/2) / 2.
        expected = 0.5 * (np.log(4 / 3) + 0.5 * (np.log(2 / 3) + np.log(2.0)))
        assert diversity(opposite) == pytest.approx([expected] * 2)
        assert diversity(opposite[:1].repeat(3, 0)) == pytest.approx([0.0] * 3)
        primary = np.log(np.array([[0.5, 0.5]]))
    assert distance(opposite, primary) == pytest.approx([np.log(2.0)] * 2)
    sure = np.array([[0.0, -800.0]])
    # An action that the primary never takes costs log(1 / 0.005), not infinity.
    assert distance(opposite, sure) == pytest.approx([-np.log(0.995), -np.log(0.005)])


def test_random_search_ignores_fitness() -> None:
    a, b = (RandomSearch(3, 10, np.random.default_rng(0)) for _ in range(2))
    a.follow(a.propose(), np.arange(10.0))
    b.follow(b.propose(), -np.arange(10.0))
    assert np.array_equal(a.propose(), b.propose()) and json.dumps(a.state()) == json.dumps(b.state())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--gate", "strict", "--method", "ippo"), "--gate strict protects a world model, and --method ippo has none"),
        (("--gate", "strict", "--explorers", "30"), "one for each of gating.explorers 30"),
        (("--gate", "strickt"), "did you mean 'strict'"),
    ],
)
def test_train_refuses_an_impossible_gate_in_one_line(
    args: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--preset", "debug", *args, "--run-dir", str(tmp_path / "run")])
    error = capsys.readouterr().err
    assert end.value.code == 2 and said in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def imagining_agent(information: str) -> Agent:
    """An agent without a gate that has imagined one round of rollouts."""
    agent: Agent = team_of(config_of("off", information=information)).learners[0]
    segments = make_explorer_hook(config_of("policy"), SPACES).explorers.explore(70)  # type: ignore[attr-defined]
    own = [replace(s, origin=replace(s.origin, role=Role.PRIMARY), lane=s.lane % 4) for s in segments]
    agent.remember([s for s in own if s.origin.agent == 0])
    agent.imagine(1)
    return agent


def test_rollout_reward_includes_lambda_times_mean_information_gain() -> None:
    plain, with_term = imagining_agent("none"), imagining_agent("param_ig")
    with_, without = with_term.behaviour_trainer.imagined, plain.behaviour_trainer.imagined
    assert with_ is not None and without is not None
    extra = (with_.reward - without.reward).sum(0).mean()
    assert float(extra) == pytest.approx(0.3 * with_term.behaviour_trainer.gain, rel=1e-4)
    assert np.array_equal(with_.action, without.action) and with_term.behaviour_trainer.gain != 0.0


def test_replayed_returns_train_the_critic_only_without_an_information_term() -> None:
    plain, with_term = (imagining_agent(kind).fit_behaviour([], env_steps=70) for kind in ("none", "param_ig"))
    assert plain["critic/replay_loss"] > 0.0 and "critic/value_bias" in plain
    assert with_term["critic/replay_loss"] == 0.0 and "critic/value_bias" not in with_term


def test_explorer_environment_failure_stops_explorers_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start(config_of("strict"), tmp_path / "run")
    for _ in range(4):
        round_(run)
    env = run.explorer_hook.explorers.collector.env  # type: ignore[attr-defined]
    monkeypatch.setattr(env.env, "step", lambda actions: 1 / 0)
    for _ in range(4):
        round_(run)
    told = run.explorer_hook.round(run.team, 8, 0)
    assert told["out"] == 1.0 and told["env_steps"] > 0 and run.save(run)
    assert "explorers are out for the rest of the run" in capsys.readouterr().err
    again = resume_cases.start(config_of("strict"), tmp_path / "run", newest(tmp_path / "run"))
    for either in (run, again):
        round_(either)
    assert same(primary_state(run), primary_state(again)) and again.save(again)
    assert again.explorer_hook.round(again.team, 8, 0) == told
    resume_cases.close(run), resume_cases.close(again)
