"""The paper's rule with a c that follows the realised share."""

from typing import Any

from mawm.selectors.gaussian import GaussianRule

GAIN = 0.02
LEAST, MOST = -2.0, 8.0


class AdaptiveRule(GaussianRule):
    """Offer an item if L_M >= mu_M + c sigma_M, where c += 0.02 (offered - bandwidth) after each item.

    Losses are skewed, so Z's c realises another share than it names (1.2 to 3.4 times a small bandwidth); this c starts
    there and settles where the share of offers is the bandwidth, so that the budget need not refuse good items.
    """

    def __init__(self, bandwidth: float) -> None:
        super().__init__(bandwidth)
        self.bandwidth = bandwidth

    def learn(self, offered: bool) -> None:
        """Move c towards the bandwidth."""
        self.sigmas = min(MOST, max(LEAST, self.sigmas + GAIN * (offered - self.bandwidth)))

    def state(self) -> dict[str, Any]:
        """C."""
        return {"sigmas": self.sigmas}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.sigmas = float(state["sigmas"])
