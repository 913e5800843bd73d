"""The embedded engine with the vector interface of `mawm.types`."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish import kernel
from mawm.envs.skirmish.contract import available, build_contract
from mawm.envs.skirmish.layout import BATTLE, BODY, BOOK, S_CREATED, STAT
from mawm.envs.skirmish.maps import MapSpec, load_map
from mawm.envs.skirmish.movement import ways_round
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.setup import formation, stat_table
from mawm.types import Ints, Spaces, Step

EVENT_FIELDS = ("loop", "kind", "source", "target", "amount")
"""Columns of the event log; kind 0 is a hit (damage before armour), 1 healing."""


class SkirmishVectorEnv:
    """B parallel battles.

    Row b plays battles first_battle + b, then + B, + 2B, ... Battle k does not depend on B, row, thread or machine.

    `events` > 0 records that many hits and heals of each row's last step. `sparse` and `signed` are SMAC's other
    rewards (+-1 at the end; with own losses).
    """

    def __init__(
        self,
        map: str | Path | MapSpec,
        batch: int,
        seed: int,
        rules: Rules | None = None,
        *,
        first_battle: int = 0,
        stride: int | None = None,
        events: int = 0,
        sparse: bool = False,
        signed: bool = False,
    ) -> None:
        if batch < 1:
            raise ValueError(f"batch is {batch}; it must be at least 1")
        self.rules = rules or Rules()
        self.spec = map if isinstance(map, MapSpec) else load_map(map, int(self.rules.cliff_margin))
        self.batch = batch
        self.contract = build_contract(self.spec, self.rules.version)
        c = self.contract
        self.spaces = Spaces(c.n_agents, c.n_actions, c.obs_size, c.state_size, c.limit)
        self._stats = stat_table(self.spec, self.rules)
        assert self._stats.shape[1] == STAT
        self._numbers = self.rules.array()
        self._grounds = np.stack([self.spec.walkable, self.spec.pathable])
        self._toward = ways_round(self.spec.walkable)
        self._spawns, self._stats[:, S_CREATED] = formation(self.spec, self.rules)
        self._attack = np.array(self.spec.attack or ((-1.0, -1.0), (-1.0, -1.0)), np.float64)
        self._seed = np.uint64(seed)
        self._stride = np.uint64(batch if stride is None else stride)
        self._options = (sparse, signed)
        units = c.n_agents + c.n_enemies
        self.bodies = np.zeros((batch, units, BODY), np.float64)
        self._books = np.zeros((batch, BOOK), np.uint64)
        # `begin` adds the stride: the rows start one stride before their first battle, in wrapping arithmetic.
        self._books[:, BATTLE] = np.arange(first_battle, first_battle + batch, dtype=np.uint64) - self._stride
        self._last = np.full((batch, c.n_agents), -1, np.int64)
        self._logs = np.zeros((batch, events + 1, len(EVENT_FIELDS)), np.float64)
        self._scratch = np.zeros((3, units, 4), np.float64)
        self.deaths = np.zeros((batch, 2), np.int64)
        self._begun = False

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        c, b = self.contract, self.batch
        return (
            np.empty((b, c.n_agents, c.obs_size), np.float32),
            np.empty((b, c.n_agents, c.n_actions), np.bool_),
            np.empty((b, c.n_agents), np.bool_),
            np.empty((b, c.state_size), np.float32),
        )

    def reset(self) -> Step:
        """Begin new battles in all rows: each row's next battle number."""
        obs, avail, alive, state = self._arrays()
        kernel.begin(
            self.contract, self._stats, self._numbers, self._grounds, self._spawns, self._attack,
            self._seed, self._stride, self.bodies, self._books, self._last, obs, avail, alive, state,
        )  # fmt: skip
        self._logs[:] = 0.0
        self._begun = True
        return Step.begun(obs, avail, alive, state)

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle. ValueError for an unavailable action; it lists the available ones."""
        actions = np.ascontiguousarray(actions, np.int64)
        if actions.shape != self._last.shape:
            raise ValueError(f"actions have shape {actions.shape}; expected (battles, agents) = {self._last.shape}")
        if not self._begun:
            raise ValueError("no battle has begun yet: call reset() before step()")
        obs, avail, alive, state = self._arrays()
        final_obs, final_avail, final_alive = np.zeros_like(obs), np.zeros_like(avail), np.zeros_like(alive)
        reward, flags = np.empty(self.batch, np.float32), np.empty((self.batch, 3), np.bool_)
        if self._logs.shape[1] > 1:
            self._logs[:, 0] = 0.0
        wrong = kernel.advance(
            self.contract, self._stats, self._numbers, self._grounds, self._toward, self._spawns, self._attack,
            self._seed, self._stride, self._options, actions, self.bodies, self._books, self._last, self._logs,
            self._scratch, obs, avail, alive, state, reward, flags, final_obs, final_avail, final_alive, self.deaths,
        )  # fmt: skip
        if wrong >= 0:
            self._refuse(actions, wrong)
        return Step(
            obs, avail, alive, state, reward, flags[:, kernel.TERMINATED], flags[:, kernel.TRUNCATED],
            flags[:, kernel.BATTLE_WON], final_obs, final_avail, final_alive,
        )  # fmt: skip

    def _refuse(self, actions: Ints, index: int) -> None:
        row, agent = divmod(index, self.contract.n_agents)
        mask = np.zeros(self.contract.n_actions, np.bool_)
        available(self.contract, self.bodies[row], agent, mask)
        raise ValueError(
            f"battle {self.battles[row]}, agent {agent}: action {actions[row, agent]} is not available; "
            f"available now: {np.flatnonzero(mask).tolist()}"
        )

    @property
    def battles(self) -> NDArray[np.uint64]:
        """The number of the battle that each row plays."""
        numbers: NDArray[np.uint64] = self._books[:, BATTLE].copy()
        return numbers

    def events(self, row: int) -> NDArray[np.float64]:
        """Hits and heals of the last step in a row: (events, 5), see `EVENT_FIELDS`."""
        log = self._logs[row]
        events: NDArray[np.float64] = log[1 : 1 + int(log[0, 0])].copy()
        return events

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The complete state for `restore`."""
        return {"bodies": self.bodies.copy(), "books": self._books.copy(), "last": self._last.copy()}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Continue from a snapshot. ValueError if its map or batch differs."""
        for name, own in (("bodies", self.bodies), ("books", self._books), ("last", self._last)):
            if snapshot[name].shape != own.shape:
                raise ValueError(f"snapshot has {name} of shape {snapshot[name].shape}; this engine needs {own.shape}")
            own[:] = snapshot[name]
        self._begun = True

    def close(self) -> None:
        """Nothing to close."""

    def show(self) -> Step:
        """The present observations, masks and states, without playing a step."""
        obs, avail, alive, state = self._arrays()
        for b in range(self.batch):
            kernel.show(self.contract, self.bodies[b], self._last[b], obs[b], avail[b], alive[b], state[b])
        return Step.begun(obs, avail, alive, state)
