"""The information estimators equal formulas; Theorem 2 holds inside its range and fails outside."""

import math

import pytest
import torch

from mawm import verify
from mawm.agents.information.estimators import param_ig, policy_mi
from mawm.auditing.theory import check_descent


def test_information_estimates_match_hand_computation() -> None:
    # Two observations, two members: log 1/2 - log((1/4 + 3/4)/2) = 0; log 1/4 - log((1/2 + 1/2)/2) = log 1/2.
    own = torch.tensor([0.5, 0.25], dtype=torch.float64).log()
    others = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64).log()
    assert float(param_ig(own, others)) == pytest.approx((0.0 + math.log(0.5)) / 2)
    assert float(policy_mi(own, others)) == pytest.approx(math.log(0.5) / 2)  # below zero, and not clamped


def test_information_estimate_of_equal_inputs_is_zero() -> None:
    own = torch.randn(50, dtype=torch.float64)
    assert float(param_ig(own, own[:, None].expand(-1, 20))) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("own", "others"), [((3,), (4, 2)), ((3, 1), (3, 2)), ((3,), (3,)), ((3,), (3, 0))])
def test_information_estimate_refuses_mismatched_shapes(own: tuple[int, ...], others: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="log-densities"):
        policy_mi(torch.zeros(own), torch.zeros(others))


def test_theorem_2_holds_inside_its_range_and_fails_outside() -> None:
    inside, outside, ratio = check_descent(seed=5)
    assert (inside.found, outside.found) == ("0", "2000 of 2000")
    assert inside.holds and outside.holds and ratio.holds


@pytest.mark.slow
def test_verify_command_prints_every_claim_with_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main(["theory", "--seed", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9 and all(line.startswith("holds  ") for line in lines)
