"""No budget."""

from typing import Any


class Unlimited:
    """Pays for everything: what a selector offers is sent, and only reported (`--budget report`)."""

    def advance(self, env_steps: int) -> None:
        """Nothing to earn."""

    def produce(self, size: int) -> None:
        """Nothing to earn."""

    def spend(self, size: int) -> bool:
        """Always."""
        return True

    def state(self) -> dict[str, Any]:
        """No state."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """No state."""
