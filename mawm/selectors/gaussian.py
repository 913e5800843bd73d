"""The paper's rule."""

from statistics import NormalDist
from typing import Any

from mawm.stats import Window


class GaussianRule:
    """Z section 4.2: offer an item if L_M >= mu_M + c sigma_M, where 1 - Phi(c) = bandwidth.

    The deviation is the standard deviation, as Z and the rule's origin print it (the origin's code has the variance).
    """

    def __init__(self, bandwidth: float) -> None:
        self.sigmas = NormalDist().inv_cdf(1.0 - bandwidth)

    def threshold(self, past: Window) -> float:
        """mu_M + c sigma_M."""
        mean, sigma = past.moments()
        return mean + self.sigmas * sigma

    def learn(self, offered: bool) -> None:
        """Nothing: c is fixed."""

    def state(self) -> dict[str, Any]:
        """No state."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """No state."""
