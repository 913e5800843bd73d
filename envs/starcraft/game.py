"""One game of StarCraft II as a vector environment with one row. It runs in a process of its own (`games`)."""

import random
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mawm.envs.starcraft.packages import package_env
from mawm.types import Bools, Floats, Ints, Spaces, Step

View = tuple[Floats, Bools, Bools, Floats]
"""obs (1, N, O), avail (1, N, A), alive (1, N), state (1, S)."""


class GameCrashed(RuntimeError):
    """The game ended or gave an error. Its process must be replaced."""


class PackageGame:
    """The environment of `smac` or `smacv2`: battles `first`, `first` + `stride`, ... of a seed.

    A battle that ends by its time limit is truncated, not terminated. GameCrashed if the game ended: the packages would
    start it again themselves, but then SMAC counts the enemies' health twice in its scale of rewards and leaves a game
    running, and SMACv2 starts games without end.
    """

    batch = 1

    def __init__(self, env: Any, seed: int, first: int, stride: int) -> None:
        self._env = env
        self._inner = vars(env).get("env", env)  # SMACv2 wraps SMAC's class
        self._inner.full_restart = _crashed
        self._seed, self._battle, self._stride = seed, first - stride, stride
        info = env.get_env_info()
        self.spaces = Spaces(
            info["n_agents"], info["n_actions"], info["obs_shape"], info["state_shape"], info["episode_limit"]
        )

    def reset(self) -> Step:
        """Begin the next battle."""
        self._begin()
        return Step.begun(*self._view())

    def step(self, actions: Ints) -> Step:
        """Play one step. `Games` checks the actions. GameCrashed if the game ended."""
        reward, over, info = self._env.step(actions[0].tolist())
        if "battle_won" not in info:
            _crashed()
        last = self._view()
        truncated = over and bool(info.get("episode_limit", False))
        flags = (over and not truncated, truncated, bool(info["battle_won"]))
        if over:
            self._begin()
        ended, cut, won = (np.array([flag], np.bool_) for flag in flags)
        final_obs, final_avail, final_alive, _ = last
        now = self._view()
        return Step(*now, np.array([reward], np.float32), ended, cut, won, final_obs, final_avail, final_alive)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The number of the running battle. The game itself cannot be saved."""
        return {"battle": np.array([self._battle], np.int64)}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> Step | None:
        """Begin the battle after the saved one, because the saved one cannot be continued."""
        self._battle = int(snapshot["battle"][0])
        return self.reset()

    def close(self) -> None:
        """End the game."""
        self._env.close()

    def _begin(self) -> None:
        """Begin the next battle. The random numbers that the package itself draws depend on (seed, battle) alone."""
        self._battle += self._stride
        drawn = np.random.SeedSequence((self._seed, self._battle)).generate_state(2)
        # SMACv2 draws teams and positions from generators without a seed, and shuffles with Python's global one.
        random.seed(int(drawn[0]))
        for distribution in _distributions(vars(self._env).get("env_key_to_distribution_map", {}).values()):
            distribution.rng = np.random.default_rng(int(drawn[1]))
        self._env.reset()

    def _view(self) -> View:
        env, n = self._env, self.spaces.n_agents
        obs, state = np.asarray(env.get_obs(), np.float32), np.asarray(env.get_state(), np.float32)
        avail = np.asarray(env.get_avail_actions(), np.bool_)
        alive = np.array([env.get_unit_by_id(i).health > 0 for i in range(n)], np.bool_)
        return obs[None], avail[None], alive[None], state[None]


def make_game(package: str, map_name: str, seed: int, first: int, stride: int) -> PackageGame:
    """A game of `smac` or `smacv2`. ValueError if the package, the game or the map is missing."""
    # The game's own random numbers begin anew with each process. With one seed for all, each of the B games would play
    # the same battles, and a game that replaces another one would repeat battles.
    own = int(np.random.SeedSequence((seed, first)).generate_state(1)[0]) % 2**31
    return PackageGame(package_env(package, map_name, own), seed, first, stride)


def _crashed() -> NoReturn:
    raise GameCrashed("the game ended or gave an error")


def _distributions(parts: Iterable[Any]) -> Iterator[Any]:
    """Distributions of SMACv2, also those inside other distributions."""
    for part in parts:
        if hasattr(part, "generate"):
            yield part
            yield from _distributions(vars(part).values())
