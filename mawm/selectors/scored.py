"""A selector that scores items by the sender's losses and draws a line."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.selectors.composite import Composite
from mawm.selectors.rule import Rule
from mawm.stats import SIGMA_FLOOR, Window
from mawm.types import Bools

WARM_UP = 20
"""Values that a window must hold before anything is offered: below that a deviation says nothing."""


class Scored:
    """Offers the items whose composite loss L_M reaches the rule's threshold over the last K of them.

    An item meets the window before it enters it; one with a loss that is not finite is neither offered nor entered, and
    is counted. A window without deviation offers nothing: there is no surprise in a constant.
    """

    active = True

    def __init__(self, rule: Rule, components: tuple[str, ...], window: int = 1500) -> None:
        self.rule = rule
        self.components = components
        self._composite = Composite(components, window)
        self._past = Window(window)
        self._won = np.zeros(len(components), np.int64)
        self._sigmas_above = 0.0
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
        composite, winner = self._composite.take(losses)
        if composite is None:
            return False
        mean, sigma = self._past.moments()
        ready = len(self._past) >= WARM_UP and sigma > SIGMA_FLOOR * max(1.0, abs(mean))
        offered = ready and composite >= self.rule.threshold(self._past)
        self._past.push(composite)
        if ready:
            self.rule.learn(offered)
        if offered:
            self._won[winner] += 1
            self._sigmas_above += (composite - mean) / sigma
        return offered

    def diagnostics(self) -> dict[str, float]:
        """Threshold, refusals, the mean z-score of what was offered, and the share of offers that each loss won."""
        total = max(1, int(self._won.sum()))
        return {
            "threshold": self.rule.threshold(self._past) if len(self._past) else 0.0,
            "non_finite": float(self.refused_non_finite),
            "offered_z": self._sigmas_above / total,
            **{f"won_by_{name}": float(n) / total for name, n in zip(self.components, self._won, strict=True)},
        }

    def state(self) -> dict[str, Any]:
        """Windows and counts."""
        return {
            "windows": self._composite.state(),
            "past": self._past.state(),
            "rule": self.rule.state(),
            "won": self._won.tolist(),
            "sigmas_above": self._sigmas_above,
            "refused_non_finite": self.refused_non_finite,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._composite.load_state(state["windows"])
        self._past.load_state(state["past"])
        self.rule.load_state(state["rule"])
        self._won = np.array(state["won"], np.int64)
        self._sigmas_above = float(state["sigmas_above"])
        self.refused_non_finite = int(state["refused_non_finite"])
