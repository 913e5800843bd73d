"""The methods that are compared. To add one, add a row to the table."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mawm.configs.train import TrainConfig
    from mawm.types import Spaces


@dataclass(frozen=True)
class MethodPlan:
    """The kinds of items that a method shares, whether each agent has weights of its own, and the kind of learner."""

    experience: bool
    rollouts: bool
    own_weights: bool = True
    learner: str = "world_model"
    """A row of `mawm.build.LEARNERS`."""
    world_model: bool = True
    """Whether each learner has a world model. Only then can a gate protect it from explorers' data."""
    paper: str = ""
    """The name in the paper's figures; empty if the method is not in the paper."""

    @property
    def selects(self) -> bool:
        """Whether the bandwidth, selector and channel have an effect: not if nothing or everything is shared."""
        return (self.experience or self.rollouts) and self.own_weights

    @property
    def shares_all(self) -> bool:
        """Whether the channel delivers all experience: then the wire has an effect and the selector has none."""
        return self.experience and not self.own_weights


METHODS = {
    "experience": MethodPlan(experience=True, rollouts=False, paper="RSSM+Predictors"),
    "rollouts": MethodPlan(experience=False, rollouts=True, paper="Actor-Critic"),
    "both": MethodPlan(experience=True, rollouts=True, paper="Both"),
    "independent": MethodPlan(experience=False, rollouts=False, paper="Independent"),
    "centralized": MethodPlan(experience=True, rollouts=False, own_weights=False, paper="Centralized"),
    "ippo": MethodPlan(experience=False, rollouts=False, learner="ppo", world_model=False),
    "mappo": MethodPlan(experience=False, rollouts=False, own_weights=False, learner="ppo", world_model=False),
}
"""The methods by name, in the order of reports."""


def members_of(config: "TrainConfig", spaces: "Spaces") -> tuple[tuple[int, ...], ...]:
    """For each learner, the environment agents for which it acts."""
    agents = tuple(range(spaces.n_agents))
    return tuple((a,) for a in agents) if METHODS[config.method].own_weights else (agents,)


def learner_names(members: tuple[tuple[int, ...], ...]) -> tuple[str, ...]:
    """The name of each learner. Its generators are named after it, and its tags begin with it."""
    return tuple(f"agent_{m[0]}" if len(m) == 1 else "team" for m in members)
