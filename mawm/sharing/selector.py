"""What every selector can do."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.types import Bools, Ints


class Selector:
    """Looks at the losses of items, in the order in which they were finished, and says which to offer."""

    active = True
    """False where nothing is ever proposed, so that the sender need not score anything."""

    def propose(self, losses: NDArray[np.float64], arrivals: Ints) -> Bools:
        """Proposals (n,) for n items: losses (n, m) under m components of the sender's model, in nats per arrival.

        `arrivals` (n,) says how many arrivals an item holds: the length of a segment, 1 for a rollout.
        """
        raise NotImplementedError

    def diagnostics(self) -> dict[str, float]:
        """Numbers for the log; by default none."""
        return {}

    def state(self) -> dict[str, Any]:
        """JSON-able state; by default none."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
