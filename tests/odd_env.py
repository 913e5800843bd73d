"""Small environments with habits and mistakes of users. Spawned processes import this file, so it imports little."""

import multiprocessing
import os
import time
from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv

NAMES = ("red", "blue", "green")


class Plain(ParallelEnv):
    """Two agents that see three numbers; action 1 pays. A battle has four steps."""

    metadata = {"name": "plain"}  # noqa: RUF012
    possible_agents = ["red", "blue"]  # noqa: RUF012
    length = 4

    def observation_space(self, agent: str) -> spaces.Space:
        """Three numbers."""
        return self.spaces_of(agent)[0]

    def action_space(self, agent: str) -> spaces.Space:
        """Three actions."""
        return self.spaces_of(agent)[1]

    def spaces_of(self, agent: str) -> tuple[spaces.Space, spaces.Space]:
        """The same objects at every call, but others in every environment: PettingZoo's tests ask for that."""
        made = {name: (spaces.Box(-1.0, 1.0, (3,), np.float32), spaces.Discrete(3)) for name in NAMES}
        return self.__dict__.setdefault("kept", made)[agent]

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        """Reset."""
        self.rng, self.t = np.random.default_rng(seed), 0
        self.agents = list(self.possible_agents)
        return self.seen(), {agent: {} for agent in self.agents}

    def seen(self) -> dict[str, Any]:
        """What all agents see."""
        return {agent: self.look(agent) for agent in self.possible_agents}

    def look(self, agent: str) -> Any:
        """What an agent sees."""
        return self.rng.random(3).astype(np.float32)

    def step(self, actions: dict[str, int]) -> Any:
        """Play a step."""
        self.t += 1
        over, playing = self.t >= self.length, self.agents
        if over:
            self.agents = []
        rewards = {agent: float(actions[agent] == 1) for agent in playing}
        flags = dict.fromkeys(playing, over), dict.fromkeys(playing, False)
        return self.seen(), rewards, *flags, {agent: {} for agent in playing}


class Reversed(Plain):
    """Lists its agents in the order of the variable ORDER; each agent is paid for an action of its own."""

    best = {"red": 0, "blue": 1, "green": 2}  # noqa: RUF012
    possible_agents = os.environ.get("ORDER", "red blue green").split()

    def seen(self) -> dict[str, Any]:
        """The same observations in every order."""
        return {agent: self.look(agent) for agent in sorted(self.possible_agents)}

    def step(self, actions: dict[str, int]) -> Any:
        """Play a step."""
        obs, _, *rest = super().step(actions)
        return obs, {agent: float(action == self.best[agent]) for agent, action in actions.items()}, *rest


class Slow(Plain):
    """Takes a fiftieth of a second for a step."""

    length = 1000

    def step(self, actions: dict[str, int]) -> Any:
        """Play a step."""
        time.sleep(0.02)
        return super().step(actions)


def serve(pipe: Any) -> None:
    """Answer each number with the next one, for ever."""
    while True:
        pipe.send(pipe.recv() + 1)


class WithProcess(Plain):
    """Computes in a process of its own, and ends it by a signal."""

    def __init__(self) -> None:
        self.pipe, there = multiprocessing.Pipe()
        self.child = multiprocessing.get_context("spawn").Process(target=serve, args=(there,))
        self.child.start()

    def look(self, agent: str) -> Any:
        """What an agent sees."""
        self.pipe.send(1)
        return np.full(3, self.pipe.recv(), np.float32)

    def close(self) -> None:
        """End the process."""
        self.child.terminate()
        self.child.join()


class NoSeed(Plain):
    """Its reset knows no seed."""

    def reset(self) -> Any:
        """Reset."""
        return super().reset()


class FourValues(Plain):
    """Its step returns four values, as in old Gym."""

    def step(self, actions: dict[str, int]) -> Any:
        """Play a step."""
        obs, rewards, over, _, infos = super().step(actions)
        return obs, rewards, over, infos


class Turns(AECEnv):
    """Agents act in turn."""

    possible_agents = ["red", "blue"]  # noqa: RUF012


class Exits(Plain):
    """Ends the process when it is made."""

    def __init__(self) -> None:
        raise SystemExit(2)


def needs_size(size: int) -> Plain:
    """A factory with an argument."""
    return Plain()
