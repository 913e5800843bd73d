"""Selectors by name, and a user's own by where it lies."""

from collections.abc import Callable

import numpy as np

from mawm.factory import load_factory
from mawm.selectors.adaptive import AdaptiveRule
from mawm.selectors.chance import Chance
from mawm.selectors.gaussian import GaussianRule
from mawm.selectors.protocol import Selector
from mawm.selectors.quantile import QuantileRule
from mawm.selectors.rule import Rule
from mawm.selectors.scored import WARM_UP, Scored
from mawm.selectors.trivial import Trivial

RULES: dict[str, Callable[[float], Rule]] = {
    "gaussian": GaussianRule,
    "adaptive": AdaptiveRule,
    "quantile": QuantileRule,
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
        return Chance(bandwidth, WARM_UP, rng)
    return Scored(RULES[name](bandwidth), components, window)
