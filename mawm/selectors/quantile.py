"""The share itself instead of a shape for the losses."""

import numpy as np

from mawm.selectors.threshold import Threshold


class Quantile(Threshold):
    """Offer an item if its L_M lies above the (1 - bandwidth) quantile of the L_M of the last K arrivals.

    Right for losses of any shape, as long as it stays. Strictly above: of many equal items none comes.
    """

    def threshold(self, mean: float, sigma: float) -> float:
        """The next number above the quantile."""
        past = self._past.values
        return float(np.nextafter(np.quantile(past, 1.0 - self.bandwidth), np.inf)) if len(past) else 0.0
