"""An environment with a very skewed reward, used to record the losses in tests/golden/losses."""

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv


class Prizes(ParallelEnv):
    """Three agents walk on nine cells; rarely a prize lies at one end, and its worth is log-normal.

    Most rewards are 0, most others are about 1, a few are above 20. A battle may end at any step after the fifth one.
    """

    metadata = {"name": "prizes"}  # noqa: RUF012 - PettingZoo asks for a class attribute
    possible_agents = ("red", "green", "blue")

    def observation_space(self, agent):
        """Own cell, the others' mean cell, and where the prize lies (-1, 0 for nowhere, 1)."""
        return spaces.Box(-1.0, 1.0, (3,), np.float32)

    def action_space(self, agent):
        """Stay, go down, go up."""
        return spaces.Discrete(3)

    def reset(self, seed=None, options=None):
        """Begin; all chance comes from the seed."""
        self.rng = np.random.default_rng(seed)
        self.agents, self.played, self.prize = list(self.possible_agents), 0, 0
        self.cells = dict(zip(self.agents, self.rng.integers(0, 9, 3).tolist(), strict=True))
        return self.seen(), self.told()

    def step(self, actions):
        """Walk; the agent that stands on the prize takes it."""
        for agent, action in actions.items():
            self.cells[agent] += (0, -1, 1)[action]
        self.played += 1
        taken = self.prize != 0 and (0 if self.prize < 0 else 8) in self.cells.values()
        reward = float(np.exp(1.5 * self.rng.normal())) if taken else 0.0
        if taken or self.prize == 0:
            self.prize = int(self.rng.choice([-1, 1])) if self.rng.random() < 0.05 else 0
        over = bool(self.played > 5 and self.rng.random() < 0.03)
        playing = self.agents
        self.agents = [] if over else playing
        ends, cut = dict.fromkeys(playing, over), dict.fromkeys(playing, False)
        return self.seen(), dict.fromkeys(playing, reward), ends, cut, self.told()

    def told(self):
        """The masks: no agent may walk off the line."""
        return {a: {"action_mask": np.array([True, c > 0, c < 8])} for a, c in self.cells.items()}

    def seen(self):
        """What each agent sees."""
        mean = sum(self.cells.values()) / 3
        return {a: np.array([c / 4 - 1, mean / 4 - 1, self.prize], np.float32) for a, c in self.cells.items()}


def make():
    """Called by `--map tests.prize_env:make`."""
    return Prizes()
