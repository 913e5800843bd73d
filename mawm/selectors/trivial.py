"""All or nothing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.types import Bools, Ints


class Trivial:
    """Offers everything (ShareAll) or nothing, whatever the losses."""

    def __init__(self, answer: bool) -> None:
        self.active = answer

    def propose(self, losses: NDArray[np.float64], arrivals: Ints) -> Bools:
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
