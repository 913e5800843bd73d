"""What every budget can do."""

from typing import Any, Protocol


class Budget(Protocol):
    """Bytes that may be sent now; it earns with what is produced or with environment steps, and pays what is sent."""

    def advance(self, env_steps: int) -> None:
        """The run has come to this many environment steps."""

    def produce(self, size: int) -> None:
        """An item of `size` bytes was finished."""

    def spend(self, size: int) -> bool:
        """Pay for `size` bytes if they are there; says whether they were."""

    def state(self) -> dict[str, Any]:
        """JSON-able state."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
