"""The parameters of the market."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from mawm.types import Share, Weight


@dataclass(frozen=True)
class MarketRules:
    """The market of docs/market.md; prices in units of the trend's move per step."""

    traders: Annotated[int, Interval(ge=1, le=100)] = 3
    """Agents of the team."""
    steps: Annotated[int, Interval(ge=1, le=10_000)] = 24
    """Steps of one session."""
    turn: Share = 0.1
    """Probability per step that the hidden trend changes its sign."""
    noise: Weight = 0.5
    """Standard deviation of the noise in the price move."""
    signal_noise: Weight = 1.0
    """Standard deviation of the noise in each trader's private signal."""
    most: Annotated[int, Interval(ge=1, le=10**6)] = 2
    """Largest position of a trader, long or short."""
    cost: Weight = 0.3
    """Cost of trading one unit."""
    impact: Weight = 0.2
    """Additional cost per traded unit for each unit that the rest of the team trades in the same direction, net."""
    gap: Weight = 2.0
    """Reality gap: in explorers' markets the trend moves the price by 1 - GAP times as much. At 2 the price moves
    against the trend; at 0 explorers' markets equal the others."""
