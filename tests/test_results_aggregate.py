"""Statistics over seeds equal values computed by hand."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the extra `plot` is not installed")

from mawm.results import aggregate


def test_iqm_drops_the_lowest_and_highest_quarter() -> None:
    assert aggregate.iqm([100.0, 0, 1, 2, 3]) == 2
    assert aggregate.iqm(np.arange(8.0)) == 3.5
    assert aggregate.iqm([0.0, 1, 5]) == 2


def test_bootstrap_interval_of_three_seeds_covers_all_27_resamples() -> None:
    # The mean is at its lowest, and at its highest, in 1 of 27 resamples: more than 2.5 %.
    estimate = aggregate.iqm_interval([[0.1, 0.3, 0.5]])
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.3, 0.1, 0.5))


def test_bootstrap_interval_resamples_within_each_map() -> None:
    pooled = aggregate.iqm_interval([[0.0] * 3 + [1.0] * 3])
    by_map = aggregate.iqm_interval([[0.0] * 3, [1.0] * 3])
    assert (by_map.low, by_map.value, by_map.high) == (0.5, 0.5, 0.5)
    assert pooled.low < 0.5 < pooled.high


@pytest.mark.parametrize("seeds", [0, 1, 2])
def test_bootstrap_interval_needs_three_seeds(seeds: int) -> None:
    estimate = aggregate.iqm_interval([[0.5] * seeds])
    assert np.isnan([estimate.low, estimate.high]).all()
    assert estimate.seeds == seeds


def test_bootstrap_interval_is_deterministic() -> None:
    values = [[0.1, 0.7, 0.4, 0.9, 0.3]]
    assert aggregate.iqm_interval(values) == aggregate.iqm_interval(values)


def test_difference_pairs_runs_of_one_seed_only() -> None:
    one, other = {0: 0.5, 1: 0.7, 2: 0.9, 7: 0.0}, {2: 0.4, 1: 0.4, 0: 0.4, 8: 1.0}
    estimate = aggregate.paired_difference(one, other)
    assert (estimate.value, estimate.low, estimate.high, estimate.seeds) == pytest.approx((0.3, 0.1, 0.5, 3))


def test_probability_of_improvement_counts_wins_and_half_of_ties() -> None:
    assert aggregate.improvement([3.0, 4.0], [1.0, 3.0]).value == 3.5 / 4
    assert aggregate.improvement([1.0] * 3, [1.0] * 4).value == 0.5
    sure = aggregate.improvement([2.0, 3, 4], [1.0, 0, 1])
    assert (sure.value, sure.low, sure.high) == (1, 1, 1)


def test_curves_share_a_grid_by_last_value_carried_forward() -> None:
    one = np.array([0.0, 10, 20]), np.array([0.0, 1, 2])
    other = np.array([5.0, 15, 30]), np.array([5.0, 6, 7])
    grid, values = aggregate.common_grid([one, other])
    assert grid.tolist() == [5, 10, 15, 20]
    assert values.tolist() == [[0, 1, 1, 2], [5, 5, 6, 6]]


def test_curves_that_do_not_overlap_have_no_grid() -> None:
    early, late = (np.array([0.0, 1]), np.array([1.0, 1])), (np.array([5.0, 6]), np.array([1.0, 1]))
    assert len(aggregate.curve_band([early, late])[0]) == 0
    assert len(aggregate.curve_band([])[0]) == 0


def test_curve_band_surrounds_the_iqm_and_needs_three_seeds() -> None:
    steps = np.arange(200.0)
    curves = [(steps, np.full(200, level)) for level in (0.1, 0.3, 0.5)]
    grid, middle, low, high = aggregate.curve_band(curves)
    assert len(grid) == aggregate.CURVE_POINTS
    assert (grid[0], grid[-1]) == (0, 199)
    assert np.allclose([middle, low, high], [[0.3], [0.1], [0.5]])
    assert np.isnan(aggregate.curve_band(curves[:2])[2]).all()


def test_curve_area_is_the_win_rate_averaged_over_steps() -> None:
    curve = np.array([0.0, 10, 20]), np.array([0.0, 1, 1])
    assert aggregate.area_under_curve(curve, 20) == 0.75
    assert aggregate.area_under_curve(curve, 15) == pytest.approx(10 / 15)
    assert np.isnan(aggregate.area_under_curve(curve, 21))


def test_steps_to_a_level_are_those_of_the_first_point_at_it() -> None:
    curve = np.array([1.0, 2, 3, 4]), np.array([0.1, 0.8, 0.5, 0.9])
    assert aggregate.steps_to(curve, 0.8) == 2
    assert aggregate.steps_to(curve, 0.95) == np.inf
