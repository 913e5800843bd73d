"""The interface of selectors."""

import numpy as np
from numpy.typing import NDArray

from mawm.types import Bools, Ints, Saved


class Selector(Saved):
    """Decides from the losses of items, in the order in which they were finished, which items to offer."""

    active = True
    """False: nothing is ever offered, and the sender need not compute losses."""

    def propose(self, losses: NDArray[np.float64], arrivals: Ints) -> Bools:
        """Offers (n,) for n items with losses (n, m) under m components of the sender's model, in nats per arrival.

        `arrivals` (n,) is the number of arrivals of each item: the length of a segment, 1 for a rollout.
        """
        raise NotImplementedError

    def diagnostics(self) -> dict[str, float]:
        """Numbers for the log; by default none."""
        return {}
