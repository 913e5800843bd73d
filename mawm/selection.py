"""Which finished items a sender offers: the paper's Gaussian rule, and the two trivial ones."""

from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mawm.stats import Window
from mawm.types import Bools

SIGMA_FLOOR = 1e-9
"""A window whose deviation is below this share of its mean is constant up to rounding: it shares nothing."""
WARM_UP = 20
"""Values that a window must hold before anything is offered: below that a deviation says nothing."""


class Selector(Protocol):
    """Looks at the losses of items, in the order in which they were finished, and proposes which to send."""

    active: bool
    """False where nothing is ever proposed, so that the sender need not score anything."""

    def propose(self, losses: NDArray[np.float64]) -> Bools:
        """Losses (n, m) of n items under m components of the sender's model give (n,) proposals."""

    def diagnostics(self) -> dict[str, float]:
        """What to log."""

    def state(self) -> dict[str, Any]:
        """JSON-able state."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""


class Trivial:
    """Offers everything (ShareAll) or nothing, whatever the losses."""

    def __init__(self, answer: bool) -> None:
        self.active = answer

    def propose(self, losses: NDArray[np.float64]) -> Bools:
        """The same answer for each of the n items."""
        return np.full(len(losses), self.active)

    def diagnostics(self) -> dict[str, float]:
        """Nothing to report."""
        return {}

    def state(self) -> dict[str, Any]:
        """No state."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """No state."""


class Gaussian:
    """Z section 4.2: offer an item if L_M >= mu_M + c sigma_M, where 1 - Phi(c) = bandwidth.

    Each loss is z-scored over its last K values; L_M is the largest z-score, mu_M and sigma_M are its own last K's.

    With a single loss (Z's critic loss) the loss itself is L_M. An item is scored against the windows before it enters
    them; an item with a non-finite loss is neither offered nor entered, and is counted; the deviation is the standard
    deviation (the released code of the rule's origin uses the variance).
    """

    active = True

    def __init__(self, bandwidth: float, components: tuple[str, ...], window: int = 1500) -> None:
        if not 0.0 < bandwidth < 1.0:
            raise ValueError(
                f"the Gaussian rule needs a bandwidth inside (0, 1); got {bandwidth}: use Trivial for 0 and 1"
            )
        self.threshold_sigmas = NormalDist().inv_cdf(1.0 - bandwidth)
        self.components = components
        self._windows = [Window(window) for _ in components] if len(components) > 1 else []
        self._composite = Window(window)
        self._won = np.zeros(len(components), np.int64)
        self.refused_non_finite = 0

    def propose(self, losses: NDArray[np.float64]) -> Bools:
        """One decision an item, in order."""
        if losses.ndim != 2 or losses.shape[1] != len(self.components):
            raise ValueError(
                f"expected losses of shape (n, {len(self.components)}) for {self.components}; got {losses.shape}"
            )
        return np.array([self._propose_one(row) for row in losses], np.bool_)

    def _propose_one(self, losses: NDArray[np.float64]) -> bool:
        if not np.isfinite(losses).all():
            self.refused_non_finite += 1
            return False
        composite, winner = self._compose(losses)
        for window, loss in zip(self._windows, losses, strict=False):
            window.push(float(loss))
        if composite is None:
            return False
        mean, sigma = self._composite.moments()
        ready = len(self._composite) >= WARM_UP and sigma > SIGMA_FLOOR * max(1.0, abs(mean))
        self._composite.push(composite)
        offered = ready and composite >= mean + self.threshold_sigmas * sigma
        self._won[winner] += offered
        return bool(offered)

    def _compose(self, losses: NDArray[np.float64]) -> tuple[float | None, int]:
        """L_M and which loss won the max; None while no component has a deviation yet."""
        if not self._windows:
            return float(losses[0]), 0
        scores = []
        for window, loss in zip(self._windows, losses, strict=True):
            mean, sigma = window.moments()
            varies = len(window) >= 2 and sigma > SIGMA_FLOOR * max(1.0, abs(mean))
            # A constant loss carries no news; dividing by its rounding error would let it decide everything.
            scores.append((float(loss) - mean) / sigma if varies else -np.inf)
        winner = int(np.argmax(scores))
        return (scores[winner] if np.isfinite(scores[winner]) else None), winner

    def diagnostics(self) -> dict[str, float]:
        """Threshold, refusals, and the share of offers that each loss won."""
        mean, sigma = self._composite.moments()
        total = max(1, int(self._won.sum()))
        shares = {f"won_by_{name}": float(n) / total for name, n in zip(self.components, self._won, strict=True)}
        return {
            "threshold": mean + self.threshold_sigmas * sigma,
            "non_finite": float(self.refused_non_finite),
            **shares,
        }

    def state(self) -> dict[str, Any]:
        """Windows and counts."""
        return {
            "windows": [w.state() for w in self._windows],
            "composite": self._composite.state(),
            "won": self._won.tolist(),
            "refused_non_finite": self.refused_non_finite,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for window, saved in zip(self._windows, state["windows"], strict=True):
            window.load_state(saved)
        self._composite.load_state(state["composite"])
        self._won = np.array(state["won"], np.int64)
        self.refused_non_finite = int(state["refused_non_finite"])


def gaussian(bandwidth: float, components: tuple[str, ...], window: int) -> Selector:
    """The paper's selector at any bandwidth in [0, 1]: 1 is ShareAll, 0 shares nothing."""
    if bandwidth in (0.0, 1.0):
        return Trivial(bandwidth == 1.0)
    return Gaussian(bandwidth, components, window)
