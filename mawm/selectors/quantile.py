"""The share itself instead of a shape for the losses."""

from typing import Any

import numpy as np

from mawm.stats import Window


class QuantileRule:
    """Offer an item if its L_M lies above the (1 - bandwidth) quantile of the last K.

    Right for losses of any shape, as long as it stays. Strictly above: of many equal items none comes.
    """

    def __init__(self, bandwidth: float) -> None:
        self.bandwidth = bandwidth

    def threshold(self, past: Window) -> float:
        """The next number above the quantile."""
        return float(np.nextafter(np.quantile(past.values(), 1.0 - self.bandwidth), np.inf))

    def learn(self, offered: bool) -> None:
        """Nothing: the window is all it needs."""

    def state(self) -> dict[str, Any]:
        """No state."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """No state."""
