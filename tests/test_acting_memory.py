"""Which lanes of an agent take the likeliest action and which sample."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mawm.agents.agent import Agent
from mawm.build import make_learner
from mawm.configs.presets import load_preset
from mawm.types import Spaces

BATTLES = 4


def actions(method: str, greedy_battles: float, slot: str, mode: str, draws: int = 40) -> np.ndarray:
    """First actions (draws, L) of an agent whose policy slightly prefers action 1 in every state."""
    config = load_preset("debug")
    behaviour = replace(config.agent.behaviour, greedy_battles=greedy_battles)
    config = replace(config, method=method, agent=replace(config.agent, behaviour=behaviour))
    agent = make_learner(0, config=config, spaces=Spaces(2, 6, 5, 7, 60), device="cpu")
    assert isinstance(agent, Agent)
    with torch.no_grad():
        for weight in agent.acting.actor.parameters():
            weight.zero_()
        list(agent.acting.actor.parameters())[-1][1] = 0.5
    lanes = BATTLES * len(agent.members)
    seen = np.ones((lanes, 5), np.float32), np.ones((lanes, 6), np.bool_), np.ones(lanes, np.bool_)
    chosen = []
    for _ in range(draws):
        agent.begin(slot, lanes)
        chosen.append(agent.act(*seen, slot=slot, mode=mode))
    return np.array(chosen)


def is_greedy(chosen: np.ndarray) -> list[bool]:
    """Whether a lane took action 1 in all draws."""
    return (chosen == 1).all(0).tolist()


@pytest.mark.parametrize(("share", "greedy"), [(0.0, 0), (0.5, 2), (0.75, 3), (1.0, 4)])
def test_first_battles_of_training_are_greedy_and_the_others_sampled(share: float, greedy: int) -> None:
    expected = [True] * greedy + [False] * (BATTLES - greedy)
    assert is_greedy(actions("both", share, "train", "sample")) == expected


def test_all_members_of_a_centralized_learner_are_greedy_in_the_same_battles() -> None:
    assert is_greedy(actions("centralized", 0.5, "train", "sample")) == [True, True, False, False] * 2


@pytest.mark.parametrize(("slot", "mode"), [("eval", "sample"), ("train", "random")])
def test_evaluation_and_prefill_have_no_greedy_battles(slot: str, mode: str) -> None:
    assert not any(is_greedy(actions("both", 1.0, slot, mode)))


def test_greedy_mode_is_greedy_in_every_battle() -> None:
    assert all(is_greedy(actions("both", 0.0, "eval", "greedy")))


def test_share_of_greedy_battles_changes_no_random_number() -> None:
    mixed, sampled = (actions("both", share, "train", "sample") for share in (0.5, 0.0))
    np.testing.assert_array_equal(mixed[:, 2:], sampled[:, 2:])
