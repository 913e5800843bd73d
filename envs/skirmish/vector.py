"""SMAC's maps on the embedded engine, with the vector interface of `mawm.types`."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish import kernel
from mawm.envs.skirmish.battle_rows import BattleRows, Final, Views
from mawm.envs.skirmish.contract import build_contract
from mawm.envs.skirmish.layout import S_CREATED
from mawm.envs.skirmish.maps import MapSpec, load_map
from mawm.envs.skirmish.movement import ways_round
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.setup import formation, stat_table
from mawm.types import Bools, Floats, Ints


class SkirmishVectorEnv(BattleRows):
    """B parallel battles of one of SMAC's maps, or of a map file; `options` as for `BattleRows`."""

    def __init__(
        self, map: str | Path | MapSpec, batch: int, seed: int, rules: Rules | None = None, **options: Any
    ) -> None:
        self.rules = rules or Rules()
        self.spec = map if isinstance(map, MapSpec) else load_map(map, int(self.rules.cliff_margin))
        self.contract = build_contract(self.spec, self.rules.version)
        super().__init__(self.contract, batch, seed, **options)
        self._stats = stat_table(self.spec, self.rules)
        self._numbers = self.rules.array()
        self._grounds = np.stack([self.spec.walkable, self.spec.pathable])
        self._toward = ways_round(self.spec.walkable)
        self._spawns, self._stats[:, S_CREATED] = formation(self.spec, self.rules)
        self._attack = np.array(self.spec.attack or ((-1.0, -1.0), (-1.0, -1.0)), np.float64)

    def _begin(self, views: Views) -> None:
        kernel.begin(
            self.contract, self._stats, self._numbers, self._grounds, self._spawns, self._attack,
            self._seed, self._stride, self.bodies, self._books, self._last, *views,
        )  # fmt: skip

    def _advance(self, actions: Ints, views: Views, final: Final, reward: Floats, flags: Bools) -> int:
        return int(kernel.advance(
            self.contract, self._stats, self._numbers, self._grounds, self._toward, self._spawns, self._attack,
            self._seed, self._stride, self._options, actions, self.bodies, self._books, self._last, self._logs,
            self._scratch, *views, reward, flags, *final, self.deaths,
        ))  # fmt: skip

    def stats_of(self, row: int) -> NDArray[np.float64]:
        """The data of each unit's kind (U, STAT): the same in all battles of a map."""
        return self._stats

    def _ground(self) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int16], bool]:
        return self._numbers, self._grounds, self._toward, False

    def _view(self, row: int, views: Views) -> None:
        kernel.show(self.contract, self.bodies[row], self._last[row], *(array[row] for array in views))
