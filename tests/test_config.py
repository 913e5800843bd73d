"""Presets, merging of settings and their ranges; named generators."""

import re
from dataclasses import asdict, replace

import pytest

from mawm.configs.check import check
from mawm.configs.presets import load_preset, merge, names_in
from mawm.configs.train import SharingConfig, TrainConfig
from mawm.seeds import named_generator


@pytest.mark.parametrize("name", ["default", "paper", "debug"])
def test_preset_is_valid(name: str) -> None:
    assert name in names_in("presets")
    config = load_preset(name)
    check(config)
    assert merge(TrainConfig(), asdict(config), "config.json") == config


def test_paper_preset_has_the_numbers_of_the_paper() -> None:
    agent = load_preset("paper").agent
    assert (agent.world_model.groups, agent.world_model.classes, agent.behaviour.horizon) == (32, 32, 15)
    model, behaviour = agent.world_model, agent.behaviour
    assert (behaviour.actor_lr, behaviour.critic_lr, model.lr) == (1e-6, 1e-4, 3e-4)
    assert (behaviour.entropy, behaviour.entropy_decay, behaviour.entropy_rule) == (0.01, 0.99998, "updates")
    assert (behaviour.epochs, model.predictor_layers, model.unimix, model.free_nats) == (5, 2, 0.0, 0.0)
    assert (model.reward_output, behaviour.critic_output, behaviour.advantage_scale) == (
        "huber",
        "squared",
        "deviation",
    )


def test_unknown_key_is_refused_naming_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'bandwidth'"):
        merge(TrainConfig(), {"sharing": {"bandwith": 0.1}}, "file")


def test_value_of_a_wrong_type_is_refused() -> None:
    with pytest.raises(ValueError, match="seed must be a whole number in"):
        merge(TrainConfig(), {"seed": "one"}, "file")


def test_bandwidth_out_of_range_is_refused_with_value_and_fix() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]; got 2; did you mean 1"):
        check(replace(TrainConfig(), sharing=SharingConfig(bandwidth=2.0)))


@pytest.mark.parametrize(("key", "rule"), [("seed", "[0, 1000000000000000000]"), ("env_steps", "[1, 1000000000000]")])
def test_number_of_5000_digits_is_refused_like_any_other(key: str, rule: str) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"{key} must be a whole number in {rule}; got a number of thousands of digits")
    ):
        check(merge(TrainConfig(), {key: 16**5000}, "file"))  # as a file can write it, in hexadecimal digits


def test_large_product_of_sizes_is_refused() -> None:
    config = merge(TrainConfig(), {"agent": {"world_model": {"groups": 256, "classes": 256}}}, "file")
    said = "agent.world_model.groups x agent.world_model.classes is 256 x 256 = 65536; it must be at most 8192"
    with pytest.raises(ValueError, match=said):
        check(config)


def test_imagination_beyond_memory_is_refused() -> None:
    changed = {"battles": 1000, "round_steps": 100, "updates_per_step": 10.0}
    with pytest.raises(ValueError, match=r"imagined states a round; it must be at most 10000000"):
        check(merge(TrainConfig(), {"schedule": changed}, "file"))


def test_named_generator_depends_on_seed_and_name_only() -> None:
    draws = {named_generator(s, n).integers(2**62) for s in (0, 1) for n in ("a", "b")}
    assert len(draws) == 4
    assert named_generator(0, "a").integers(2**62) in draws
