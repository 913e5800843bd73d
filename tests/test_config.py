"""Presets, merging and ranges; named generators."""

from dataclasses import asdict, replace

import pytest

from mawm.configs.check import check
from mawm.configs.presets import load_preset, merge, preset_names
from mawm.configs.train import SharingConfig, TrainConfig
from mawm.seeds import named_generator


@pytest.mark.parametrize("name", ["default", "paper", "debug"])
def test_presets_are_valid(name: str) -> None:
    assert name in preset_names()
    config = load_preset(name)
    check(config)
    assert merge(TrainConfig(), asdict(config), "config.json") == config


def test_paper_has_the_papers_numbers() -> None:
    agent = load_preset("paper").agent
    assert (agent.world_model.groups, agent.world_model.classes, agent.behaviour.horizon) == (32, 32, 15)


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'bandwidth'"):
        merge(TrainConfig(), {"sharing": {"bandwith": 0.1}}, "file")


def test_wrong_type_is_refused() -> None:
    with pytest.raises(ValueError, match="seed must be a whole number in"):
        merge(TrainConfig(), {"seed": "one"}, "file")


def test_bandwidth_out_of_range_names_value_and_fix() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]; got 2: did you mean 1"):
        check(replace(TrainConfig(), sharing=SharingConfig(bandwidth=2.0)))


def test_generators_are_keyed_by_seed_and_name_alone() -> None:
    draws = {named_generator(s, n).integers(2**62) for s in (0, 1) for n in ("a", "b")}
    assert len(draws) == 4
    assert named_generator(0, "a").integers(2**62) in draws
