"""The selector: the paper's rule by hand, and the cases in which a naive window goes wrong."""

from statistics import NormalDist

import numpy as np
import pytest

from mawm.selection import WARM_UP, Gaussian, Trivial
from mawm.stats import Window


def column(values: list[float]) -> np.ndarray:
    return np.array(values, np.float64)[:, None]


def test_single_loss_is_compared_with_the_window_before_it_enters() -> None:
    past = [float(i % 5) for i in range(WARM_UP)]
    threshold = np.mean(past) + NormalDist().inv_cdf(0.95) * np.std(past)
    for delta, expected in ((1e-6, True), (-1e-6, False)):
        selector = Gaussian(0.05, ("critic",))
        assert not selector.propose(column(past)).any()
        assert bool(selector.propose(column([threshold + delta]))[0]) is expected


def test_gaussian_losses_realise_the_bandwidth() -> None:
    losses = np.random.default_rng(0).normal(size=(10_000, 1))
    assert Gaussian(0.1, ("critic",)).propose(losses).mean() == pytest.approx(0.1, abs=0.015)


def test_constant_stream_shares_nothing() -> None:
    assert not Gaussian(0.25, ("a", "b")).propose(np.full((500, 2), 0.1)).any()


def test_not_finite_is_refused_counted_and_changes_nothing() -> None:
    losses = np.random.default_rng(1).normal(size=(300, 2))
    clean, dirty = Gaussian(0.1, ("a", "b")), Gaussian(0.1, ("a", "b"))
    expected = clean.propose(losses)
    poisoned = np.insert(losses, 50, [np.nan, 0.0], axis=0)
    got = dirty.propose(poisoned)
    assert not got[50] and (np.delete(got, 50) == expected).all()
    assert dirty.refused_non_finite == 1


def test_the_loss_that_won_the_maximum_is_counted() -> None:
    losses = np.random.default_rng(2).normal(size=(200, 2))
    selector = Gaussian(0.05, ("a", "b"))
    selector.propose(losses)
    before = selector.state()["won"]
    selector.propose(np.array([[0.0, 50.0]]))
    assert selector.state()["won"] == [before[0], before[1] + 1]


def test_state_continues_the_decisions() -> None:
    losses = np.random.default_rng(3).normal(size=(400, 3))
    whole, first, second = (Gaussian(0.2, ("a", "b", "c"), window=64) for _ in range(3))
    expected = whole.propose(losses)
    first.propose(losses[:150])
    second.load_state(first.state())
    assert (second.propose(losses[150:]) == expected[150:]).all()


def test_trivial_selectors_and_bad_bandwidth() -> None:
    assert Trivial(True).propose(np.zeros((3, 1))).all() and not Trivial(False).propose(np.zeros((3, 1))).any()
    with pytest.raises(ValueError, match="inside"):
        Gaussian(1.0, ("a",))


def test_window_keeps_its_precision_at_a_large_offset_and_forgets() -> None:
    window = Window(4)
    for value in (5.0, 1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3):
        window.push(value)
    assert window.moments() == pytest.approx((1e9 + 1.5, np.std([0, 1, 2, 3])))
