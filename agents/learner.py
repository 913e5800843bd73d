"""What the loop asks of a learner, whatever it learns with."""

from typing import Any

from numpy.typing import NDArray

from mawm.sharing.broadcast import Outbox
from mawm.types import Bools, Floats, Ints, Metrics, Segment, Since

State = tuple[dict[str, NDArray[Any]], dict[str, Any]]
"""Arrays by name, and a JSON-able rest."""
Incidents = dict[str, tuple[int, dict[str, NDArray[Any]]]]
"""Of each network with updates that were not finite: how many in a row, and the batch of the last one."""


class Learner:
    """One member of a team. By default it has no world model and sends nothing."""

    def begin(self, slot: str, lanes: int) -> None:
        """Forget what `slot` ("train" or "eval") remembers and prepare it for `lanes` lanes (members x battles)."""
        raise NotImplementedError

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (L,) of its lanes for own observations (L, O), masks (L, A) and battle starts (L,)."""
        raise NotImplementedError

    def remember(self, segments: list[Segment]) -> None:
        """Keep own experience."""
        raise NotImplementedError

    def offer_segments(self, segments: list[Segment], *, env_steps: int) -> Outbox:
        """The pieces of this experience that it broadcasts; by default none."""
        return Outbox()

    def admit(self, messages: list[bytes]) -> Metrics:
        """Keep received experience."""
        raise NotImplementedError

    def fit_world_model(self, updates: int) -> Metrics:
        """Gradient steps on its world model; by default there is none."""
        return {}

    def imagine(self, updates: int) -> None:
        """Imagine rollouts for `updates` behaviour updates; by default none."""

    def offer_rollouts(self, *, env_steps: int) -> Outbox:
        """The imagined rollouts that it broadcasts; by default none."""
        return Outbox()

    def fit_behaviour(self, messages: list[bytes], *, env_steps: int, won: float = 0.0) -> Metrics:
        """Gradient steps on actor and critic; `won`: the share of its latest training battles that the team won."""
        raise NotImplementedError

    def incidents(self) -> Incidents:
        """Updates since the last call that were not finite."""
        raise NotImplementedError

    def model_error(self, segments: list[Segment]) -> Metrics:
        """Errors of its world model on these segments; by default there is none."""
        return {}

    def state(self, since: Since | None = None) -> State:
        """Everything to go on from: arrays by name and a JSON-able rest; of tables, the rows after `since`."""
        raise NotImplementedError

    def load_state(self, arrays: dict[str, NDArray[Any]], rest: dict[str, Any]) -> None:
        """Continue from `state`."""
        raise NotImplementedError


class GatedLearner(Learner):
    """A learner whose world model can be guarded from explorers."""

    def policy_weights(self) -> dict[str, NDArray[Any]]:
        """Copies of the weights that it acts by."""
        raise NotImplementedError

    def consider(self, segments: list[Segment]) -> None:
        """Let imagination start in explorers' segments."""
        raise NotImplementedError

    def mix(self, segments: list[Segment]) -> None:
        """Learn from explorers' segments."""
        raise NotImplementedError

    def compare_with(self, policies: dict[str, NDArray[Any]]) -> None:
        """Take explorers' policies for the information term."""
        raise NotImplementedError
