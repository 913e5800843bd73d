"""What happens beside the primary's rounds. This module: nothing; `gated.py`: explorers play."""

from typing import Any

from numpy.typing import NDArray

from mawm.team import Team
from mawm.types import Metrics, Since

State = tuple[dict[str, NDArray[Any]], dict[str, Any]]


class ExplorerHook:
    """One call a round, between the primary's collecting and its learning. By itself (`--gate off`): no explorers."""

    def round(self, team: Team, vector_steps: int, env_steps: int) -> Metrics:
        """Let explorers play and evolve; gives metrics for the log."""
        return {}

    def state(self, since: Since) -> State | None:
        """The explorers' state for checkpoints, None without explorers. Of tables: the rows after `since`."""
        return None

    def load_state(self, state: State) -> None:
        """Continue from `state`; without explorers it is ignored."""

    def close(self) -> None:
        """Close the explorers' environments."""
