"""Several losses of one item as one number."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.stats import SIGMA_FLOOR, Window


class Composite:
    """L_M of Z section 4.2: the largest of the losses' z-scores, each over the last K values of its own loss.

    A single loss (Z's critic loss) is its own L_M. An item is scored against the windows before it enters them.
    """

    def __init__(self, components: tuple[str, ...], window: int) -> None:
        self.components = components
        self._windows = [Window(window) for _ in components] if len(components) > 1 else []

    def take(self, losses: NDArray[np.float64]) -> tuple[float | None, int]:
        """L_M of one item's losses (m,) and which loss won the maximum; None while no loss has a deviation yet."""
        composite, winner = self._score(losses)
        for window, loss in zip(self._windows, losses, strict=False):
            window.push(float(loss))
        return composite, winner

    def _score(self, losses: NDArray[np.float64]) -> tuple[float | None, int]:
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

    def state(self) -> list[dict[str, Any]]:
        """JSON-able windows."""
        return [w.state() for w in self._windows]

    def load_state(self, state: list[dict[str, Any]]) -> None:
        """Continue from `state`."""
        for window, saved in zip(self._windows, state, strict=True):
            window.load_state(saved)
