"""The control that every claim about selection needs: the same share, drawn by lot."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.types import Bools, Ints


class Chance:
    """Offers each item with probability `bandwidth`, whatever its losses; its generator is its own.

    The other selectors offer nothing before their windows hold `WARM_UP` values, nor an item whose losses are not
    finite; neither does this one, so that it differs from them in the choice alone.
    """

    active = True

    def __init__(self, bandwidth: float, warm_up: int, rng: np.random.Generator) -> None:
        self.bandwidth = bandwidth
        self.warm_up = warm_up
        self._rng = rng
        self._seen = 0
        self.refused_non_finite = 0

    def propose(self, losses: NDArray[np.float64], arrivals: Ints) -> Bools:
        """One draw an item."""
        finite = np.isfinite(losses).all(1)
        numbers = self._seen + np.cumsum(finite)
        self._seen += int(finite.sum())
        self.refused_non_finite += int((~finite).sum())
        drawn: Bools = self._rng.random(len(losses)) < self.bandwidth
        return drawn & finite & (numbers > self.warm_up)

    def diagnostics(self) -> dict[str, float]:
        """Refusals."""
        return {"non_finite": float(self.refused_non_finite)}

    def state(self) -> dict[str, Any]:
        """The generator and the counts."""
        return {
            "generator": self._rng.bit_generator.state,
            "seen": self._seen,
            "refused_non_finite": self.refused_non_finite,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._rng.bit_generator.state = state["generator"]
        self._seen = int(state["seen"])
        self.refused_non_finite = int(state["refused_non_finite"])
