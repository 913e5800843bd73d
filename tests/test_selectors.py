"""Selectors: the paper's rule by hand, the realised share, and streams that break a naive window."""

import json
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from mawm.sharing.broadcast import Broadcaster
from mawm.sharing.budgets import ShareBudget
from mawm.sharing.selectors import SELECTORS, AllOrNone, RandomSelector, Selector, make_selector
from mawm.sharing.threshold import AIM, WARM_UP, Z_BOUND, Threshold, Window


def column(values: list[float]) -> np.ndarray:
    return np.array(values, np.float64)[:, None]


def make(name: str, bandwidth: float, window: int = 1500, components: tuple[str, ...] = ("a",)) -> Selector:
    return make_selector(name, bandwidth, components, window, np.random.default_rng(7))


def ask(selector: Selector, losses: np.ndarray, arrivals: int | np.ndarray = 1) -> np.ndarray:
    """Proposals for items of one arrival each, or of as many as said."""
    items: list[Any] = [None] * len(losses)
    return selector.propose(losses, np.broadcast_to(np.asarray(arrivals, np.int64), len(losses)), items)


FOLLOWERS = ("adaptive", "random")
"""Selectors that aim a little below the bandwidth, so that the budget refuses hardly anything."""


def test_threshold_compares_a_loss_with_the_window_before_it_enters() -> None:
    past = [float(i % 5) for i in range(WARM_UP)]
    threshold = np.mean(past) + NormalDist().inv_cdf(0.95) * np.std(past)
    for delta, expected in ((1e-6, True), (-1e-6, False)):
        selector = Threshold(0.05, ("critic",))
        assert not ask(selector, column(past)).any()
        assert bool(ask(selector, column([threshold + delta]))[0]) is expected


def test_threshold_rule_matches_hand_computation() -> None:
    """Two losses of items of unequal length, against Z section 4.2 in plain loops."""
    rng = np.random.default_rng(0)
    losses, arrivals = rng.exponential(size=(300, 2)), rng.integers(1, 30, 300)
    size, c = 400, NormalDist().inv_cdf(0.9)
    expected, composites = [], {}

    def window(now: int, first: int) -> list[int]:
        """Items before `now` that hold at most `size` arrivals together, and at least WARM_UP of them."""
        kept: list[int] = []
        for item in range(now - 1, first - 1, -1):
            if sum(arrivals[k] for k in [*kept, item]) > size and len(kept) >= WARM_UP:
                break
            kept.append(item)
        return kept

    for now in range(300):
        past, z = window(now, 0), []
        if len(past) < WARM_UP:
            expected.append(False)
            continue
        for m in range(2):
            mu = sum(arrivals[k] * losses[k, m] for k in past) / sum(arrivals[k] for k in past)
            sigma = np.sqrt(np.mean([arrivals[k] * (losses[k, m] - mu) ** 2 for k in past]))
            z.append(min(Z_BOUND, np.sqrt(arrivals[now]) * (losses[now, m] - mu) / sigma))
        past = [composites[k] for k in window(now, WARM_UP)]
        warm = len(past) >= WARM_UP
        expected.append(bool(warm and max(z) >= np.mean(past) + c * np.std(past)))
        composites[now] = min(max(z), np.mean(past) + Z_BOUND * np.std(past)) if warm else max(z)
    assert sum(expected) > 10
    assert ask(Threshold(0.1, ("a", "b"), size), losses, arrivals).tolist() == expected


def test_threshold_has_no_composite_before_all_windows_are_warm() -> None:
    # Two nearly equal first values have a tiny deviation: a z-score of the third one would be 1e6 sigmas.
    losses = np.random.default_rng(1).normal(size=(2000, 4))
    losses[:2] = [[0.0] * 4, [1e-6] * 4]
    selector = Threshold(0.05, ("a", "b", "c", "d"))
    assert not ask(selector, losses[: 2 * WARM_UP]).any()
    assert len(selector.state()["past"]) == WARM_UP and max(row[0] for row in selector.state()["past"]) < 4.0
    assert 0.03 < ask(selector, losses[2 * WARM_UP : 500]).mean() < 0.09


def test_window_size_counts_arrivals() -> None:
    window = Window(1500, 1)
    for n in range(400):
        window.push([float(n)], 15)
    assert len(window.values) == 100 and window.values[-1, 0] == 399.0
    long = Window(100, 1)
    for n in range(400):
        long.push([float(n)], 20)
    assert len(long.values) == WARM_UP, "a deviation of five items would say nothing"


