"""A run's team with the weights of its newest checkpoint."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from mawm.agents.agent import Agent
from mawm.agents.learner import Learner
from mawm.build import make_team
from mawm.configs.train import TrainConfig
from mawm.envs.registry import make_env
from mawm.methods import learner_names
from mawm.run_folder.checkpoint import Loaded, newest
from mawm.run_folder.manifest import check_folder, read_config
from mawm.run_folder.run_state import load_team
from mawm.team import InlineTeam
from mawm.types import Spaces


@dataclass(frozen=True)
class TrainedRun:
    """A run's settings (on the CPU), the newest checkpoint, the sizes of its environment, and the team."""

    config: TrainConfig
    checkpoint: Loaded
    spaces: Spaces
    team: InlineTeam

    @property
    def agents(self) -> tuple[str, ...]:
        """The names that the environment gives to its agents; agent_0, agent_1, ... if it gives none."""
        return self.spaces.agents or tuple(f"agent_{i}" for i in range(self.spaces.n_agents))

    @property
    def world_models(self) -> list[Agent]:
        """The learners that have a world model."""
        return [learner for learner in self.team.learners if isinstance(learner, Agent)]

    def learner_of(self, agent: int) -> tuple[Learner, int]:
        """The learner that acts for an agent, and the agent's place among this learner's members."""
        learner = next(i for i, members in enumerate(self.team.members) if agent in members)
        return self.team.learners[learner], self.team.members[learner].index(agent)

    def reload(self) -> None:
        """Load the checkpoint again, with the states of its random generators."""
        load_team(self.team, learner_names(self.team.members), self.checkpoint.parts)


def load_run(folder: Path, spaces: Spaces | None = None) -> TrainedRun:
    """The team of a run's newest checkpoint, on the CPU.

    `spaces`: the sizes of its environment; without them the environment is made once. ValueError, in one line, if
    the run cannot be read. OSError and `EnvFault` if its files or its environment fail.
    """
    check_folder(folder)
    config = replace(read_config(folder), device="cpu")
    checkpoint = newest(folder)
    if spaces is None:
        with contextlib.closing(make_env(replace(config, seed=0), "test", 1)) as env:
            spaces = env.spaces
    run = TrainedRun(config, checkpoint, spaces, cast(InlineTeam, make_team(config, spaces, "cpu", "inline")))
    try:
        run.reload()
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"its checkpoint lacks {error}: it was saved by another version") from None
    return run
