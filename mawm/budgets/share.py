"""The bandwidth as a promise: a token bucket in bytes that no stream of items can overdraw."""

from typing import Any


class ShareBudget:
    """Earns `rate` bytes for every byte produced and holds at most `burst` bytes.

    In every window of items: bytes sent <= rate * bytes produced + burst. The bucket starts empty, so that from the
    start of a run bytes sent <= rate * bytes produced, with no burst on top.
    """

    def __init__(self, rate: float, burst: float) -> None:
        if not 0.0 <= rate <= 1.0:
            raise ValueError(f"the budget's rate is a share of the bytes produced and must lie in [0, 1]; got {rate}")
        self.rate = rate
        self.burst = float(burst)
        self.tokens = 0.0

    def advance(self, env_steps: int) -> None:
        """Nothing: only what is produced earns."""

    def produce(self, size: int) -> None:
        """An item of `size` bytes was finished: earn its share."""
        self.tokens = min(self.burst, self.tokens + self.rate * size)

    def spend(self, size: int) -> bool:
        """Send `size` bytes if they are there; says whether they were."""
        if self.rate < 1.0 and size > self.tokens:
            return False
        self.tokens -= min(size, self.tokens)
        return True

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        return {"tokens": self.tokens}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.tokens = float(state["tokens"])
