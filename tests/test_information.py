"""The information terms equal hand computations, are zero for equal inputs, and train no world model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mawm.agents.actor_critic import ActorCritic, Imagined, imagine
from mawm.agents.config import BehaviourConfig, InformationConfig, WorldModelConfig
from mawm.agents.information.parameters import ParameterInformation
from mawm.agents.information.policies import PolicyInformation
from mawm.agents.rssm import Latent, Posteriors
from mawm.agents.scales import ObservationScale
from mawm.agents.world_model import Batch, WorldModel

OBS, ACTIONS, STARTS, HORIZON = 6, 5, 7, 4
MODEL = WorldModelConfig(deter=16, groups=2, classes=4, hidden=12, obs_scale=10.0)
BEHAVIOUR = BehaviourConfig(hidden=12)
SCALE = ObservationScale(OBS)
"""It leaves observations in [-10, 10] as they are."""


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def world() -> tuple[WorldModel, ActorCritic]:
    return WorldModel(OBS, ACTIONS, MODEL, 5, drawn(0)), ActorCritic(ACTIONS, MODEL, BEHAVIOUR, drawn(1))


def imagined(model: WorldModel, behaviour: ActorCritic) -> tuple[Imagined, torch.Tensor]:
    noise = torch.rand(HORIZON, STARTS, MODEL.groups + 1, generator=drawn(2))
    start = Latent(torch.randn(STARTS, MODEL.deter, generator=drawn(3)), torch.zeros(STARTS, MODEL.groups).long())
    avail = torch.ones(STARTS, ACTIONS, dtype=torch.bool)
    return imagine(model, behaviour.actor, start, avail, 0.99, noise), noise


def by_parameters(**changes: int) -> ParameterInformation:
    config = replace(InformationConfig(kind="param_ig"), **changes)
    return ParameterInformation(
        OBS, MODEL, config, drawn(4), np.random.default_rng(5), np.random.default_rng(6), "cpu"
    )  # fmt: skip


def by_policies(behaviour: ActorCritic, **changes: int) -> PolicyInformation:
    config = replace(InformationConfig(kind="policy_mi", others=3), **changes)
    return PolicyInformation(behaviour.actor, config, MODEL.obs_scale, np.random.default_rng(7), "cpu")


def other_actor(behaviour: ActorCritic) -> None:
    """Replace the weights of the policy."""
    with torch.no_grad():
        for parameter in behaviour.actor.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=drawn(8)))


def batch(own: list[bool], offset: float = 0.0) -> tuple[Batch, Posteriors]:
    """Stretches of 5 steps; rows that are not own hold other numbers with another offset."""
    steps, rows = 5, len(own)
    mine = torch.tensor(own)
    obs = torch.rand(steps, rows, OBS, generator=drawn(9)) + offset * (~mine)[:, None]
    none = torch.zeros(steps, rows, dtype=torch.bool)
    avail = torch.ones(steps, rows, ACTIONS, dtype=torch.bool)
    data = Batch(obs, torch.zeros(steps, rows).long(), torch.zeros(steps, rows), none, none, none, avail, mine)
    post = Posteriors(torch.rand(steps, rows, 16, generator=drawn(10)), torch.zeros(steps, rows, 2).long(), obs)
    return data, post


def test_ensemble_gain_is_half_the_squared_distance_times_precision() -> None:
    information, (model, behaviour) = by_parameters(others=1), world()
    with torch.no_grad():
        for parameter in information.ensemble.parameters():
            parameter.zero_()
        information.ensemble.second_bias[1, 0, 0] = 0.4  # the heads say 0 and 0.4 in the first of six numbers
    rollouts, noise = imagined(model, behaviour)
    gains = torch.stack([information.gains(model, rollouts, noise) for _ in range(400)])
    # log N(o; a) - log N(o; b) for o ~ N(a, 1/10): mean 10 * 0.4^2 / 2, deviation sqrt(10) * 0.4.
    assert float(gains.mean()) == pytest.approx(0.8, abs=4 * 1.265 / gains.numel() ** 0.5)
    assert float(gains.std()) == pytest.approx(10**0.5 * 0.4, rel=0.03)
    assert (gains < 0).any()


def test_ensemble_gain_of_equal_heads_is_zero() -> None:
    information, (model, behaviour) = by_parameters(others=4), world()
    with torch.no_grad():
        for parameter in information.ensemble.parameters():
            parameter.copy_(parameter[:1].expand_as(parameter))
    gains = information.gains(model, *imagined(model, behaviour))
    assert gains is not None and gains.shape == (HORIZON, STARTS)
    assert float(gains.abs().max()) < 1e-4


def test_ensemble_gain_falls_on_learned_data() -> None:
    information, (model, behaviour) = by_parameters(others=4), world()
    data, post = batch([True] * 8)
    rollouts, noise = imagined(model, behaviour)
    rollouts = rollouts._replace(deter=torch.cat([post.deter, post.deter])[: HORIZON + 1, :STARTS])
    before = information.gains(model, rollouts, noise)
    for _ in range(400):
        information.learn(data, post, SCALE)
    after = information.gains(model, rollouts, noise)
    assert before is not None and after is not None and float(after.mean()) < 0.3 * float(before.mean())


def test_ensemble_ignores_received_rows_and_sends_no_gradient_to_the_world_model() -> None:
    one, two = by_parameters(others=2), by_parameters(others=2)
    post_of = {}
    for information, offset in ((one, 0.0), (two, 1e6)):
        data, post = batch([True, True, False, False], offset)
        post_of[information] = post._replace(deter=post.deter.clone().requires_grad_())
        for _ in range(3):
            information.learn(data, post_of[information], SCALE)
    for a, b in zip(one.ensemble.parameters(), two.ensemble.parameters(), strict=True):
        assert torch.equal(a, b)
    assert all(post.deter.grad is None for post in post_of.values())


def test_policy_information_of_copies_is_exactly_zero() -> None:
    model, behaviour = world()
    information = by_policies(behaviour)
    rollouts, noise = imagined(model, behaviour)
    assert information.gains(model, rollouts, noise) is None
    for steps in (500, 600, 1000):
        information.remember(behaviour.actor, steps)
    assert len(information.snapshots) == 2, "one every 500 steps"
    gains = information.gains(model, rollouts, noise)
    assert gains is not None and float(gains.abs().max()) < 1e-4


def test_policy_information_of_other_policies_is_positive() -> None:
    model, behaviour = world()
    information = by_policies(behaviour, snapshot_every=1)
    for steps in range(1, 6):
        information.remember(behaviour.actor, steps)
    assert len(information.snapshots) == 3, "K of them"
    other_actor(behaviour)
    gains = information.gains(model, *imagined(model, behaviour))
    assert gains is not None and float(gains.mean()) > 1e-3


def test_policy_information_uses_finite_explorers_instead_of_snapshots() -> None:
    model, behaviour = world()
    information = by_policies(behaviour)
    rng = np.random.default_rng(0)
    told = {"projection": rng.normal(size=(OBS, 4)), "shift": rng.normal(size=4)}
    information.compare_with({**told, "weights": np.full((5, 4, ACTIONS), np.nan)})
    assert information.gains(model, *imagined(model, behaviour)) is None
    weights = rng.normal(size=(5, 4, ACTIONS))
    weights[1] = np.inf
    information.compare_with({**told, "weights": weights})
    assert information.explorers is not None and len(information.explorers) == 3
    assert np.array_equal(information.explorers.arrays["weights"], weights[[0, 2, 3]])
    gains = information.gains(model, *imagined(model, behaviour))
    assert gains is not None and torch.isfinite(gains).all() and float(gains.abs().max()) > 0.0


@pytest.mark.parametrize("kind", ["param_ig", "policy_mi"])
def test_information_gains_in_groups_cover_all_rollouts(kind: str) -> None:
    model, behaviour = world()
    information = (
        by_parameters(observations=3)
        if kind == "param_ig"
        else by_policies(behaviour, observations=3, snapshot_every=1)
    )
    information.remember(behaviour.actor, 1)
    other_actor(behaviour)
    gains = information.gains(model, *imagined(model, behaviour))
    assert gains is not None and gains.shape == (HORIZON, STARTS) and torch.isfinite(gains).all()


@pytest.mark.parametrize("kind", ["param_ig", "policy_mi"])
def test_information_state_round_trip_continues(kind: str) -> None:
    model, behaviour = world()

    def fresh() -> ParameterInformation | PolicyInformation:
        return by_parameters() if kind == "param_ig" else by_policies(behaviour, snapshot_every=1)

    one, two = fresh(), fresh()
    one.learn(*batch([True] * 4), SCALE)
    one.remember(behaviour.actor, 1)
    other_actor(behaviour)
    two.load_state(*one.state())
    gains = [information.gains(model, *imagined(model, behaviour)) for information in (one, two)]
    assert gains[0] is not None and gains[1] is not None and torch.equal(gains[0], gains[1])
