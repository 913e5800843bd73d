"""Where a selector that scores items draws its line."""

from typing import Any, Protocol

from mawm.stats import Window


class Rule(Protocol):
    """A threshold on L_M that may learn from the stream."""

    def threshold(self, past: Window) -> float:
        """The least L_M that is offered, given the last K of them."""

    def learn(self, offered: bool) -> None:
        """Take in what was decided of one item."""

    def state(self) -> dict[str, Any]:
        """JSON-able state."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