@pytest.mark.parametrize("name", ["adaptive", "gaussian"])
def test_selector_share_does_not_depend_on_segment_length(name: str) -> None:
    rng = np.random.default_rng(2)
    arrivals = rng.integers(10, 21, 6000)
    arrivals[::10] = 4  # battles that are over soon
    # Each loss is a mean over the arrivals of independent ones, of very different tails.
    draws = lambda n: rng.normal(size=n), rng.standard_exponential
    losses = np.stack([np.array([draw(n).mean() for n in arrivals]) for draw in draws], 1)
    offered = ask(make(name, 0.1, components=("a", "b")), losses, arrivals)
    shares = [offered[(arrivals >= low) & (arrivals <= high)].mean() for low, high in ((4, 4), (10, 13), (18, 20))]
    assert max(shares) < 1.6 * min(shares), shares
    plain = ask(make(name, 0.1, components=("a", "b")), losses)  # as if every item were one arrival
    assert plain[arrivals == 4].mean() > 3 * plain[arrivals >= 18].mean()


@pytest.mark.parametrize("name", ["gaussian", "adaptive", "quantile", "random"])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.5])
def test_selector_share_on_gaussian_losses_is_the_bandwidth(name: str, share: float) -> None:
    n = 6_000
    losses = np.random.default_rng(0).normal(size=(n, 1))
    realised = ask(make(name, share), losses)[1500:].mean()
    aim = AIM * share if name in FOLLOWERS else share
    # Three deviations of a fair draw; estimating mu and sigma from 1500 values adds a little to the first two.
    assert abs(realised - aim) <= 3 * np.sqrt(share * (1 - share) / (n - 1500)) + 0.02 * share


@pytest.mark.parametrize("name", ["adaptive", "quantile"])
def test_selector_share_holds_on_skewed_losses_unlike_the_gaussian_rule(name: str) -> None:
    losses = np.random.default_rng(1).exponential(size=(12_000, 1))
    assert ask(make("gaussian", 0.01), losses)[1500:].mean() > 0.03
    offered = ask(make(name, 0.01), losses)[6000:]
    assert offered.mean() == pytest.approx(0.01, abs=0.003)
    best = losses[6000:, 0] >= np.quantile(losses[6000:, 0], 0.99)
    assert offered[best].mean() > (0.8 * AIM if name == "adaptive" else 0.8)


def test_selector_diagnostics_have_c_only_where_the_rule_has() -> None:
    assert "c" in make("adaptive", 0.05).diagnostics() and "c" in make("gaussian", 0.05).diagnostics()
    assert "c" not in make("quantile", 0.05).diagnostics()


def test_selector_shares_nothing_of_a_constant_stream() -> None:
    assert not ask(Threshold(0.25, ("a", "b")), np.full((500, 2), 0.1)).any()


def test_selector_refuses_and_counts_non_finite_losses() -> None:
    losses = np.random.default_rng(1).normal(size=(300, 2))
    clean, dirty = Threshold(0.1, ("a", "b")), Threshold(0.1, ("a", "b"))
    expected = ask(clean, losses)
    poisoned = np.insert(losses, 50, [np.nan, 0.0], axis=0)
    got = ask(dirty, poisoned)
    assert not got[50] and (np.delete(got, 50) == expected).all()
    assert dirty.refused_non_finite == 1


def test_selector_counts_which_loss_was_the_largest() -> None:
    losses = np.random.default_rng(2).normal(size=(200, 2))
    selector = Threshold(0.05, ("a", "b"))
    ask(selector, losses)
    before = selector.state()["won"]
    ask(selector, np.array([[0.0, 50.0]]))
    assert selector.state()["won"] == [before[0], before[1] + 1]


def test_threshold_state_round_trip_continues_the_decisions() -> None:
    losses = np.random.default_rng(3).normal(size=(400, 3))
    whole, first, second = (Threshold(0.2, ("a", "b", "c"), window=64) for _ in range(3))
    expected = ask(whole, losses, 2)
    ask(first, losses[:150], 2)
    second.load_state(first.state())
    assert (ask(second, losses[150:], 2) == expected[150:]).all()


def test_selectors_all_none_and_bandwidth_0_or_1_are_trivial() -> None:
    assert ask(AllOrNone(True), np.zeros((3, 1))).all() and not ask(AllOrNone(False), np.zeros((3, 1))).any()
    for name in SELECTORS:
        for share in (0.0, 1.0):
            selector = make_selector(name, share, ("a",), 100, np.random.default_rng(0))
            assert selector.active == {"all": True, "none": False}.get(name, share == 1.0)


def test_window_moments_are_precise_at_a_large_offset() -> None:
    window = Window(WARM_UP, 1)
    last = [1e9 + k for k in range(WARM_UP)]
    for value in (5.0, -7.0, *last):
        window.push([value], 1)
    mean, sigma = window.moments()
    assert (mean[0], sigma[0]) == pytest.approx((1e9 + (WARM_UP - 1) / 2, np.std(np.arange(WARM_UP))))


