"""The schedule of updates, logging, evaluation and checkpoints, in environment steps."""

from dataclasses import dataclass
from typing import Any

from mawm.configs.train import ScheduleConfig


@dataclass(frozen=True)
class Updates:
    """Gradient updates of one round, the same for every learner."""

    model: int
    behaviour: int


class Schedule:
    """Counts updates per environment step and carries the remainder over, for every length of battles and rounds."""

    def __init__(self, plan: ScheduleConfig) -> None:
        self.plan = plan
        self._model_owed = 0.0
        self._behaviour_owed = 0.0
        self._counted_to = plan.prefill
        self._warm = False
        self._last: dict[str, int] = {}

    def mode(self, env_steps: int) -> str:
        """The team's mode of acting: random during the prefill, then sampled from its policies."""
        return "random" if env_steps < self.plan.prefill else "sample"

    def due(self, env_steps: int) -> Updates:
        """Updates due at this step. The first ones are the warm-up: only the world model is updated."""
        if env_steps < self.plan.prefill:
            return Updates(0, 0)
        self._model_owed += (env_steps - self._counted_to) * self.plan.updates_per_step
        self._counted_to = env_steps
        if not self._warm:
            self._warm = True
            return Updates(self.plan.warmup, 0)
        model = int(self._model_owed)
        self._model_owed -= model
        self._behaviour_owed += model / self.plan.updates_per_behaviour
        behaviour = int(self._behaviour_owed)
        self._behaviour_owed -= behaviour
        return Updates(model, behaviour)

    def passed(self, event: str, env_steps: int, every: int) -> bool:
        """Whether a multiple of `every` was reached since the last call for `event`."""
        reached = env_steps // every
        is_new = reached > self._last.get(event, 0)
        self._last[event] = reached
        return is_new

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        return {
            "model_owed": self._model_owed,
            "behaviour_owed": self._behaviour_owed,
            "counted_to": self._counted_to,
            "warm": self._warm,
            "last": dict(self._last),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._model_owed, self._behaviour_owed = float(state["model_owed"]), float(state["behaviour_owed"])
        self._counted_to, self._warm = int(state["counted_to"]), bool(state["warm"])
        self._last = {key: int(value) for key, value in state["last"].items()}
