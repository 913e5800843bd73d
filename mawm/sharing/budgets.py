"""How many bytes a sender may broadcast: a share of the bytes it produces, a number per environment step, or any."""

from collections.abc import Callable
from typing import Any


class Budget:
    """Bytes that may be sent now; it earns with what is produced or with environment steps, and pays what is sent."""

    def advance(self, env_steps: int) -> None:
        """The run has come to this many environment steps; by default this earns nothing."""

    def produce(self, size: int) -> None:
        """An item of `size` bytes was finished; by default this earns nothing."""

    def spend(self, size: int) -> bool:
        """Pay for `size` bytes if they are there; says whether they were."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """JSON-able state; by default none."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""


class ShareBudget(Budget):
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


class StepBudget(Budget):
    """Earns `rate` bytes with every environment step and holds at most `burst` bytes.

    In every stretch of n environment steps: bytes sent <= rate * n + burst. It starts empty, so that from the start
    of a run bytes sent <= rate * n. One budget may serve several kinds of item: whoever asks first is paid first.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = float(burst)
        self.tokens = 0.0
        self._env_steps = 0

    def advance(self, env_steps: int) -> None:
        """Earn for the steps since the last call."""
        self.tokens = min(self.burst, self.tokens + self.rate * (env_steps - self._env_steps))
        self._env_steps = env_steps

    def spend(self, size: int) -> bool:
        """Send `size` bytes if they are there; says whether they were."""
        if size > self.tokens:
            return False
        self.tokens -= size
        return True

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        return {"tokens": self.tokens, "env_steps": self._env_steps}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.tokens = float(state["tokens"])
        self._env_steps = int(state["env_steps"])


class Unlimited(Budget):
    """Pays for everything: what a selector offers is sent, and only reported (`--budget report`)."""

    def spend(self, size: int) -> bool:
        """Always."""
        return True


BUDGETS: dict[str, Callable[[float, float], Budget]] = {
    "enforce": ShareBudget,
    "report": lambda rate, burst: Unlimited(),
}
"""The budgets by the name in `--budget`; each is made from a share of the bytes produced and a burst in bytes."""
