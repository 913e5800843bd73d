"""Statistics over seeds: interquartile means, bootstrap intervals, areas, differences, probabilities of improvement.

After Agarwal et al. (2021), "Deep RL at the edge of the statistical precipice".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95
MIN_SEEDS = 3
"""Minimum number of seeds for an interval: a bootstrap of two values is meaningless."""
RESAMPLES = 5000
CURVE_RESAMPLES = 1000
CURVE_POINTS = 60

Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval; `low` and `high` are nan with fewer than three seeds."""

    value: float
    low: float
    high: float
    seeds: int


NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan, 0)


def iqm(values: Any, axis: int = 0) -> Any:
    """Interquartile mean: the mean without the lowest and the highest quarter (rounded down) of the values."""
    return stats.trim_mean(np.asarray(values, float), 0.25, axis=axis)


def iqm_interval(strata: Sequence[Sequence[float]]) -> Estimate:
    """IQM of all values with a stratified percentile bootstrap: seeds are resampled within each stratum (map)."""
    samples = [np.asarray(stratum, float) for stratum in strata if len(stratum)]
    seeds = min((len(sample) for sample in samples), default=0)
    if not samples:
        return NO_ESTIMATE
    low, high = _bootstrap(samples, lambda *s, axis: iqm(np.concatenate(s, axis=axis), axis=axis), seeds)
    return Estimate(float(iqm(np.concatenate(samples))), float(low), float(high), seeds)


def paired_difference(one: dict[int, float], other: dict[int, float]) -> Estimate:
    """IQM of `one` minus `other` over their common seeds; the bootstrap resamples seeds."""
    return iqm_interval([[one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]])


def improvement(one: Sequence[float], other: Sequence[float]) -> Estimate:
    """P(a run of `one` beats a run of `other`) = U / (n m) with Mann-Whitney's U; ties count one half."""
    if not len(one) or not len(other):
        return NO_ESTIMATE
    seeds = min(len(one), len(other))
    u = stats.mannwhitneyu(one, other).statistic
    samples = [np.asarray(one, float), np.asarray(other, float)]
    low, high = _bootstrap(samples, _share_of_wins, seeds)
    return Estimate(float(u) / (len(one) * len(other)), float(low), float(high), seeds)


def common_grid(curves: Sequence[Curve], until: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Curves on the union of their steps by the last value carried forward: (grid, values of shape (seeds, grid)).

    The grid is the range that all curves cover: there is no extrapolation.
    """
    curves = [curve for curve in curves if len(curve[0])]
    if not curves:
        return np.zeros(0), np.zeros((0, 0))
    begin = max(steps[0] for steps, _ in curves)
    end = min(until, *(steps[-1] for steps, _ in curves))
    grid = np.unique(np.concatenate([steps for steps, _ in curves]))
    grid = grid[(grid >= begin) & (grid <= end)]
    rows = [values[np.searchsorted(steps, grid, side="right") - 1] for steps, values in curves]
    return grid, np.array(rows)


def curve_band(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Grid, IQM and the ends of its pointwise 95 % interval (nan below three seeds); the bootstrap resamples seeds."""
    grid, values = common_grid(curves)
    if not len(grid):
        return grid, grid, grid, grid
    if len(grid) > CURVE_POINTS:
        kept = np.unique(np.linspace(0, len(grid) - 1, CURVE_POINTS).round().astype(int))
        grid, values = grid[kept], values[:, kept]
    if len(values) < MIN_SEEDS:
        missing = np.full(len(grid), np.nan)
        return grid, iqm(values), missing, missing
    low, high = _bootstrap([values], iqm, len(values), axis=0, n_resamples=CURVE_RESAMPLES)
    return grid, iqm(values), low, high


def area_under_curve(curve: Curve, until: float) -> float:
    """Mean of a curve from its first step to `until`, by the trapezoidal rule: the win rate averaged over training."""
    steps, values = curve
    if not len(steps) or steps[-1] < until or steps[0] >= until:
        return float("nan")
    inside = steps < until
    steps = np.append(steps[inside], until)
    values = np.append(values[inside], np.interp(until, *curve))
    return float(np.trapezoid(values, steps) / (steps[-1] - steps[0]))


def steps_to(curve: Curve, level: float) -> float:
    """Environment steps of the first point at or above a level; infinite if there is none."""
    steps, values = curve
    hits = steps[values >= level]
    return float(hits[0]) if len(hits) else float("inf")


def _share_of_wins(one: np.ndarray, other: np.ndarray, axis: int = -1) -> Any:
    one, other = np.moveaxis(one, axis, -1)[..., :, None], np.moveaxis(other, axis, -1)[..., None, :]
    return ((one > other) + 0.5 * (one == other)).mean(axis=(-1, -2))


def _bootstrap(samples: list[np.ndarray], statistic: Any, seeds: int, **options: Any) -> tuple[Any, Any]:
    """The ends of the percentile interval; nan with fewer than three seeds."""
    if seeds < MIN_SEEDS:
        return math.nan, math.nan
    settings = {"n_resamples": RESAMPLES, "confidence_level": LEVEL, "method": "percentile", "vectorized": True}
    found = stats.bootstrap(samples, statistic, rng=np.random.default_rng(0), **settings | options)
    return found.confidence_interval.low, found.confidence_interval.high
