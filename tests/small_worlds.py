"""Two small worlds that are learned within seconds, in any scale, and the loop that trains on them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.build import make_team
from mawm.collect import Collector
from mawm.configs.presets import load_preset, merge
from mawm.configs.train import TrainConfig
from mawm.team import InlineTeam
from mawm.types import Bools, Floats, Ints, Spaces, Step

BATTLES = 8


class SmallWorld:
    """B battles of one agent side by side; a subclass says what is seen, what is paid and when it is over."""

    obs_size, n_actions, limit = 1, 2, 10

    def __init__(self, obs_unit: float = 1.0, reward_unit: float = 1.0, seed: int = 0) -> None:
        self.batch, self.obs_unit, self.reward_unit = BATTLES, obs_unit, reward_unit
        self.spaces = Spaces(1, self.n_actions, self.obs_size, 1, self.limit)
        self.rng = np.random.default_rng(seed)
        self.places = np.zeros(BATTLES, np.int64)
        self.times = np.zeros(BATTLES, np.int64)

    def begin(self, row: int) -> int:
        """Where a battle begins."""
        return 0

    def move(self, place: int, action: int) -> tuple[int, float, bool]:
        """The next place, the reward, and whether the battle is over."""
        raise NotImplementedError

    def look(self, places: NDArray[np.int64]) -> Floats:
        """Observations (B, O) of places (B,)."""
        raise NotImplementedError

    def _views(self) -> tuple[Floats, Bools, Bools, Floats]:
        obs = (self.obs_unit * self.look(self.places)).astype(np.float32)[:, None]
        ones = np.ones((self.batch, 1), np.bool_)
        return obs, np.ones((self.batch, 1, self.n_actions), np.bool_), ones, np.zeros((self.batch, 1), np.float32)

    def reset(self) -> Step:
        """Begin a battle in every row."""
        self.places = np.array([self.begin(row) for row in range(self.batch)])
        obs, avail, alive, state = self._views()
        none = np.zeros(self.batch, np.bool_)
        return Step(obs, avail, alive, state, np.zeros(self.batch, np.float32), none, none, none, obs, avail, alive)

    def step(self, actions: Ints) -> Step:
        """One action in every row."""
        found = [self.move(int(place), int(action)) for place, action in zip(self.places, actions[:, 0], strict=True)]
        self.places = np.array([place for place, _, _ in found])
        reward = np.array([self.reward_unit * paid for _, paid, _ in found], np.float32)
        terminated = np.array([over for _, _, over in found])
        self.times += 1
        truncated = (self.times >= self.limit) & ~terminated
        final_obs, final_avail, final_alive, _ = self._views()
        for row in np.flatnonzero(terminated | truncated):
            self.places[row], self.times[row] = self.begin(row), 0
        none = np.zeros(self.batch, np.bool_)
        views = self._views()
        return Step(*views, reward, terminated, truncated, none, final_obs, final_avail, final_alive)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Nothing: these runs are never saved."""
        return {}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class TwoStates(SmallWorld):
    """One of two states is drawn at every step; action k pays 1 in state k and 0.4 in the other."""

    obs_size, n_actions, limit = 3, 2, 4

    def begin(self, row: int) -> int:
        """Either state."""
        return int(self.rng.integers(2))

    def move(self, place: int, action: int) -> tuple[int, float, bool]:
        """Any state comes next."""
        return int(self.rng.integers(2)), 1.0 if action == place else 0.4, False

    def look(self, places: NDArray[np.int64]) -> Floats:
        """Which state it is, and a number that means nothing."""
        return np.concatenate([np.eye(2)[places], self.rng.random((self.batch, 1))], 1)


class Corridor(SmallWorld):
    """Six cells in a row; one action leads to the next cell, the other back. The last cell pays 1 and ends it."""

    obs_size, n_actions, limit = 6, 2, 12

    def move(self, place: int, action: int) -> tuple[int, float, bool]:
        """Action 1 goes on, action 0 back."""
        there = max(0, place + (1 if action == 1 else -1))
        end = there == self.obs_size - 1
        return there, float(end), end

    def look(self, places: NDArray[np.int64]) -> Floats:
        """The cell."""
        return np.eye(self.obs_size)[places]


Settings = dict[str, Any]


def small_config(seed: int = 0, model: Settings | None = None, behaviour: Settings | None = None) -> TrainConfig:
    """Networks that are as small as these worlds, with rates as large as those bear; a policy that need not explore."""
    changes: Settings = {
        "method": "independent",
        "seed": seed,
        "schedule": {"battles": BATTLES},
        "agent": {
            "world_model": {
                **{"deter": 32, "hidden": 32, "groups": 4, "classes": 4, "batch": 24, "seq_len": 5, "lr": 1e-2},
                **(model or {}),
            },
            "behaviour": {
                **{"hidden": 32, "starts": 64, "minibatch": 192, "horizon": 3, "epochs": 2},
                **{"actor_lr": 3e-3, "critic_lr": 3e-3, "entropy_target": 0.05},
                **(behaviour or {}),
            },
        },
    }
    return merge(load_preset("debug"), changes, "small")


class Training:
    """Plays and learns: one learner, its world, and the rounds of `mawm.loop` without channel and files."""

    def __init__(self, world: SmallWorld, config: TrainConfig) -> None:
        self.world = world
        team = make_team(config, world.spaces, "cpu", "inline")
        assert isinstance(team, InlineTeam)
        self.team, self.agent = team, team.learners[0]
        model = config.agent.world_model
        self.collector = Collector(world, team, seq_len=model.seq_len, discount=config.agent.behaviour.discount)

    def play(self, steps: int, mode: str = "sample") -> float:
        """Play so many steps of every battle and remember them; gives the mean return of the last battles."""
        self.collector.outcomes.clear()
        self.agent.remember(self.collector.collect(steps, mode)[0])
        return float(np.mean([outcome.total_reward for outcome in self.collector.outcomes] or [0.0]))

    def learn(self, updates: int, warmup: int = 200, each: int = 8) -> None:
        """A warm-up of the model on random play; then updates of model and behaviour, `each` between two rounds."""
        for _ in range(4):  # in rounds, as a prefill is: units grow at most tenfold in each
            self.play(8, "random")
        self.agent.fit_world_model(warmup)
        for _ in range(updates // each):
            self.play(each)
            self.agent.fit_world_model(each)
            self.agent.imagine(each)
            self.agent.fit_behaviour([], env_steps=self.collector.env_steps)
