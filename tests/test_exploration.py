"""The weight of the entropy bonus: fixed as in the paper, or steered to a target."""

import math

import pytest

from mawm.agents.config import BehaviourConfig
from mawm.agents.exploration import LEAST, MOST, EntropyWeight


def test_without_a_target_the_weight_decays_with_environment_steps_and_nothing_else() -> None:
    weight = EntropyWeight(BehaviourConfig(entropy=0.01, entropy_target=0.0, entropy_decay=0.99998))
    weight.adapt(0.9, 0)
    assert weight.weight(0) == 0.01
    assert weight.weight(100_000) == pytest.approx(0.01 * 0.99998**1000)


def test_each_step_moves_the_log_weight_by_a_twentieth_of_what_is_missing() -> None:
    weight = EntropyWeight(BehaviourConfig(entropy=0.02, entropy_target=0.5, entropy_decay=1.0))
    weight.adapt(0.1, 0)
    assert weight.weight(0) == pytest.approx(0.02 * math.exp(0.05 * 0.4))
    weight.adapt(0.9, 0)
    assert weight.weight(0) == pytest.approx(0.02)


def test_the_target_halves_in_ten_thousand_steps_by_default() -> None:
    weight = EntropyWeight(BehaviourConfig())
    assert weight.target(10_000) / weight.target(0) == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(("share", "bound"), [(1.0, LEAST), (0.0, MOST)])
def test_the_weight_stays_within_bounds_and_comes_back(share: float, bound: float) -> None:
    weight = EntropyWeight(BehaviourConfig(entropy_target=0.5))
    for _ in range(2000):
        weight.adapt(share, 0)
    assert weight.weight(0) == pytest.approx(bound)
    weight.adapt(1.0 - share, 0)
    assert weight.weight(0) != pytest.approx(bound, rel=1e-3)
