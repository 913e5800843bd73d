"""The weights that an agent acts by follow those that it learns."""

import copy

import numpy as np
import pytest
import torch

from mawm.agents.actor_critic import ActorCritic, policy_logits
from mawm.agents.agent import Agent
from mawm.agents.averaged import AveragedPolicy
from mawm.agents.config import BehaviourConfig, WorldModelConfig
from mawm.agents.rssm import Latent
from mawm.agents.world_model import WorldModel
from mawm.build import make_learner
from mawm.configs.presets import load_preset
from mawm.types import Spaces

SIZES = WorldModelConfig(deter=8, groups=2, classes=4, hidden=8)


def networks() -> tuple[WorldModel, ActorCritic]:
    generator = torch.Generator().manual_seed(0)
    return WorldModel(5, 3, SIZES, 9, generator), ActorCritic(3, SIZES, BehaviourConfig(hidden=8, bins=9), generator)


def fill(module: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        for weight in module.parameters():
            weight.fill_(value)


def values(module: torch.nn.Module) -> set[float]:
    return {round(value, 5) for weight in module.parameters() for value in weight.detach().flatten().tolist()}


def test_the_average_follows_the_learned_weights_as_worked_out_by_hand() -> None:
    model, behaviour = networks()
    fill(model, 0.0)
    fill(behaviour.actor, 0.0)
    policy = AveragedPolicy(model, behaviour.actor, decay=0.3)
    fill(model, 1.0)
    fill(behaviour.actor, 10.0)
    policy.follow(1)  # d_1 = 2 / 11
    assert values(policy.model) == {round(9 / 11, 5)} and values(policy.actor) == {round(90 / 11, 5)}
    policy.follow(4)  # d_2 = 3 / 12, d_3 = d_4 = 0.3: what is left of the distance is multiplied by 0.0225
    assert values(policy.model) == {round(1 - 2 / 11 * 0.0225, 5)} and policy.updates == 4
    policy.follow(4)
    assert values(policy.model) == {round(1 - 2 / 11 * 0.0225, 5)}
    assert values(model) == {1.0} and values(behaviour.actor) == {10.0}


def test_without_a_decay_the_learned_weights_act() -> None:
    model, behaviour = networks()
    policy = AveragedPolicy(model, behaviour.actor, decay=0.0)
    policy.follow(100)
    assert policy.model is model and policy.actor is behaviour.actor


def test_the_scale_of_observations_is_the_current_one_and_not_an_average() -> None:
    model, behaviour = networks()
    policy = AveragedPolicy(model, behaviour.actor, decay=0.999)
    model.rssm.scale.widen([np.full((1, 5), 4.0, np.float32)])
    assert policy.model.rssm.scale.largest.tolist() == [4.0] * 5  # at once, before the average follows
    policy.follow(1)
    assert policy.model.rssm.scale.largest.tolist() == [4.0] * 5


def test_the_average_of_wandering_weights_is_nearer_to_their_centre_than_they_are() -> None:
    model, behaviour = networks()
    policy = AveragedPolicy(model, behaviour.actor, decay=0.999)
    centre = copy.deepcopy(list(behaviour.actor.parameters()))
    rng = torch.Generator().manual_seed(1)
    gaps = []
    for step in range(1, 1001):
        with torch.no_grad():
            for weight, middle in zip(behaviour.actor.parameters(), centre, strict=True):
                weight.lerp_(middle, 0.02).add_(torch.randn(weight.shape, generator=rng), alpha=0.01)
        policy.follow(step)
        pairs = zip(policy.actor.parameters(), behaviour.actor.parameters(), centre, strict=True)
        gaps.append(
            np.sum([[float((a - c).detach().norm()) ** 2, float((b - c).detach().norm()) ** 2] for a, b, c in pairs], 0)
        )
    average, learned = np.mean(gaps[500:], 0)
    assert average < 0.5 * learned


def test_checkpoint_without_an_average_starts_one_at_its_weights() -> None:
    config = load_preset("debug")
    old, new = (make_learner(0, config=config, spaces=Spaces(3, 9, 30, 48, 60), device="cpu") for _ in range(2))
    assert isinstance(old, Agent) and isinstance(new, Agent)
    fill(old.actor_critic.actor, 0.25)
    old.model_trainer.updates = 7
    arrays, saved = old.state()
    arrays = {name: array for name, array in arrays.items() if "/acting_" not in name}
    del saved["averaged_updates"]
    new.load_state(arrays, saved)
    assert values(new.acting.actor) == {0.25} and new.acting.updates == 7
    learned = new.model_trainer.model.state_dict()
    assert all(torch.equal(value, learned[name]) for name, value in new.acting.model.state_dict().items())


@pytest.mark.parametrize("decay", [0.0, 0.999])
def test_logits_are_those_of_the_acting_weights_and_masked(decay: float) -> None:
    model, behaviour = networks()
    policy = AveragedPolicy(model, behaviour.actor, decay)
    latent = Latent(torch.ones(2, 8), torch.zeros(2, 2, dtype=torch.long))
    avail = torch.tensor([[True, True, False], [True, False, True]])
    before = policy_logits(policy.actor, latent, avail)
    assert torch.equal(before, behaviour.policy(latent, avail)) and (before[~avail] < -1e8).all()
    fill(behaviour.actor, 0.5)
    moved = not torch.equal(policy_logits(policy.actor, latent, avail), before)
    assert moved == (decay == 0.0)