STREAMS = {
    "constant": lambda rng, n: np.full(n, 0.1),
    "nine tenths zero": lambda rng, n: np.where(rng.random(n) < 0.9, 0.0, rng.random(n)),
    "rare spikes": lambda rng, n: np.where(rng.random(n) < 0.01, 5.0, 0.0),
    "offset in float32": lambda rng, n: (1e3 + 1e-3 * rng.normal(size=n)).astype(np.float32).astype(np.float64),
    "tripled half way": lambda rng, n: rng.exponential(size=n) * np.where(np.arange(n) < n // 2, 1.0, 3.0),
    "one outlier": lambda rng, n: np.where(np.arange(n) == n // 2, 1e9, rng.normal(size=n)),
}


@pytest.mark.parametrize("name", ["gaussian", "adaptive", "quantile"])
def test_selector_share_on_degenerate_streams(name: str) -> None:
    shares = {}
    for kind, stream in STREAMS.items():
        losses = stream(np.random.default_rng(3), 6000)
        shares[kind] = ask(make(name, 0.05, window=500), losses[:, None])
        assert shares[kind].mean() < 0.16, kind
    assert not shares["constant"].any()
    assert shares["offset in float32"].mean() == pytest.approx(0.05, abs=0.015)
    # The outlier is offered, and deafens no rule: it enters the window at 8 sigma.
    assert shares["one outlier"][3000]
    assert shares["one outlier"][3001:3501].mean() > 0.02
    assert shares["one outlier"][3501:].mean() == pytest.approx(0.05, abs=0.015)
    # A tripling floods the rules for a while; the budget, not the rule, keeps the promise then.
    assert shares["tripled half way"][3000:3100].mean() > 0.05
    assert shares["tripled half way"][4500:].mean() < 0.1


@pytest.mark.parametrize("name", ["gaussian", "adaptive", "quantile", "random"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_selector_loses_one_item_to_one_non_finite_value(name: str, bad: float) -> None:
    losses = np.random.default_rng(4).normal(size=(400, 1))
    losses[200] = bad
    offered = ask(make(name, 0.2), losses)
    assert not offered[200] and offered[201:220].any()


def test_budget_holds_in_every_window_of_every_stream() -> None:
    size, share, burst = 10, 0.05, 25 * 10
    for seed in range(40):
        rng = np.random.default_rng(seed)
        kind = list(STREAMS.values())[seed % len(STREAMS)]
        losses = kind(rng, 800) * np.exp(rng.normal() * 3) ** np.sign(rng.normal(size=800))
        losses[rng.random(800) < 0.02] = np.nan
        selector = make(("gaussian", "adaptive", "quantile", "all")[seed % 4], share, window=300)
        sender, budget = Broadcaster(selector, ShareBudget(share, burst)), []
        items: list[Any] = [None]
        for loss in losses:
            box = sender.publish(items, [size], np.array([[loss]]), lambda item, sequence: bytes(size))
            budget.append(box.counts.sent_bytes)
        total = np.concatenate([[0], np.cumsum(budget)])
        for n in (1, 2, 5, 20, 100, 500, 800):
            assert (total[n:] - total[:-n]).max() <= share * n * size + burst + 1e-6


@pytest.mark.parametrize("name", [name for name in SELECTORS if name not in ("all", "none")])
def test_selector_state_round_trip_continues_the_decisions(name: str) -> None:
    losses = np.random.default_rng(5).exponential(size=(600, 2))
    whole, first, second = (make(name, 0.2, 64, ("a", "b")) for _ in range(3))
    expected = ask(whole, losses)
    ask(first, losses[:250])
    second.load_state(json.loads(json.dumps(first.state())))
    assert (ask(second, losses[250:]) == expected[250:]).all() and expected[250:].any()


def test_random_selector_ignores_losses() -> None:
    losses = np.random.default_rng(6).normal(size=(500, 1))
    one, other = (RandomSelector(0.1, WARM_UP, np.random.default_rng(1)) for _ in range(2))
    assert (ask(one, losses) == ask(other, losses[::-1] * 100)).all()


def test_own_selector_is_loaded_by_module_and_name() -> None:
    selector = make("tests.own_selector:every_third", 0.5)
    assert ask(selector, np.zeros((6, 1))).tolist() == [False, False, True] * 2
    with pytest.raises(ValueError, match="cannot be loaded"):
        make("tests.own_selector:nobody", 0.5)
    with pytest.raises(ValueError, match="none of adaptive, gaussian"):
        make("gausian", 0.5)
