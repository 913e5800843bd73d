"""What the engine's vector environments share: the arrays of B rows of battles, steps, events and snapshots."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.envs.checked import check_actions
from mawm.envs.skirmish import kernel
from mawm.envs.skirmish.contract import Contract
from mawm.envs.skirmish.layout import BATTLE, BATTLE_WON, BODY, BOOK, TERMINATED, TRUNCATED
from mawm.envs.skirmish.smacv2.contract import DrawnContract
from mawm.types import Bools, Floats, Ints, Spaces, Step

EVENT_FIELDS = ("loop", "kind", "source", "target", "amount")
"""Columns of the event log; kind 0 is a hit (damage before armour), 1 healing."""

Views = tuple[Floats, Bools, Bools, Floats]
"""Arrays that a kernel fills: obs (B, N, O), avail (B, N, A), alive (B, N), state (B, S)."""
Final = tuple[Floats, Bools, Bools]
"""Arrays for the last arrivals of battles that end: obs, avail, alive."""


class BattleRows:
    """B rows of battles. Subclasses know what a battle is, and call the compiled kernels.

    `bodies` (B, U, BODY) is the state of the units (`layout`), `deaths` (B, 2) counts dead allies and dead enemies
    after the last step. Row b plays battles first_battle + b, then + stride (default: B), + 2 stride, ... Battle k
    does not depend on B, row, thread or machine.

    `events` > 0 records that many hits and heals of each row's last step. `sparse` and `signed` are SMAC's other
    rewards (+-1 at the end; with own losses).
    """

    def __init__(
        self, contract: Contract | DrawnContract, batch: int, seed: int, *, first_battle: int = 0,
        stride: int | None = None, events: int = 0, sparse: bool = False, signed: bool = False,
    ) -> None:  # fmt: skip
        if batch < 1:
            raise ValueError(f"batch is {batch}; it must be at least 1")
        c, units = contract, contract.n_agents + contract.n_enemies
        self.batch, self.spaces = batch, Spaces(c.n_agents, c.n_actions, c.obs_size, c.state_size, c.limit)
        self._options = (sparse, signed)
        self._seed = np.uint64(seed)
        self._stride = np.uint64(batch if stride is None else stride)
        self.bodies = np.zeros((batch, units, BODY), np.float64)
        self._books = np.zeros((batch, BOOK), np.uint64)
        # A battle's start adds the stride: rows begin one stride before their first battle, in wrapping arithmetic.
        self._books[:, BATTLE] = np.arange(first_battle, first_battle + batch, dtype=np.uint64) - self._stride
        self._last = np.full((batch, c.n_agents), -1, np.int64)
        self._logs = np.zeros((batch, events + 1, len(EVENT_FIELDS)), np.float64)
        self._scratch = np.zeros((3, units, 4), np.float64)
        self.deaths = np.zeros((batch, 2), np.int64)
        self._begun = False

    def _begin(self, views: Views) -> None:
        """Start the next battle in every row and write its first arrival."""
        raise NotImplementedError

    def _advance(self, actions: Ints, views: Views, final: Final, reward: Floats, flags: Bools) -> int:
        """Play a step in every row; `final` gets the last arrivals of battles that end.

        Returns -1, or the index b * N + i of the first forbidden action; then no step is played.
        """
        raise NotImplementedError

    def _view(self, row: int, views: Views) -> None:
        """Write the present arrival of one row."""
        raise NotImplementedError

    def stats_of(self, row: int) -> NDArray[np.float64]:
        """The data of each unit's kind (U, STAT) in a row's battle (`layout`)."""
        raise NotImplementedError

    def _ground(self) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int16], bool]:
        """The rules, the grounds, the ways round obstacles, and whether enemies hunt."""
        raise NotImplementedError

    def _kept(self) -> dict[str, NDArray[Any]]:
        """The arrays that a snapshot holds, by name."""
        return {"bodies": self.bodies, "books": self._books, "last": self._last}

    def _arrays(self) -> Views:
        s, b = self.spaces, self.batch
        return (
            np.empty((b, s.n_agents, s.obs_size), np.float32),
            np.empty((b, s.n_agents, s.n_actions), np.bool_),
            np.empty((b, s.n_agents), np.bool_),
            np.empty((b, s.state_size), np.float32),
        )

    def reset(self) -> Step:
        """Begin new battles in all rows: each row's next battle number."""
        views = self._arrays()
        self._begin(views)
        self._logs[:] = 0.0
        self._begun = True
        return Step.begun(*views)

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle. ValueError for an unavailable action; it lists the available ones."""
        actions = np.ascontiguousarray(actions, np.int64)
        if actions.shape != self._last.shape:
            raise ValueError(f"actions have shape {actions.shape}; expected (battles, agents) = {self._last.shape}")
        if not self._begun:
            raise ValueError("no battle has begun yet: call reset() before step()")
        views = self._arrays()
        final = np.zeros_like(views[0]), np.zeros_like(views[1]), np.zeros_like(views[2])
        reward, flags = np.empty(self.batch, np.float32), np.empty((self.batch, 3), np.bool_)
        if self._logs.shape[1] > 1:
            self._logs[:, 0] = 0.0
        wrong = self._advance(actions, views, final, reward, flags)
        if wrong >= 0:
            check_actions(actions, self.show().avail, self.battles)
        return Step(*views, reward, flags[:, TERMINATED], flags[:, TRUNCATED], flags[:, BATTLE_WON], *final)

    def bodies_after(self, row: int, actions: Ints) -> NDArray[np.float64]:
        """The units (U, BODY) of a row after a step with these actions (N,). Nothing changes in the row itself.

        If the step ends the battle, these are its last places and healths; after `step`, `bodies` already holds the
        next battle. ValueError for an unavailable action.
        """
        check_actions(np.asarray(actions)[None], self.show().avail[[row]], self.battles[[row]])
        bodies: NDArray[np.float64] = self.bodies[row].copy()
        rules, grounds, toward, hunting = self._ground()
        kernel.play_step(
            self.stats_of(row), rules, grounds, toward, bodies, self._books[row].copy(), np.zeros_like(self._scratch),
            np.zeros((1, len(EVENT_FIELDS))), self._last[row].copy(), np.asarray(actions, np.int64), hunting,
        )  # fmt: skip
        return bodies

    @property
    def battles(self) -> NDArray[np.uint64]:
        """The number of the battle that each row plays."""
        return np.array(self._books[:, BATTLE])

    def events(self, row: int) -> NDArray[np.float64]:
        """Hits and heals of the last step in a row: (events, 5), see `EVENT_FIELDS`."""
        log = self._logs[row]
        return np.array(log[1 : 1 + int(log[0, 0])])

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The complete state for `restore`."""
        return {name: array.copy() for name, array in self._kept().items()}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Continue from a snapshot. ValueError if its map or batch differs."""
        kept = self._kept()
        for name, own in kept.items():
            if name not in snapshot:
                raise ValueError(f"snapshot has no {name}; this engine needs {', '.join(kept)}: is it of another map?")
            if snapshot[name].shape != own.shape:
                raise ValueError(f"snapshot has {name} of shape {snapshot[name].shape}; this engine needs {own.shape}")
        for name, own in kept.items():
            own[:] = snapshot[name]
        self._begun = True

    def close(self) -> None:
        """Nothing to close."""

    def show(self) -> Step:
        """The present observations, masks and states, without playing a step."""
        views = self._arrays()
        for row in range(self.batch):
            self._view(row, views)
        return Step.begun(*views)
