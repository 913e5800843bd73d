"""The selectors by name, user-defined selectors, and the two controls."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mawm.runtime.import_user_code import load_factory
from mawm.sharing.selector import Items, Selector
from mawm.sharing.threshold import AIM, WARM_UP, Quantile, Threshold
from mawm.types import Bools, Ints


class AllOrNone(Selector):
    """Offers every item (ShareAll) or none, independently of the losses."""

    def __init__(self, answer: bool) -> None:
        self.active = answer

    def propose(self, losses: NDArray[np.float64], lengths: Ints, items: Items) -> Bools:
        """The same answer for each of the n items."""
        return np.full(len(losses), self.active)


class RandomSelector(Selector):
    """Offers each item with probability `bandwidth`, independently of its losses. It has its own generator.

    Like the other selectors, it offers nothing during a warm-up and no item with a non-finite loss. So it differs from
    them in the choice alone.
    """

    SAVED = ("generator", "seen", "refused_non_finite")

    def __init__(self, bandwidth: float, warm_up: int, rng: np.random.Generator) -> None:
        self.bandwidth = bandwidth
        self.warm_up = warm_up
        self.generator = rng
        self.seen = 0
        self.refused_non_finite = 0

    def propose(self, losses: NDArray[np.float64], lengths: Ints, items: Items) -> Bools:
        """One draw per item."""
        finite = np.isfinite(losses).all(1)
        numbers = self.seen + np.cumsum(finite)
        self.seen += int(finite.sum())
        self.refused_non_finite += int((~finite).sum())
        drawn: Bools = self.generator.random(len(losses)) < self.bandwidth
        return drawn & finite & (numbers > self.warm_up)

    def diagnostics(self) -> dict[str, float]:
        """The number of items with a non-finite loss."""
        return {"non_finite": float(self.refused_non_finite)}


def _random(bandwidth: float, components: tuple[str, ...], window: int, rng: np.random.Generator) -> Selector:
    """Offers as much as `adaptive` and waits as long: for the windows of several losses, then for that of L_M."""
    return RandomSelector(AIM * bandwidth, WARM_UP if len(components) == 1 else 2 * WARM_UP, rng)


SELECTORS: dict[str, Callable[[float, tuple[str, ...], int, np.random.Generator], Selector]] = {
    "adaptive": lambda bandwidth, components, window, rng: Threshold(bandwidth, components, window, follows=True),
    "gaussian": lambda bandwidth, components, window, rng: Threshold(bandwidth, components, window),
    "quantile": lambda bandwidth, components, window, rng: Quantile(bandwidth, components, window),
    "random": _random,
    "all": lambda bandwidth, components, window, rng: AllOrNone(True),
    "none": lambda bandwidth, components, window, rng: AllOrNone(False),
}
"""The selectors by the name in `--selector`; each is made from bandwidth, names of the losses, window and generator."""


def make_selector(
    name: str, bandwidth: float, components: tuple[str, ...], window: int, rng: np.random.Generator
) -> Selector:
    """A selector by name; `module:factory` calls a user's function with (bandwidth, components, window, rng).

    A row of the table offers nothing at bandwidth 0 and everything at bandwidth 1 (but `all` and `none` stay what they
    are). ValueError if there is no such selector.
    """
    if ":" in name:
        own: Selector = load_factory("selector", name)(bandwidth, components, window, rng)
        return own
    if name not in SELECTORS:
        raise ValueError(
            f"selector {name!r} is none of {', '.join(SELECTORS)}, and not a function of your own (module:factory)"
        )
    if bandwidth in (0.0, 1.0) and name not in ("all", "none"):
        return AllOrNone(bandwidth == 1.0)
    return SELECTORS[name](bandwidth, components, window, rng)
