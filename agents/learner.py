"""The interface between the training loop and a learner."""

from typing import Any

from mawm.agents.snapshot_weights import Arrays
from mawm.sharing.broadcast import Outbox
from mawm.types import Bools, Floats, Ints, Metrics, Segment, Since

State = tuple[Arrays, dict[str, Any]]
"""Arrays by name, and values for JSON."""
Incidents = dict[str, tuple[int, Arrays]]
"""For each network with non-finite updates: the number of such updates in a row, and the batch of the last one."""


class Learner:
    """The learner of one or more environment agents. By default it has no world model and sends nothing.

    A lane is one of these agents in one of the battles that run side by side.
    """

    def begin(self, slot: str, lanes: int) -> None:
        """Reset the acting memory of `slot` ("train" or "eval") to `lanes` lanes (agents x battles)."""
        raise NotImplementedError

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (L,) of the L lanes for their observations (L, O), masks (L, A) and battle starts (L,)."""
        raise NotImplementedError

    def played(self, actions: Ints, *, slot: str) -> None:
        """The actions (L,) that were played in the last step, if others replaced some of those that `act` returned.

        A memory of actions must hold the played ones. By default there is none.
        """

    def remember(self, segments: list[Segment]) -> None:
        """Store own experience."""
        raise NotImplementedError

    def offer_segments(self, segments: list[Segment], *, env_steps: int) -> Outbox:
        """Messages with the segments that the learner broadcasts; by default none."""
        return Outbox()

    def admit(self, messages: list[bytes]) -> Metrics:
        """Store received experience."""
        raise NotImplementedError

    def fit_world_model(self, updates: int) -> Metrics:
        """Take gradient steps on the world model, if there is one."""
        return {}

    def imagine(self, updates: int) -> None:
        """Imagine rollouts for `updates` behaviour updates, if there is a world model."""

    def offer_rollouts(self, *, env_steps: int) -> Outbox:
        """Messages with the imagined rollouts that the learner broadcasts; by default none."""
        return Outbox()

    def fit_behaviour(self, messages: list[bytes], *, env_steps: int, share_won: float = 0.0) -> Metrics:
        """Take gradient steps on actor and critic; `share_won`: share of the latest training battles that were won."""
        raise NotImplementedError

    def incidents(self) -> Incidents:
        """Non-finite updates since the last call."""
        raise NotImplementedError

    def model_error(self, segments: list[Segment]) -> Metrics:
        """Errors of the world model on these segments, if there is one."""
        return {}

    def state(self, since: Since | None = None) -> State:
        """The checkpoint: arrays by name and values for JSON. Of append-only tables, only rows after `since`."""
        raise NotImplementedError

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """Continue from `state`."""
        raise NotImplementedError
