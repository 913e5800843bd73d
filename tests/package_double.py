"""A test double of the package `smac`: its interface, with battles of the embedded engine instead of StarCraft II."""

import os
import signal
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from mawm.envs.checked import CheckedEnv
from mawm.envs.process import ProcessEnv
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.envs.starcraft.game import PackageGame
from mawm.envs.starcraft.games import Games
from mawm.types import Step, VectorEnv

SEED = 3


class PackageDouble:
    """SMAC's methods, for battles `first`, `first` + `stride`, ... of one seed.

    In battle `faulty` it has a fault at the third step: "crash", "kill", "hang" or "nan".
    """

    def __init__(self, first: int, stride: int, faulty: int | None, fault: str) -> None:
        self.engine = SkirmishVectorEnv("3m", 1, seed=SEED, first_battle=first, stride=stride)
        self.faulty, self.fault = faulty, fault
        self.steps = 0
        self.now: Any = None
        self.next: Step | None = None

    def get_env_info(self) -> dict[str, int]:
        """SMAC's sizes."""
        sizes = self.engine.spaces
        return {
            "n_agents": sizes.n_agents,
            "n_actions": sizes.n_actions,
            "obs_shape": sizes.obs_size,
            "state_shape": sizes.state_size,
            "episode_limit": sizes.episode_limit,
        }

    def reset(self) -> None:
        """Begin the next battle. The engine has begun it already if the last one ended."""
        self.now, self.next, self.steps = self.next or self.engine.reset(), None, 0

    def step(self, actions: list[int]) -> tuple[float, bool, dict[str, Any]]:
        """One step, or the fault."""
        self.steps += 1
        faulty = int(self.engine.battles[0]) == self.faulty and self.steps == 3
        if faulty and self.fault == "crash":
            self.full_restart()
        if faulty and self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if faulty and self.fault == "hang":
            time.sleep(60)
        step = self.engine.step(np.array([actions], np.int64))
        cut, over = bool(step.truncated[0]), bool(step.terminated[0] or step.truncated[0])
        self.now = step
        if over:
            last = {"obs": step.final_obs, "avail": step.final_avail, "alive": step.final_alive, "state": step.state}
            self.now, self.next = SimpleNamespace(**last), step
        reward = float("nan") if faulty and self.fault == "nan" else float(step.reward[0])
        return reward, over, {"battle_won": bool(step.battle_won[0])} | ({"episode_limit": True} if cut else {})

    def full_restart(self) -> None:
        """SMAC starts its game again here and hides the fault."""
        raise AssertionError("the driver must replace this method")

    def get_obs(self) -> list[Any]:
        """Observations of all agents."""
        return list(self.now.obs[0])

    def get_state(self) -> Any:
        """The state."""
        return self.now.state[0]

    def get_avail_actions(self) -> list[list[int]]:
        """Masks of all agents."""
        return [mask.astype(int).tolist() for mask in self.now.avail[0]]

    def get_unit_by_id(self, agent: int) -> Any:
        """A unit with its health."""
        return SimpleNamespace(health=float(self.now.alive[0, agent]))

    def close(self) -> None:
        """Nothing to end."""


def make_double(first: int, stride: int, faulty: int | None, fault: str) -> PackageGame:
    """A game of the double; picklable by reference."""
    return PackageGame(PackageDouble(first, stride, faulty, fault), SEED, first, stride)


def double_games(
    rows: int, faulty: int | None = None, fault: str = "crash", *, processes: bool = False, timeout_s: float = 20.0
) -> Games:
    """Games of the double, checked like real ones; in this process, which is faster, or in processes of their own."""

    def make(first: int) -> VectorEnv:
        game = partial(make_double, first, rows, faulty, fault)
        env = ProcessEnv(game, timeout_s) if processes else game()
        return CheckedEnv(env, "3m (double)", first_battle=first, stride=rows)

    return Games(make, rows, "3m (double)")
