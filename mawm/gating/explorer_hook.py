"""What happens beside the primary's rounds: nothing, or explorers of which a stated part reaches it."""

from typing import Any, Protocol

from numpy.typing import NDArray

from mawm.team import Team
from mawm.types import Metrics, Since

State = tuple[dict[str, NDArray[Any]], dict[str, Any]]


class Beside(Protocol):
    """One call a round, between the primary's collecting and its learning."""

    def round(self, team: Team, vector_steps: int, env_steps: int) -> Metrics:
        """Let explorers play and evolve; gives what to log."""

    def state(self, since: Since) -> State | None:
        """For checkpoints; None where there is nothing. Of tables: what came after `since`."""

    def load_state(self, state: State) -> None:
        """Continue from `state`."""

    def close(self) -> None:
        """Let explorers' environments go."""


class Nobody:
    """`--gate off`: there are no explorers."""

    def round(self, team: Team, vector_steps: int, env_steps: int) -> Metrics:
        """Nothing."""
        return {}

    def state(self, since: Since) -> State | None:
        """Nothing."""
        return None

    def load_state(self, state: State) -> None:
        """A run without explorers goes on without those of another."""

    def close(self) -> None:
        """Nothing to let go."""
