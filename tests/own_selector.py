"""A user-defined selector, as docs/sharing.md shows it."""

import numpy as np

from mawm.sharing.selector import Selector


class EveryThird(Selector):
    """Offers every third item, whatever its losses."""

    SAVED = ("seen",)

    def __init__(self):
        self.seen = 0

    def propose(self, losses, lengths, items):
        """Offers (n,) for n items."""
        numbers = self.seen + 1 + np.arange(len(items))
        self.seen += len(items)
        return numbers % 3 == 0

    def diagnostics(self):
        """What to log."""
        return {"seen": float(self.seen)}


def every_third(bandwidth, components, window, rng):
    """Called by `--selector tests.own_selector:every_third`."""
    return EveryThird()


class Broken(Selector):
    """Raises an error when it is called."""

    def propose(self, losses, lengths, items):
        """Never answers."""
        raise RuntimeError("out of order")


def broken(bandwidth, components, window, rng):
    """Called by `--selector own_selector:broken`."""
    return Broken()
