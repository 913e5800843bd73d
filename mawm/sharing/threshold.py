"""The selection rule of Z (docs/paper.md), section 4.2: windows, z-scores, their maximum, threshold, warm-up."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mawm.sharing.selector import Items, Selector
from mawm.types import Bools, Ints

WARM_UP = 20
"""The statistics of a window are used from this number of items on. A window never drops items below this number."""
Z_BOUND = 8.0
"""Bound of z-scores. Without it one outlier would raise sigma_M so much that none of the next K arrivals is offered."""
SIGMA_FLOOR = 1e-9
"""A standard deviation up to this share of the mean is the rounding error of a constant loss and counts as 0."""
AIM, GAIN, LEAST, MOST = 0.85, 0.005, -2.0, 8.0
"""`adaptive`: after each item c += GAIN (offered / bandwidth - AIM), and c stays between LEAST and MOST."""


class Window:
    """The items of the last `size` arrivals: for each a row of values (m,) and its number of arrivals."""

    def __init__(self, size: int, columns: int) -> None:
        self.size, self._held, self._rows = size, 0, np.zeros((0, columns + 1))

    def push(self, values: list[float], arrivals: int) -> None:
        """Add an item. Drop the oldest items while more than `size` arrivals and more than WARM_UP items are held."""
        self._rows = np.concatenate([self._rows, [[*values, arrivals]]])
        self._held += arrivals
        first, most = 0, len(self._rows) - WARM_UP
        while self._held > self.size and first < most:
            self._held -= int(self._rows[first, -1])
            first += 1
        self._rows = self._rows[first:]

    @property
    def values(self) -> NDArray[np.float64]:
        """The items' values (n, m), oldest first."""
        return self._rows[:, :-1]

    def moments(self, *, of_an_arrival: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean mu and standard deviation sigma (m,) over items.

        Both are 0 during the warm-up, and sigma is 0 if it is rounding error. With `of_an_arrival` they are the moments
        of one arrival, where each value L is a mean over n arrivals: mu = sum(n L) / sum(n), sigma^2 = mean(n (L -
        mu)^2).
        """
        if len(self._rows) < WARM_UP:
            zeros = np.zeros(self._rows.shape[1] - 1)
            return zeros, zeros
        n = self._rows[:, -1:] if of_an_arrival else np.ones((len(self._rows), 1))
        mean = (n * self.values).sum(0) / n.sum()
        sigma = np.sqrt((n * np.square(self.values - mean)).sum(0) / len(n))
        return mean, np.where(sigma > SIGMA_FLOOR * np.maximum(1.0, np.abs(mean)), sigma, 0.0)

    def state(self) -> list[list[float]]:
        """The rows, for JSON."""
        rows: list[list[float]] = self._rows.tolist()
        return rows

    def load_state(self, state: list[list[float]]) -> None:
        """Continue from `state`."""
        self._rows = np.array(state, np.float64).reshape(-1, self._rows.shape[1])
        self._held = int(self._rows[:, -1].sum())


class Threshold(Selector):
    """Offer an item if L_M >= mu_M + c sigma_M, where 1 - Phi(c) = bandwidth.

    L_M = max_m sqrt(n) (L_m - mu_m) / sigma_m, bounded by 8. L_m is the item's loss m per arrival. n is the item's
    number of arrivals. mu_m and sigma_m are the mean and the standard deviation of the loss of one arrival over the
    last K arrivals. The factor sqrt(n) is there because a mean over n arrivals varies less. mu_M and sigma_M are the
    mean and the standard deviation of L_M over the items of the last K arrivals. If there is a single loss (the
    critic's), L_M is this loss. A value of L_M is stored in its window as at most mu_M + 8 sigma_M, so that one outlier
    does not raise sigma_M for K arrivals.

    An item is compared with the windows first and then added to them. L_M is undefined during the warm-up of the loss
    window. An item with a non-finite loss is counted. It is neither offered nor added to a window.

    Losses are skewed, so Z's c offers more or less than the bandwidth. With `follows` (selector `adaptive`) c starts at
    Z's value and is adjusted, so that the share of offers is AIM x bandwidth. Without (selector `gaussian`) c is fixed.
    """

    SAVED = ("losses", "past", "sigmas", "won", "sigmas_above", "refused_non_finite")

    def __init__(
        self, bandwidth: float, components: tuple[str, ...], window: int = 1500, *, follows: bool = False
    ) -> None:
        if window < 2:
            raise ValueError(f"a window needs at least 2 arrivals to have a deviation; got {window}")
        self.bandwidth, self.components, self.follows = bandwidth, components, follows
        self.sigmas = NormalDist().inv_cdf(1.0 - bandwidth)
        """c."""
        self.losses, self.past = Window(window, len(components)), Window(window, 1)
        """The windows of the losses and of L_M."""
        self.won = np.zeros(len(components), np.int64)
        """For each loss, the number of offers in which its z-score is the largest, and so is L_M."""
        self.sigmas_above = 0.0
        """Sum of (L_M - mu_M) / sigma_M over the offers."""
        self.refused_non_finite = 0

    def propose(self, losses: NDArray[np.float64], lengths: Ints, items: Items) -> Bools:
        """Whether to offer each item, in order. ValueError unless `losses` has the shape (n, components)."""
        if losses.ndim != 2 or losses.shape[1] != len(self.components):
            raise ValueError(
                f"expected losses of shape (n, {len(self.components)}) for {self.components}; got {losses.shape}"
            )
        return np.array([self._offers(*item) for item in zip(losses, lengths.tolist(), strict=True)], np.bool_)

    def _offers(self, losses: NDArray[np.float64], arrivals: int) -> bool:
        if not np.isfinite(losses).all():
            self.refused_non_finite += 1
            return False
        z_scores = self.z_scores(losses, arrivals)
        if len(losses) > 1:
            self.losses.push(losses.tolist(), arrivals)
        largest = int(np.argmax(z_scores))
        composite = float(z_scores[largest])
        if composite == -np.inf:
            return False
        mean, sigma = (float(x[0]) for x in self.past.moments())
        offered = sigma > 0.0 and composite >= self.threshold(mean, sigma)
        self.past.push([min(composite, mean + Z_BOUND * sigma) if sigma > 0.0 else composite], arrivals)
        if sigma > 0.0 and self.follows:
            self.sigmas = min(MOST, max(LEAST, self.sigmas + GAIN * (offered / self.bandwidth - AIM)))
        if offered:
            self.won[largest] += 1
            self.sigmas_above += (composite - mean) / sigma
        return offered

    def z_scores(self, losses: NDArray[np.float64], arrivals: int) -> NDArray[np.float64]:
        """z-scores (m,) of an item by the window so far, -inf where sigma is 0. A single loss is returned as it is."""
        if len(losses) == 1:
            return losses
        mean, sigma = self.losses.moments(of_an_arrival=True)
        z = arrivals**0.5 * (losses - mean) / np.where(sigma > 0.0, sigma, 1.0)
        return np.where(sigma > 0.0, np.clip(z, -Z_BOUND, Z_BOUND), -np.inf)

    def threshold(self, mean: float, sigma: float) -> float:
        """mu_M + c sigma_M: the smallest L_M that is offered."""
        return mean + self.sigmas * sigma

    def diagnostics(self) -> dict[str, float]:
        """Threshold, c, number of non-finite items, mean z-score of the offers, each loss's share of the maxima."""
        total = max(1, int(self.won.sum()))
        return {
            "threshold": self.threshold(*(float(x[0]) for x in self.past.moments())),
            "c": self.sigmas,
            "non_finite": float(self.refused_non_finite),
            "offered_z": self.sigmas_above / total,
            **{f"won_by_{name}": float(n) / total for name, n in zip(self.components, self.won, strict=True)},
        }


class Quantile(Threshold):
    """Offer an item if its L_M is above the (1 - bandwidth) quantile of the L_M of the last K arrivals.

    The rule offers the right share of a stationary loss of any distribution. A new item has n + 1 possible ranks among
    n others, and it is offered at the upper share `bandwidth` of the ranks. The comparison is strict, so that equal
    items are not offered.
    """

    def threshold(self, mean: float, sigma: float) -> float:
        """The next floating-point number above the quantile."""
        composites = self.past.values[:, 0]
        if not len(composites):
            return 0.0
        rank = min(len(composites), math.ceil((1.0 - self.bandwidth) * (len(composites) + 1))) - 1
        return float(np.nextafter(np.partition(composites, rank)[rank], np.inf))

    def diagnostics(self) -> dict[str, float]:
        """The diagnostics of `Threshold` without c, which this rule does not use."""
        return {name: value for name, value in super().diagnostics().items() if name != "c"}
