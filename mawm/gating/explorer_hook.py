"""The loop's hook for explorers. Without explorers it does nothing; `gated.py` has the hook with explorers."""

from typing import Any

from numpy.typing import NDArray

from mawm.team import Team
from mawm.types import Metrics, Since

State = tuple[dict[str, NDArray[Any]], dict[str, Any]]


class ExplorerHook:
    """Called once per round, after the primary has played and before it learns. This class: `--gate off`."""

    def round(self, team: Team, vector_steps: int, env_steps: int) -> Metrics:
        """Let explorers play and evolve; returns metrics for the log."""
        return {}

    def state(self, since: Since) -> State | None:
        """The explorers' state for checkpoints; None without explorers. Tables contain the rows after `since`."""
        return None

    def load_state(self, state: State) -> None:
        """Continue from `state`; ignored without explorers."""

    def close(self) -> None:
        """Close the explorers' environments."""
