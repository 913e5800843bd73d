"""The schedule of updates, logging, evaluation and checkpoints, in environment steps."""

from dataclasses import dataclass

from mawm.configs.train import ScheduleConfig
from mawm.types import Saved


@dataclass(frozen=True)
class Updates:
    """Gradient updates of one round, the same for every learner."""

    model: int
    behaviour: int


class Schedule(Saved):
    """Counts updates per environment step and carries the remainder over, for every length of battles and rounds."""

    SAVED = ("model_owed", "behaviour_owed", "counted_to", "warm", "last")

    def __init__(self, plan: ScheduleConfig) -> None:
        self.plan = plan
        self.model_owed = 0.0
        self.behaviour_owed = 0.0
        self.counted_to = plan.prefill
        self.warm = False
        self.last: dict[str, int] = {}
        """For each event, the multiple of its interval that was reached."""

    def mode(self, env_steps: int) -> str:
        """The team's mode of acting: random during the prefill, then sampled from its policies."""
        return "random" if env_steps < self.plan.prefill else "sample"

    def due(self, env_steps: int) -> Updates:
        """Updates due at this step. The first ones are the warm-up: only the world model is updated."""
        if env_steps < self.plan.prefill:
            return Updates(0, 0)
        self.model_owed += (env_steps - self.counted_to) * self.plan.updates_per_step
        self.counted_to = env_steps
        if not self.warm:
            self.warm = True
            return Updates(self.plan.warmup, 0)
        model = int(self.model_owed)
        self.model_owed -= model
        self.behaviour_owed += model / self.plan.updates_per_behaviour
        behaviour = int(self.behaviour_owed)
        self.behaviour_owed -= behaviour
        return Updates(model, behaviour)

    def passed(self, event: str, env_steps: int, every: int) -> bool:
        """Whether a multiple of `every` was reached since the last call for `event`."""
        reached = env_steps // every
        is_new = reached > self.last.get(event, 0)
        self.last[event] = reached
        return is_new
