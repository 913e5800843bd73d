"""A team some of whose agents are taken over: by random actions, by the lowest allowed action, or by another run."""

from collections.abc import Mapping

import numpy as np

from mawm.seeds import allowed_actions, named_generator
from mawm.team import Actors, Team
from mawm.trained.run import TrainedRun
from mawm.types import Bools, Floats, Ints


class Substitute:
    """Acts for one agent in B battles, from this agent's observations alone. By default without memory."""

    def begin(self, battles: int) -> None:
        """Forget everything and prepare for B battles."""

    def act(self, obs: Floats, avail: Bools, is_first: Bools, mode: str) -> Ints:
        """Actions (B,) for observations (B, O), masks (B, A) and battle starts (B,)."""
        raise NotImplementedError

    def played(self, actions: Ints) -> None:
        """The actions (B,) that the agent really played in the last step."""


class RandomActions(Substitute):
    """Draws uniformly from the allowed actions."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def act(self, obs: Floats, avail: Bools, is_first: Bools, mode: str) -> Ints:
        """A random allowed action of each row."""
        return allowed_actions(avail, self.rng)


class LowestAction(Substitute):
    """Takes the lowest allowed action. On SMAC's maps this is "stop", and "no-op" once the agent is dead."""

    def act(self, obs: Floats, avail: Bools, is_first: Bools, mode: str) -> Ints:
        """The first allowed action of each row."""
        lowest: Ints = avail.argmax(-1)
        return lowest


class OtherRun(Substitute):
    """The agent of the same number from another run, with the memory that it has of the battle.

    Where one learner acts for a whole team (`centralized`, `mappo`), the lanes of the other members receive the same
    inputs and are ignored: a lane's actions depend on this lane alone.
    """

    def __init__(self, run: TrainedRun, agent: int) -> None:
        run.reload()
        self.learner, self.place = run.learner_of(agent)
        self.members = len(next(m for m in run.team.members if agent in m))

    def begin(self, battles: int) -> None:
        """Forget everything and prepare for B battles."""
        self.learner.begin("eval", self.members * battles)

    def act(self, obs: Floats, avail: Bools, is_first: Bools, mode: str) -> Ints:
        """The actions of the other run's agent."""
        lanes = [np.concatenate([x] * self.members) for x in (obs, avail, is_first)]
        actions = self.learner.act(lanes[0], lanes[1], lanes[2], slot="eval", mode=mode)
        chosen: Ints = actions.reshape(self.members, -1)[self.place]
        return chosen

    def played(self, actions: Ints) -> None:
        """Let the agent's memory contain the played actions."""
        self.learner.played(np.tile(actions, self.members), slot="eval")


class TakenOver(Actors):
    """A team in which substitutes act for some agents in a share of the steps.

    At each step of each battle, independently, a substitute acts with probability `share`, and the agent itself acts
    otherwise. This is the policy (1 - share) pi + share pi', where pi is the agent's policy and pi' the substitute's.
    Both see every observation of the battle, and both remember the actions that were really played.
    """

    def __init__(self, team: Team, substitutes: Mapping[int, Substitute], share: float) -> None:
        self.team, self.members = team, team.members
        self.substitutes, self.share = substitutes, share
        self.rngs = {agent: named_generator(0, f"takeover/agent_{agent}") for agent in substitutes}

    def begin(self, slot: str, batch: int) -> None:
        """Forget everything before the first battle."""
        self.team.begin(slot, batch)
        for substitute in self.substitutes.values():
            substitute.begin(batch)

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (B, N) of the team with its substitutes."""
        actions = self.team.act(obs, avail, is_first, slot=slot, mode=mode)
        for agent, substitute in self.substitutes.items():
            other = substitute.act(obs[:, agent], avail[:, agent], is_first, mode)
            taken = self.rngs[agent].random(len(obs)) < self.share
            actions[:, agent] = np.where(taken, other, actions[:, agent])
            substitute.played(actions[:, agent])
        self.team.played(actions, slot=slot)
        return actions
