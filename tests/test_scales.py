"""An agent's scales of observations and rewards equal hand computations and follow its own data only."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mawm.agents.agent import Agent
from mawm.agents.returns import Deviation, Plain, TwoHot, scalar_output
from mawm.agents.scales import CLIP, GROWTH, ObservationScale, RewardUnit
from mawm.build import make_learner
from mawm.configs.presets import load_preset
from mawm.types import Origin, Role, Segment, Spaces

SPACES = Spaces(n_agents=2, n_actions=3, obs_size=2, state_size=1, episode_limit=20)


def scale_of(*rows: list[float], size: int = 3) -> ObservationScale:
    """A scale that has seen these observations, each in a call of its own."""
    scale = ObservationScale(size)
    for row in rows:
        scale.widen([np.array([row], np.float32)])
    return scale


def scaled(scale: ObservationScale, *row: float) -> list[float]:
    return scale(torch.tensor(row)).tolist()


def segment(reward: list[float], obs: float = 0.5, agent: int = 0, first: bool = True, lane: int = 0) -> Segment:
    """Arrivals with these rewards; the first one begins a battle or goes on with one."""
    steps = len(reward)
    return Segment(
        Origin(agent, Role.PRIMARY, 0), lane, 0, np.full((steps, 2), obs, np.float32), np.zeros(steps, np.int64),
        np.array(reward, np.float32), np.zeros(steps, np.bool_), (np.arange(steps) == 0) & first,
        np.ones((steps, 3), np.bool_),
    )  # fmt: skip


def test_observation_scale_leaves_values_within_one_unchanged() -> None:
    scale = scale_of([1.0, -0.3, 0.0])
    assert scaled(scale, 0.1, -0.3, 0.7) == torch.tensor([0.1, -0.3, 0.7]).tolist()


def test_observation_scale_divides_by_the_largest_value_of_the_entry() -> None:
    scale = scale_of([2.0, -8.0, 0.5], [4.0, 5.0, 0.1])
    assert scaled(scale, 1.0, 4.0, 0.5) == [0.25, 0.5, 0.5]
    assert scale.raw(scale(torch.tensor([1.0, 4.0, 0.5]))).tolist() == [1.0, 4.0, 0.5]


def test_observation_scale_makes_the_largest_small_value_one() -> None:
    scale = scale_of([0.01, -0.02, 0.0])
    assert scaled(scale, 0.01, 0.02, 0.0) == pytest.approx([0.5, 1.0, 0.0])


def test_observation_scale_is_one_before_any_data() -> None:
    assert scaled(scale_of(), 0.1, 3.0, -0.2) == torch.tensor([0.1, 3.0, -0.2]).tolist()


def test_observation_scale_limits_the_effect_of_an_outlier() -> None:
    scale = scale_of([1e30, np.nan, np.inf])
    assert scale.largest.tolist() == [GROWTH, 0.0, 0.0]
    assert scaled(scale, 1e30, 0.0, 0.0) == [CLIP, 0.0, 0.0]
    for _ in range(3):
        scale.widen([np.array([[255.0, 0.0, 0.0]], np.float32)])
    assert scale.largest.tolist() == [255.0, 0.0, 0.0], "a true range is reached within a few calls"


@pytest.mark.parametrize(("reward", "unit"), [(0.0, 1.0), (0.02, 0.02), (1.0, 1.0), (20.0, 1.0), (250.0, 12.5)])
def test_reward_unit_is_one_for_returns_between_1_and_20(reward: float, unit: float) -> None:
    rewards = RewardUnit(0.99, 1)
    for _ in range(3):
        rewards.take([segment([0.0, reward])])
    assert rewards.value == pytest.approx(unit, rel=1e-6)


def test_reward_unit_uses_discounted_returns_over_segments() -> None:
    rewards = RewardUnit(0.5, 2)
    rewards.take([segment([9.0, 4.0, 4.0], lane=1)])  # nothing comes with a battle's first arrival
    rewards.take([segment([4.0], first=False, lane=1)])
    assert rewards.largest == 0.5 * (0.5 * 4.0 + 4.0) + 4.0
    assert rewards.running == [0.0, 7.0]
    again = RewardUnit(0.5, 2)
    again.load_state(rewards.state())
    again.take([segment([10.0], first=False, lane=1)])
    assert again.largest == 13.5
    with pytest.raises(ValueError, match="saved with 2 lanes; this run needs 3"):
        RewardUnit(0.5, 3).load_state(rewards.state())


def make(index: int) -> Agent:
    config = replace(load_preset("debug"), method="both")
    learner = make_learner(index, config=config, spaces=SPACES, device="cpu")
    assert isinstance(learner, Agent)
    return learner


def units(agent: Agent) -> tuple[list[float], float]:
    return agent.model_trainer.model.rssm.scale.largest.tolist(), agent.reward_unit.value


def test_scales_follow_own_experience_only() -> None:
    agent, before = make(0), units(make(0))
    agent.replay.admit([segment([0.0, 5000.0], obs=255.0, agent=1)])
    agent.add_explorer_starts([])
    assert units(agent) == before
    for _ in range(4):
        agent.remember([segment([0.0, 5000.0], obs=255.0)])
    assert units(agent) == ([255.0, 255.0], 250.0)


def test_reward_unit_scales_all_reward_quantities_and_survives_resume() -> None:
    agent = make(0)
    for _ in range(4):
        agent.remember([segment([0.0, 5000.0], obs=255.0)])
    again = make(0)
    again.load_state(*agent.state())
    for one in (agent, again):
        behaviour = one.actor_critic
        assert units(one) == ([255.0, 255.0], 250.0)
        assert isinstance(behaviour.value_output, TwoHot) and isinstance(behaviour.advantages, Deviation)
        assert behaviour.value_output.values[-1] == pytest.approx(250 * (np.exp(5.0) - 1.0))
        assert behaviour.advantages.unit == 250.0
        assert torch.equal(one.model_trainer.model.reward_output.values, behaviour.value_output.values)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["two_hot", "huber", "squared"])
def test_value_head_in_another_unit_scales_at_the_same_loss(kind) -> None:
    one, many = scalar_output(kind, 21), scalar_output(kind, 21)
    many.set_unit(1000.0)
    out = torch.randn(5, one.size, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0.0, 1.0, -2.0, 7.0, 100.0])
    assert torch.allclose(1000.0 * one.mean(out), many.mean(out), rtol=1e-5)
    assert torch.allclose(one.loss(out, target), many.loss(out, 1000.0 * target), rtol=1e-4)


def test_plain_losses_match_hand_computation() -> None:
    out, target = torch.tensor([[0.5], [3.0]]), torch.zeros(2)
    assert Plain("squared").loss(out, target).tolist() == [0.125, 4.5]
    assert Plain("huber").loss(out, target).tolist() == [0.125, 2.5]


def test_standardised_advantages_have_mean_0_and_deviation_1() -> None:
    found = Deviation().normalise(torch.tensor([1.0, 3.0, 5.0]), torch.zeros(3), torch.ones(3))
    assert found.tolist() == pytest.approx([-(1.5**0.5), 0.0, 1.5**0.5], rel=1e-3)
    assert Deviation().normalise(torch.ones(4), torch.zeros(4), torch.ones(4)).tolist() == [0.0] * 4


def test_standardised_advantages_are_weighted_in_the_update() -> None:
    advantage, weight = torch.tensor([1.0, 3.0, 5.0, 900.0]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    found = Deviation().normalise(advantage, torch.zeros(4), weight)
    assert found[:3].tolist() == pytest.approx([-(1.5**0.5), 0.0, 1.5**0.5], rel=1e-3)
    # By hand: mean (1 + 3 * 5) / 4 = 4, variance (9 + 3 * 1) / 4 = 3.
    half = Deviation().normalise(torch.tensor([1.0, 5.0]), torch.zeros(2), torch.tensor([0.5, 1.5]))
    assert half.tolist() == pytest.approx([-(3.0**0.5), 1.0 / 3.0**0.5], rel=1e-3)
