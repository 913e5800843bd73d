"""SMACv2's maps on the embedded engine, with the vector interface of `mawm.types`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish.battle_rows import BattleRows, Final, Views
from mawm.envs.skirmish.layout import STAT
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.setup import grid_offsets, kind_stats
from mawm.envs.skirmish.smacv2 import kernel
from mawm.envs.skirmish.smacv2.contract import drawn_contract
from mawm.envs.skirmish.smacv2.maps import DRAWN_MAPS, DrawnMap
from mawm.envs.skirmish.units import kinds_of
from mawm.types import Bools, Floats, Ints


class DrawnVectorEnv(BattleRows):
    """B parallel battles of one of SMACv2's maps; the kinds and places of all units are drawn for each battle.

    Battle k is a function of (map, rules, seed, k, actions). `options` as for `BattleRows`. `kinds` (B, U) holds the
    type bit of each unit, allies first: the index in `spec.kinds`.
    """

    def __init__(self, map: str | DrawnMap, batch: int, seed: int, rules: Rules | None = None, **options: Any) -> None:
        self.rules = rules or Rules()
        self.spec = map if isinstance(map, DrawnMap) else DRAWN_MAPS[map]
        self.contract = c = drawn_contract(self.spec)
        super().__init__(c, batch, seed, **options)
        units = c.n_agents + c.n_enemies
        both = kinds_of(self.spec.kinds, self.spec.kinds, self.rules.version)
        self._world = kernel.World(
            rules=self.rules.array(),
            tables=np.array([kind_stats(kind, self.rules) for kind in both]).reshape(2, len(both) // 2, STAT),
            grounds=np.stack([c.grid, c.grid]),
            toward=np.full((1, 1), -1, np.int16),  # open ground: no ways around obstacles
            offsets=np.array(grid_offsets(units), np.float64),
        )
        self._battles = kernel.Battles(
            kinds=np.zeros((batch, units), np.int64),
            stats=np.zeros((batch, units, STAT), np.float64),
            bodies=self.bodies,
            books=self._books,
            last=self._last,
            sighters=np.full((batch, 2, c.n_enemies), -1, np.int64),
            places=np.zeros((batch, c.n_enemies, 2), np.float64),
        )
        self.kinds = self._battles.kinds
        self._work = kernel.Work(
            self._scratch, np.zeros((units, 3)), np.zeros((4, 3)), np.zeros(c.n_agents, np.int64)
        )  # fmt: skip

    def _begin(self, views: Views) -> None:
        kernel.begin(
            self.contract, self._world, self._work, self._seed, self._stride, self._battles, kernel.Views(*views)
        )

    def _advance(self, actions: Ints, views: Views, final: Final, reward: Floats, flags: Bools) -> int:
        return int(kernel.advance(
            self.contract, self._world, self._work, self._seed, self._stride, self._options, actions, self._battles,
            self._logs, kernel.Views(*views), kernel.Views(*final, views[3]), reward, flags, self.deaths,
        ))  # fmt: skip

    def stats_of(self, row: int) -> NDArray[np.float64]:
        """The data of each unit's kind (U, STAT) in a row's battle, which drew its units."""
        return np.asarray(self._battles.stats[row])

    def _ground(self) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int16], bool]:
        return self._world.rules, self._world.grounds, self._world.toward, True

    def _view(self, row: int, views: Views) -> None:
        kernel.show(self.contract, self._battles, self._work, row, kernel.Views(*views))

    def _kept(self) -> dict[str, NDArray[Any]]:
        return self._battles._asdict()
