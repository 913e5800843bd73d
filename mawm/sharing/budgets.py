"""Limits on the bytes that a sender broadcasts: a share of the bytes produced, a rate per environment step, or none."""

from collections.abc import Callable
from typing import ClassVar

from mawm.types import Saved


class Budget(Saved):
    """Decides whether an item may be sent. By default a budget earns nothing and has no state."""

    def advance(self, env_steps: int) -> None:
        """Earn bytes for environment steps; `env_steps` is the run's count so far."""

    def produce(self, size: int) -> None:
        """Earn bytes for a finished item of `size` bytes."""

    def spend(self, size: int) -> bool:
        """Pay `size` bytes if the budget allows it; returns whether it does."""
        raise NotImplementedError


class TokenBucket(Budget):
    """Holds at most `burst` bytes (tokens). It starts empty, so that a run begins without a burst."""

    SAVED: ClassVar[tuple[str, ...]] = ("tokens",)

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = float(burst)
        self.tokens = 0.0

    def earn(self, amount: int) -> None:
        """Add `rate` bytes for each unit of `amount`, up to `burst`."""
        self.tokens = min(self.burst, self.tokens + self.rate * amount)

    def spend(self, size: int) -> bool:
        """Pay `size` bytes if the bucket holds them."""
        if size > self.tokens:
            return False
        self.tokens -= size
        return True


class ShareBudget(TokenBucket):
    """Earns `rate` bytes for every byte produced.

    In every window of items: bytes sent <= rate * bytes produced + burst. From the start of a run:
    bytes sent <= rate * bytes produced. At rate 1 everything is sent, also an item larger than `burst`.
    """

    def __init__(self, rate: float, burst: float) -> None:
        if not 0.0 <= rate <= 1.0:
            raise ValueError(f"the budget's rate is a share of the bytes produced and must lie in [0, 1]; got {rate}")
        super().__init__(rate, burst)

    def produce(self, size: int) -> None:
        """Earn a share of `size`."""
        self.earn(size)

    def spend(self, size: int) -> bool:
        """Pay `size` bytes if the bucket holds them, or at rate 1."""
        if self.rate < 1.0:
            return super().spend(size)
        self.tokens -= min(size, self.tokens)
        return True


class StepBudget(TokenBucket):
    """Earns `rate` bytes with every environment step.

    In every range of n environment steps: bytes sent <= rate * n + burst. From the start of a run:
    bytes sent <= rate * n. Several kinds of item may share one budget: it pays in the order of the requests.
    """

    SAVED = ("tokens", "env_steps")

    def __init__(self, rate: float, burst: float) -> None:
        super().__init__(rate, burst)
        self.env_steps = 0

    def advance(self, env_steps: int) -> None:
        """Earn for the steps since the last call."""
        self.earn(env_steps - self.env_steps)
        self.env_steps = env_steps


class Unlimited(Budget):
    """Pays for every item. The log still reports the bytes (`--budget report`)."""

    def spend(self, size: int) -> bool:
        """Always True."""
        return True


BUDGETS: dict[str, Callable[[float, float], Budget]] = {
    "enforce": ShareBudget,
    "report": lambda rate, burst: Unlimited(),
}
"""The budgets by the name in `--budget`; each is made from a share of the bytes produced and a burst in bytes."""
