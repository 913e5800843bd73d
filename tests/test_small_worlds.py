"""Learning works: small worlds and whole learners without processes, and one map (slow)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_worlds import BATTLES, Corridor, SmallWorld, Training, TwoStates, small_config

from mawm.agents.actor_critic import imagine
from mawm.agents.rssm import Latent


def first_states(training: Training, obs: np.ndarray) -> Latent:
    """The latent states (B, ...) in which battles begin with observations (B, O)."""
    rssm = training.agent.model_trainer.model.rssm
    rows = len(obs)
    nothing, first = torch.zeros(rows, dtype=torch.long), torch.ones(rows, dtype=torch.bool)
    with torch.no_grad():
        return rssm.observe_step(rssm.initial(rows), torch.from_numpy(obs), nothing, first, None)


def chances(training: Training, world: SmallWorld, places: list[int]) -> np.ndarray:
    """The policy's probabilities (n, A) where battles begin at places."""
    world.places = np.array((places * BATTLES)[:BATTLES])
    obs, avail, _, _ = world._views()
    with torch.no_grad():
        logits = training.agent.actor_critic.policy(first_states(training, obs[:, 0]), torch.from_numpy(avail[:, 0]))
    return torch.softmax(logits, -1).numpy()[: len(places)]


PLAIN = (
    {"unimix": 0.0, "free_nats": 0.0, "predictor_layers": 2, "reward_output": "huber"},
    {
        **{"critic_output": "squared", "advantage_scale": "deviation", "target_decay": 0.0, "epochs": 5},
        **{"entropy_rule": "updates", "entropy": 0.01, "entropy_decay": 0.99998},
    },
)
"""Kinds of outputs, advantages and entropy rule of the preset `paper`, without its sizes, rates and loss weights."""


def two_states(obs_unit: float = 1.0, reward_unit: float = 1.0, seed: int = 0, options: Any = ()) -> float:
    """The smaller one of the better actions' chances in the two states, after 200 updates."""
    world = TwoStates(obs_unit, reward_unit, seed)
    training = Training(world, small_config(seed, *options))
    training.learn(200)
    found = chances(training, world, [0, 1])
    return float(min(found[0, 0], found[1, 1]))


def test_learner_takes_the_better_action_in_two_states() -> None:
    assert two_states() > 0.95


@pytest.mark.slow
def test_learner_with_paper_options_takes_the_better_action_in_two_states() -> None:
    assert two_states(options=PLAIN) > 0.95


@pytest.mark.parametrize(
    ("obs_unit", "reward_unit"),
    [
        (255.0, 1000.0),
        pytest.param(255.0, 1.0, marks=pytest.mark.slow),
        pytest.param(1.0, 1000.0, marks=pytest.mark.slow),
        pytest.param(0.01, 0.001, marks=pytest.mark.slow),
    ],
)
def test_learner_handles_observations_and_rewards_of_any_scale(obs_unit: float, reward_unit: float) -> None:
    assert two_states(obs_unit, reward_unit) > 0.95


LIMIT, DISCOUNT = Corridor.limit, 0.99
SHORTEST = DISCOUNT ** (Corridor.obs_size - 2)
"""The return of the shortest way: the reward of 1 arrives with the fifth step."""


def corridor(updates: int = 0, seed: int = 0) -> Training:
    """Training on the corridor, after so many updates."""
    training = Training(Corridor(seed=seed), small_config(seed, behaviour={"horizon": 6}))
    if updates:
        training.learn(updates)
    return training


@pytest.fixture(scope="module")
def learned() -> Training:
    """The corridor after 200 updates."""
    return corridor(200)


def far_error(training: Training) -> float:
    """Mean squared error of what the model expects to see 1 to 5 steps ahead, knowing the actions alone."""
    model, world, rng = training.agent.model_trainer.model, Corridor(), np.random.default_rng(1)
    state, errors = first_states(training, world.reset().obs[:, 0]), []
    for _ in range(Corridor.obs_size - 1):
        actions = rng.integers(0, 2, (BATTLES, 1))
        seen = world.step(actions).final_obs[:, 0]
        noise = torch.from_numpy(rng.random((1, BATTLES, model.config.groups), dtype=np.float32))
        with torch.no_grad():
            state = model.rssm.transition(noise)(0, state, torch.from_numpy(actions[:, 0]))
            errors.append(float((model.decode_observation(state) - torch.from_numpy(seen)).square().mean()))
    return float(np.mean(errors))


def imagined_return(training: Training) -> float:
    """Mean discounted return of battles that the policy plays in the model, from the start to the time limit."""
    rng, many = np.random.default_rng(2), 64
    start = first_states(training, np.repeat(Corridor().reset().obs[:1, 0], many, 0))
    noise = torch.from_numpy(rng.random((LIMIT, many, start.stoch.shape[1] + 1), dtype=np.float32))
    model, actor = training.agent.model_trainer.model, training.agent.actor_critic.actor
    avail = torch.ones(many, 2, dtype=torch.bool)
    found = imagine(model, actor, start, avail, DISCOUNT, noise)
    before = torch.cumprod(torch.cat([torch.ones(1, many), found.discount[:-1]]), 0)
    return float((before * found.reward).sum(0).mean())


def played_return(training: Training) -> float:
    """Mean discounted return of battles that the policy plays in the world."""
    training.collector.outcomes.clear()
    training.collector.collect(10 * LIMIT, "sample")
    played = training.collector.outcomes[BATTLES:]  # the first ones began before
    return float(np.mean([outcome.total_reward * DISCOUNT ** (outcome.length - 1) for outcome in played]))


def test_world_model_predicts_a_corridor_ten_times_better_after_learning(learned: Training) -> None:
    assert far_error(learned) < 0.1 * far_error(corridor())


def test_imagined_return_equals_played_return_on_a_corridor(learned: Training) -> None:
    assert imagined_return(learned) == pytest.approx(played_return(learned), rel=0.05)


def test_learner_reaches_a_delayed_reward_and_values_it_at_the_start(learned: Training) -> None:
    assert played_return(learned) > 0.95 * SHORTEST
    start = first_states(learned, Corridor().reset().obs[:, 0])
    behaviour = learned.agent.actor_critic
    with torch.no_grad():
        value = behaviour.value_output.mean(behaviour.critic(start.deter, start.stoch))
    assert value.numpy() == pytest.approx(SHORTEST, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_3m_with_spawn_jitter_reaches_a_training_return_of_5_within_4_000_steps(seed: int, tmp_path: Path) -> None:
    learner = ("--method", "centralized", "--schedule.updates-per-step", "0.4", "--seed", str(seed))
    battles = ("--map", "3m", "--rules.spawn-jitter", "0.25", "--env-steps", "4000")
    command = [sys.executable, "-m", "mawm.train", *learner, *battles, "--run-dir", str(tmp_path / "run")]
    subprocess.run(command, check=True, capture_output=True, timeout=1200)
    lines = (tmp_path / "run/metrics.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[-1])["train/return"] >= 5.0
