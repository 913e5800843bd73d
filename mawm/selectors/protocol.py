"""What every selector can do."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mawm.types import Bools


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
