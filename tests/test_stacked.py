"""The stacked placement: the mathematics of the learners one after the other, for all learners at once."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mawm.build import make_team
from mawm.collect import Collector
from mawm.configs.presets import load_preset, merge
from mawm.configs.train import TrainConfig
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.team import Team

Arrays = dict[str, NDArray[Any]]


@pytest.fixture
def float64() -> Iterator[None]:
    """Within the test all floating-point tensors have 64 bits."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def config_of(method: str = "both", **changes: Any) -> TrainConfig:
    config = replace(load_preset("debug"), method=method, precision="float32")
    return merge(config, {"sharing": {"bandwidth": 1.0}, **changes}, "test")


def play(team: Team, rounds: int, updates: int, env: SkirmishVectorEnv) -> None:
    """Rounds of the training loop without budgets: everything that is offered reaches the other learners."""
    collector = Collector(env, team, seq_len=8, discount=0.99)
    count = len(team.members)
    for number in range(rounds):
        lived = collector.collect(12, "sample")
        team.remember(lived)
        boxes = team.offer_segments(lived, env_steps=number)
        team.admit([[m for j, box in enumerate(boxes) if j != i for m in box.messages] for i in range(count)])
        team.fit_world_model(updates)
        team.imagine(updates)
        boxes = team.offer_rollouts(env_steps=number)
        inbox = [[m for j, box in enumerate(boxes) if j != i for m in box.messages] for i in range(count)]
        team.fit_behaviour(inbox, env_steps=number, share_won=0.3)


def states(config: TrainConfig, placement: str, rounds: int, updates: int) -> list[Arrays]:
    """Arrays of each learner after some rounds on 3m."""
    with closing(SkirmishVectorEnv("3m", 4, seed=3)) as env:
        team = make_team(config, env.spaces, "cpu", placement)
        play(team, rounds, updates, env)
        return [arrays for arrays, _ in team.states()]


def largest_difference(one: list[Arrays], other: list[Arrays]) -> float:
    """Largest difference of the learners' arrays; NaN counts as infinite."""
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].shape == b[name].shape, name
            if a[name].size:
                gap = np.abs(a[name].astype(np.float64) - b[name].astype(np.float64)).max()
                worst = max(worst, np.inf if np.isnan(gap) else float(gap))
    return worst


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("method", ["independent", "experience", "rollouts", "both", "centralized"])
def test_stacked_learners_equal_inline_learners_after_one_update_of_each_kind(method: str) -> None:
    config = config_of(method)
    assert largest_difference(states(config, "inline", 2, 1), states(config, "stack", 2, 1)) < 1e-9
