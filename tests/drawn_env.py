"""Environments of two agents that draw themselves, for the tests of pages and films."""

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

LENGTH = 7
"""Steps of a battle."""
WIDTH, HEIGHT = 24, 16


class Counting(ParallelEnv[str, Any, int]):
    """Each picture has one bright column at the number of steps; `drawn` counts the pictures."""

    metadata: ClassVar[dict[str, Any]] = {"name": "counting", "render_modes": ["rgb_array"]}
    possible_agents: ClassVar[list[str]] = ["left", "right"]

    def __init__(self, render_mode: str | None = "rgb_array", answer: Any = None) -> None:
        self.render_mode, self.answer, self.drawn, self.time = render_mode, answer, 0, 0

    def observation_space(self, agent: str) -> spaces.Box:
        """Three numbers: the time, a wave, and one that never changes."""
        return spaces.Box(-10.0, 10.0, (3,), np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        """Two actions."""
        return spaces.Discrete(2)

    def _seen(self) -> dict[str, NDArray[np.float32]]:
        now = np.array([self.time, np.sin(self.time), 0.5], np.float32)
        return dict.fromkeys(self.agents, now)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        """Begin."""
        self.agents, self.time = list(self.possible_agents), 0
        return self._seen(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> tuple[Any, Any, Any, Any, Any]:
        """Count; after `LENGTH` steps the battle is over."""
        self.time += 1
        over = self.time == LENGTH
        flags, rewards = dict.fromkeys(self.agents, over), dict.fromkeys(self.agents, 0.5)
        infos: dict[str, Any] = {agent: {} for agent in self.agents}
        return self._seen(), rewards, flags, dict.fromkeys(self.agents, False), infos

    def render(self) -> Any:
        """The picture, or what a test wants in its place."""
        self.drawn += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            return self.answer
        picture = np.full((HEIGHT, WIDTH, 3), (250, 240, 230), np.uint8)
        picture[:, self.time] = (10, 120, 30)
        return picture
