"""The numbers of the market."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MarketRules:
    """The market of docs/market.md; prices in units of the trend's move per step."""

    traders: int = 3
    """Agents of the team."""
    steps: int = 24
    """Steps of one session."""
    turn: float = 0.1
    """Chance per step that the hidden trend turns around."""
    noise: float = 0.5
    """Deviation of what moves the price beside the trend."""
    signal_noise: float = 1.0
    """Deviation of each trader's private signal around the trend."""
    most: int = 2
    """Largest position of a trader, long or short."""
    cost: float = 0.3
    """Price of trading one unit."""
    impact: float = 0.2
    """Further price of a unit for every unit by which the team's net volume exceeds it, in its direction."""
    gap: float = 2.0
    """The reality gap: where exploratory strategies take part the trend moves the price by 1 - GAP times as much. At 2
    others trade against it and the price goes the other way; at 0 explorers' markets are like everybody's."""
