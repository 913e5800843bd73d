"""Selectors by name, and a user's own by where it lies."""

from collections.abc import Callable
from functools import partial

import numpy as np

from mawm.factory import load_factory
from mawm.selectors.chance import Chance
from mawm.selectors.protocol import Selector
from mawm.selectors.quantile import Quantile
from mawm.selectors.threshold import AIM, WARM_UP, Threshold
from mawm.selectors.trivial import Trivial

RULES: dict[str, Callable[[float, tuple[str, ...], int], Selector]] = {
    "adaptive": partial(Threshold, follows=True),
    "gaussian": Threshold,
    "quantile": Quantile,
}
NAMES = (*RULES, "random", "all", "none")


def make_selector(
    name: str, bandwidth: float, components: tuple[str, ...], window: int, rng: np.random.Generator
) -> Selector:
    """A selector by name; `module:factory` calls a user's factory with (bandwidth, components, window, rng).

    A bandwidth of 0 shares nothing and one of 1 everything, whatever the rule. ValueError if there is no such selector.
    """
    if name in ("all", "none"):
        return Trivial(name == "all")
    if ":" in name:
        own: Selector = load_factory("selector", name)(bandwidth, components, window, rng)
        return own
    if name not in NAMES:
        raise ValueError(
            f"selector {name!r} is none of {', '.join(NAMES)}, nor module:factory with a function of your own"
        )
    if bandwidth in (0.0, 1.0):
        return Trivial(bandwidth == 1.0)
    if name == "random":
        # The control offers as much as `adaptive` and waits as long: for the windows of several losses, then for L_M's.
        return Chance(AIM * bandwidth, WARM_UP if len(components) == 1 else 2 * WARM_UP, rng)
    return RULES[name](bandwidth, components, window)
