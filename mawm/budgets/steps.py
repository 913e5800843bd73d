"""An absolute budget: bytes per environment step."""

from typing import Any


class StepBudget:
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

    def produce(self, size: int) -> None:
        """Nothing: what is produced does not matter."""

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
