"""The share itself instead of a shape for the losses."""

import math

import numpy as np

from mawm.selectors.threshold import Threshold


class Quantile(Threshold):
    """Offer an item if its L_M lies above the (1 - bandwidth) quantile of the L_M of the last K arrivals.

    Right for losses of any shape, as long as it stays. Of the n + 1 places that a new item may have among n others, the
    upper share of `bandwidth` is offered. Strictly above: of many equal items none comes.
    """

    def threshold(self, mean: float, sigma: float) -> float:
        """The next number above the quantile."""
        past = self._past.values[:, 0]
        if not len(past):
            return 0.0
        rank = min(len(past), math.ceil((1.0 - self.bandwidth) * (len(past) + 1))) - 1
        return float(np.nextafter(np.partition(past, rank)[rank], np.inf))

    def diagnostics(self) -> dict[str, float]:
        """Those of `Threshold` without c, which this rule does not use."""
        return {name: value for name, value in super().diagnostics().items() if name != "c"}
