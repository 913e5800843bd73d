"""Is it what the items say? Their parts arrive in a wrong order."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mawm.broadcast import Outbox
from mawm.deliveries.direct import Direct
from mawm.deliveries.protocol import Letter

Scramble = Callable[[bytes, np.random.Generator], bytes]
"""A message of the same length whose content is out of order."""


class Shuffled:
    """Delivers every message to every other learner with its observations (or latents) out of order.

    The marginals of all fields are the real ones; what follows on what is not.
    """

    def __init__(self, scramble: Scramble, rng: np.random.Generator) -> None:
        self.scramble = scramble
        self._rng = rng

    def deliver(self, kind: str, outboxes: list[Outbox]) -> list[list[Letter]]:
        """The letters of each learner: all receivers of a message get the same wrong order."""
        return Direct().deliver(kind, [Outbox([self.scramble(m, self._rng) for m in box.messages]) for box in outboxes])

    def state(self) -> dict[str, Any]:
        """The generator."""
        return {"generator": self._rng.bit_generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._rng.bit_generator.state = state["generator"]
