"""Several games of StarCraft II, each in a process of its own, as one vector environment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.envs.checked import EnvFault, check_actions, constructed
from mawm.runtime.console import print_stderr
from mawm.types import Ints, Step, VectorEnv

MOST = 3
"""Largest number of replaced games within WITHIN environment steps."""
WITHIN = 1000


class Games:
    """B games as one vector environment: row b plays battles b, b + B, ...

    `make(first)` starts a game that plays battles `first`, `first` + B, ... in a process of its own, with checks. All
    games play a step at the same time.

    After a fault of a game (it ended, hangs or gave a wrong answer) its process is replaced. The running battle cannot
    be continued: it is truncated at its last arrival, without reward, and the row's next battle begins. Every fault is
    printed. At the fourth fault within 1000 environment steps (one step of B battles counts B) step raises EnvFault.
    Faults in the construction of a new game count too.
    """

    def __init__(self, make: Callable[[int], VectorEnv], batch: int, name: str) -> None:
        self._make, self.batch, self.name = make, batch, name
        self._battles = np.arange(batch, dtype=np.int64)
        self._lock = threading.Lock()
        self._env_steps = 0
        self._replaced: list[int] = []
        """Environment steps at which games were replaced."""
        self._pool = ThreadPoolExecutor(batch, "mawm-game")
        self._games: list[VectorEnv] = []
        self._closed = False
        try:
            # One after the other: after an error (the game is missing, say) no further process starts.
            for row in range(batch):
                self._games.append(self._made(row))
        except BaseException:
            self.close()
            raise
        self.spaces = self._games[0].spaces
        self._now: list[Step] = []
        """The last answer of each game."""

    def reset(self) -> Step:
        """Begin B new battles."""
        if self._now:
            self._battles += self.batch
        return self._answers(self._reset)

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle. ValueError for an unavailable action; it lists the available ones."""
        if not self._now:
            raise ValueError("no battle has begun yet: call reset() before step()")
        check_actions(actions, np.concatenate([step.avail for step in self._now]), self._battles)
        step = self._answers(lambda row: self._step(row, actions[row : row + 1]))
        self._battles += self.batch * (step.terminated | step.truncated)
        self._env_steps += self.batch
        return step

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The numbers of the running battles (B,). The battles themselves cannot be saved."""
        return {"battle": self._battles.copy()}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> Step | None:
        """Begin the battles after those of a snapshot, because a running battle cannot be continued."""
        if snapshot["battle"].shape != (self.batch,):
            raise ValueError(f"snapshot has {len(snapshot['battle'])} battles; this environment has {self.batch}")
        self._battles = snapshot["battle"] + self.batch
        print_stderr(f"not exact: {self.name} cannot continue running battles, so new ones begin")
        return self._answers(self._replace)

    def close(self) -> None:
        """End all games."""
        # After an error in one row the other rows may still play or start a game: those calls end first.
        self._closed = True
        self._pool.shutdown(cancel_futures=True)
        for game in self._games:
            game.close()

    def _answers(self, ask: Callable[[int], Step]) -> Step:
        """The answers of all games, each asked in a thread of its own, as one step."""
        self._now = list(self._pool.map(ask, range(self.batch)))
        return Step(**{f.name: np.concatenate([getattr(step, f.name) for step in self._now]) for f in fields(Step)})

    def _reset(self, row: int) -> Step:
        try:
            return self._games[row].reset()
        except EnvFault as fault:
            self._count(fault)
            return self._replace(row)

    def _step(self, row: int, actions: Ints) -> Step:
        try:
            return self._games[row].step(actions)
        except EnvFault as fault:
            self._count(fault)
            last, begun = self._now[row], self._replace(row, self.batch)
            cut = replace(begun, truncated=np.array([True]))
            return replace(cut, final_obs=last.obs, final_avail=last.avail, final_alive=last.alive)

    def _replace(self, row: int, later: int = 0) -> Step:
        """Start a new game in a row, with the battle that is `later` than the row's; returns its first arrival."""
        while True:
            self._games[row].close()
            try:
                self._games[row] = self._made(int(self._battles[row]) + later)
                return self._games[row].reset()
            except EnvFault as fault:
                self._count(fault)

    def _made(self, first: int) -> VectorEnv:
        """A new game. EnvFault if its construction fails, ValueError if the package, the game or the map is missing."""
        return constructed(partial(self._make, first), f"environment {self.name}, battle {first}")

    def _count(self, fault: EnvFault) -> None:
        """Print a fault, or raise it if there were too many or no game may be started any more."""
        with self._lock:
            if self._closed:
                raise fault
            recent = [at for at in self._replaced if self._env_steps - at < WITHIN]
            if len(recent) >= MOST:
                raise EnvFault(f"{fault} (after {MOST} new games within {WITHIN} environment steps it is not replaced)")
            self._replaced = [*recent, self._env_steps]
            print_stderr(f"{fault}; the game is replaced and its battle is cut ({len(recent) + 1} of {MOST})")
