"""The weight of the entropy bonus: decayed as in the paper, or steered to a target."""

import math

import numpy as np
import pytest

from mawm.agents.config import BehaviourConfig
from mawm.agents.entropy_weight import LEAST, MOST, Steered, StepDecay, UpdateDecay, exploration


def test_step_decay_depends_on_environment_steps_only() -> None:
    weight = StepDecay(BehaviourConfig(entropy=0.01, entropy_decay=0.99998))
    weight.adapt(0.9, 0)
    assert weight.weight(0) == 0.01
    assert weight.weight(100_000) == pytest.approx(0.01 * 0.99998**1000)


def test_update_decay_depends_on_gradient_steps_only() -> None:
    weight = UpdateDecay(BehaviourConfig(entropy=0.01, entropy_decay=0.99998))
    for _ in range(1000):
        weight.adapt(0.9, 0)
    assert weight.weight(100_000) == pytest.approx(0.01 * 0.99998**1000)
    again = UpdateDecay(weight.config)
    again.load_state(weight.state())
    assert again.weight(0) == weight.weight(0)


@pytest.mark.parametrize(("rule", "kind"), [("target", Steered), ("env_steps", StepDecay), ("updates", UpdateDecay)])
def test_entropy_rule_setting_selects_the_class(rule: str, kind: type) -> None:
    assert type(exploration(BehaviourConfig(entropy_rule=rule))) is kind  # type: ignore[arg-type]


def test_steered_weight_reacts_at_once_and_moves_its_slow_part_a_little() -> None:
    steered = Steered(BehaviourConfig(entropy=0.02, entropy_target=0.5, entropy_decay=1.0))
    steered.adapt(0.4, 0)
    error = math.log(0.5 / 0.4)
    assert steered.weight(0) == pytest.approx(0.02 * math.exp((8.0 + 0.015) * error))
    steered.adapt(0.5, 0)
    assert steered.weight(0) == pytest.approx(0.02 * math.exp(0.015 * error))
    steered.adapt(0.9, 0)
    assert steered.slow == pytest.approx(math.log(0.02) + 0.015 * error - 0.002)


def test_steered_weight_ignores_a_uniform_policy() -> None:
    steered = Steered(BehaviourConfig(entropy=0.02))
    for _ in range(1000):
        steered.adapt(0.99, 0)
    assert steered.slow == math.log(0.02)


def test_entropy_target_falls_with_the_share_won_not_with_time() -> None:
    steered = Steered(BehaviourConfig(entropy_target=0.5, entropy_final=0.1))
    assert steered.target(0) == steered.target(10**6) == 0.5
    for won, target in ((0.5, 0.2), (1.0, 0.1), (0.0, 0.5)):
        steered.set_share_won(won)
        assert steered.target(10**6) == pytest.approx(target)


def test_entropy_target_decays_with_steps_where_no_battle_is_won() -> None:
    steered = Steered(BehaviourConfig(entropy_decay=0.9931))
    assert steered.target(10_000) / steered.target(0) == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(("share", "bound"), [(0.97, LEAST), (0.0, MOST)])
def test_steered_weight_stays_within_bounds_and_recovers(share: float, bound: float) -> None:
    steered = Steered(BehaviourConfig(entropy_target=0.5))
    for _ in range(4000):
        steered.adapt(share, 0)
    assert steered.weight(0) == pytest.approx(bound)
    steered.adapt(0.97 - share, 0)
    assert steered.weight(0) != pytest.approx(bound, rel=1e-3)


def shares(lag: int, strength: float, sharpness: int, silence: int, target: float) -> np.ndarray:
    """Entropy shares of a simulated policy that follows the weight w with a lag, from a uniform one on.

    It goes to 1 / (1 + (strength / w)^sharpness), a part 1 / lag of the way in each gradient step, once advantages have
    appeared after a silence of so many steps.
    """
    steered = Steered(BehaviourConfig(entropy_target=target, entropy_decay=1.0))
    share, seen = 1.0, []
    for step in range(silence + 3000):
        drive = strength if step >= silence else 0.0
        share += (1.0 / (1.0 + (drive / steered.weight(0)) ** sharpness) - share) / lag
        steered.adapt(share, 0)
        seen.append(share)
    return np.array(seen)


@pytest.mark.parametrize("target", [0.5, 0.2])
@pytest.mark.parametrize("sharpness", [1, 2])
@pytest.mark.parametrize("silence", [0, 500])
def test_steered_weight_keeps_a_lagging_policy_within_a_tenth_of_the_target(
    target: float, sharpness: int, silence: int
) -> None:
    for lag in (10, 50, 200):
        for strength in (0.003, 0.02, 0.1, 0.3):
            seen = shares(lag, strength, sharpness, silence, target)
            assert seen.min() > 0.9 * target, (lag, strength)
            assert seen[-1] == pytest.approx(target, rel=0.1), (lag, strength)
