"""A user-defined selector, as docs/sharing.md shows it."""

import numpy as np


class EveryThird:
    """Offers every third item, whatever its losses."""

    active = True

    def __init__(self):
        self.seen = 0

    def propose(self, losses, arrivals):
        """Losses (n, m) and arrivals (n,) give (n,) proposals."""
        numbers = self.seen + 1 + np.arange(len(losses))
        self.seen += len(losses)
        return numbers % 3 == 0

    def diagnostics(self):
        """What to log."""
        return {"seen": float(self.seen)}

    def state(self):
        """JSON-able, for checkpoints."""
        return {"seen": self.seen}

    def load_state(self, state):
        """Continue from `state`."""
        self.seen = state["seen"]


def every_third(bandwidth, components, window, rng):
    """Called by `--selector tests.own_selector:every_third`."""
    return EveryThird()


class Broken(EveryThird):
    """Raises an error when it is called."""

    def propose(self, losses, arrivals):
        """Never answers."""
        raise RuntimeError("out of order")


def broken(bandwidth, components, window, rng):
    """Called by `--selector own_selector:broken`."""
    return Broken()
