"""Battles of the engine by the name of a map: SMAC's maps, SMACv2's maps, map files."""

from pathlib import Path
from typing import Any

from mawm.envs.skirmish.maps import MapSpec
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.smacv2.maps import DRAWN_MAPS, DrawnMap
from mawm.envs.skirmish.smacv2.vector import DrawnVectorEnv
from mawm.envs.skirmish.vector import SkirmishVectorEnv


def make_battles(
    map: str | Path | MapSpec | DrawnMap, batch: int, seed: int, rules: Rules | None = None, **options: Any
) -> SkirmishVectorEnv | DrawnVectorEnv:
    """B parallel battles; `options` as for the two environments. ValueError for an unknown map or a wrong map file."""
    if isinstance(map, DrawnMap) or map in DRAWN_MAPS:
        return DrawnVectorEnv(map, batch, seed, rules, **options)
    return SkirmishVectorEnv(map, batch, seed, rules, **options)
