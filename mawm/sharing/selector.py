"""The interface of selectors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mawm.types import Bools, Ints, Rollout, Saved, Segment

Items = Sequence[Segment] | Sequence[Rollout]
"""Finished items of one sender, in the order in which they were finished."""


class Selector(Saved):
    """Decides which items to offer. Every selector is a subclass; only `propose` must be overridden.

    `SAVED` names the attributes that a checkpoint keeps; they must be values for JSON. A selector with other state
    overrides `state` and `load_state`.
    """

    active = True
    """False: nothing is ever offered, and the sender need not compute losses."""

    def propose(self, losses: NDArray[np.float64], lengths: Ints, items: Items) -> Bools:
        """Offers (n,) for n items with losses (n, m) under m components of the sender's model, in nats per arrival.

        `lengths` (n,) is the number of arrivals of each segment, and 1 for each rollout. `items` are the n segments or
        rollouts themselves.
        """
        raise NotImplementedError

    def diagnostics(self) -> dict[str, float]:
        """Numbers for the log; by default none."""
        return {}
