"""Lambda-returns, two-hot scale, KL and sampling equal numbers computed from their formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mawm.agents.categorical import balanced_kl, masked_logits, mixed_probs, sample
from mawm.agents.returns import ReturnScale, TwoHot, lambda_returns


def test_lambda_returns_match_hand_computation():
    # G_2 = v_2 = 4; G_1 = 2 + .9 (.5 * 4 + .5 * 4) = 5.6; G_0 = 1 + .9 (.5 * 3 + .5 * 5.6) = 4.87
    reward, discount = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.9], [0.9]])
    value = torch.tensor([[9.0], [3.0], [4.0]])
    assert torch.allclose(lambda_returns(reward, discount, value, 0.5), torch.tensor([[4.87], [5.6]]))


def test_lambda_return_stops_at_terminal_and_bootstraps_at_truncation():
    reward, value = torch.tensor([[1.0]]), torch.tensor([[0.0], [10.0]])
    assert lambda_returns(reward, torch.tensor([[0.0]]), value, 0.95).item() == 1.0
    assert lambda_returns(reward, torch.tensor([[0.99]]), value, 0.95).item() == pytest.approx(10.9)


@pytest.mark.parametrize("x", [-20.0, -1.0, 0.0, 0.13, 10.96, 100.0])
def test_two_hot_weights_have_the_target_as_their_mean(x):
    two_hot = TwoHot(41)
    # The loss is linear in the log-probabilities: feeding basis vectors reads the weights back.
    probe = torch.zeros(41, 41).fill_diagonal_(-1.0)
    weights = torch.stack([two_hot.loss(row, torch.tensor(x)) for row in torch.log_softmax(probe, -1)])
    base = two_hot.loss(torch.zeros(41), torch.tensor(x))
    log_z = torch.logsumexp(probe, -1)
    recovered = weights - log_z  # = weight of the bin whose logit was lowered by one
    assert base.item() == pytest.approx(math.log(41), rel=1e-5)
    assert float(recovered @ two_hot.values) == pytest.approx(x, abs=2e-3 * max(1.0, abs(x)))
    assert int((recovered > 1e-4).sum()) <= 2


def test_two_hot_fit_is_mean_seeking_for_a_rare_large_reward():
    two_hot = TwoHot(63)
    logits = torch.zeros(63, requires_grad=True)
    target = torch.tensor([10.96] + [0.0] * 24)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(600):
        optimiser.zero_grad()
        two_hot.loss(logits.expand(25, 63), target).mean().backward()
        optimiser.step()
    assert two_hot.mean(logits).item() == pytest.approx(10.96 / 25, abs=0.05)


def test_kl_of_two_coins_matches_hand_computation():
    p, q = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([[0.25, 0.75], [0.9, 0.1]])
    assert balanced_kl(p, q)[0].item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), abs=1e-6)


def test_unimix_floors_every_class():
    probs = mixed_probs(torch.tensor([[[100.0, 0.0, 0.0, 0.0]]]), 0.01)
    assert probs.flatten().tolist() == pytest.approx([0.9925, 0.0025, 0.0025, 0.0025])


def test_sample_has_the_right_frequencies_and_never_probability_zero():
    rng = np.random.default_rng(0)
    probs = torch.tensor([0.0, 0.2, 0.0, 0.5, 0.3, 0.0]).expand(200_000, 6)
    draws = sample(probs, torch.from_numpy(rng.random(200_000, dtype=np.float32)))
    counts = torch.bincount(draws, minlength=6) / 200_000
    assert counts[[0, 2, 5]].sum() == 0
    assert torch.allclose(counts, probs[0], atol=0.005)


@given(st.integers(0, 2**31), st.floats(0.0, 1.0, exclude_max=True, width=32))
@settings(max_examples=60, deadline=None)
def test_masked_action_is_never_sampled(seed, uniform):
    rng = np.random.default_rng(seed)
    avail = torch.from_numpy(rng.random(9) < 0.4)
    avail[rng.integers(9)] = True
    logits = masked_logits(torch.from_numpy(rng.normal(size=9) * 20).float(), avail)
    probs = torch.softmax(logits, -1)
    assert probs[~avail].sum() == 0.0
    assert avail[sample(probs, torch.tensor(uniform))]


def test_return_scale_has_a_floor_of_one_and_follows_the_percentiles():
    scale = ReturnScale(decay=0.0)
    assert scale.update(torch.full((50,), 0.2)) == 1.0
    assert scale.update(torch.linspace(0, 100, 101)) == pytest.approx(90.0)
    assert scale.update(torch.tensor([float("nan")] * 4)) == pytest.approx(90.0)
