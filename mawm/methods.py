"""The methods that are compared. To add one, add a row to the table."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mawm.configs.train import TrainConfig
    from mawm.types import Spaces


@dataclass(frozen=True)
class MethodPlan:
    """What a method shares, whether each agent has weights of its own, and what learns."""

    experience: bool
    rollouts: bool
    own_weights: bool = True
    learner: Literal["world_model", "ppo"] = "world_model"
    """A row of `mawm.build.LEARNERS`."""
    paper: str = ""
    """The name in the paper's figures; empty for methods that are not in the paper."""

    @property
    def imagines(self) -> bool:
        """Whether its learners have world models."""
        return self.learner == "world_model"

    @property
    def selects(self) -> bool:
        """Whether bandwidth, selector and channel make a difference: not where nothing or everything is shared."""
        return (self.experience or self.rollouts) and self.own_weights

    @property
    def shares_all(self) -> bool:
        """Whether all experience crosses the channel: then the wire makes a difference, but no selector does."""
        return self.experience and not self.own_weights


METHODS = {
    "experience": MethodPlan(experience=True, rollouts=False, paper="RSSM+Predictors"),
    "rollouts": MethodPlan(experience=False, rollouts=True, paper="Actor-Critic"),
    "both": MethodPlan(experience=True, rollouts=True, paper="Both"),
    "independent": MethodPlan(experience=False, rollouts=False, paper="Independent"),
    "centralized": MethodPlan(experience=True, rollouts=False, own_weights=False, paper="Centralized"),
    "ippo": MethodPlan(experience=False, rollouts=False, learner="ppo"),
    "mappo": MethodPlan(experience=False, rollouts=False, own_weights=False, learner="ppo"),
}
"""In the order in which reports show them."""


def members_of(config: "TrainConfig", spaces: "Spaces") -> tuple[tuple[int, ...], ...]:
    """Which environment agents each learner acts for."""
    agents = tuple(range(spaces.n_agents))
    return tuple((a,) for a in agents) if METHODS[config.method].own_weights else (agents,)


def learner_names(members: tuple[tuple[int, ...], ...]) -> tuple[str, ...]:
    """The name of each learner, which keys its generators and prefixes its tags."""
    return tuple(f"agent_{m[0]}" if len(m) == 1 else "team" for m in members)
