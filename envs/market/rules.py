"""The numbers of the market."""

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
    """RandomSelector per step that the hidden trend turns around."""
    noise: Weight = 0.5
    """Deviation of what moves the price beside the trend."""
    signal_noise: Weight = 1.0
    """Deviation of each trader's private signal around the trend."""
    most: Annotated[int, Interval(ge=1, le=10**6)] = 2
    """Largest position of a trader, long or short."""
    cost: Weight = 0.3
    """Price of trading one unit."""
    impact: Weight = 0.2
    """Further price of a unit for every unit by which the team's net volume exceeds it, in its direction."""
    gap: Weight = 2.0
    """The reality gap: where exploratory strategies take part the trend moves the price by 1 - GAP times as much. At 2
    others trade against it and the price goes the other way; at 0 explorers' markets are like everybody's."""
