"""SMAC's observation with its optional parts: pathing grid, terrain height, the allies' last actions."""

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.contract import Contract, Rows, begin_observation, observe_from
from mawm.envs.skirmish.layout import X, Y
from mawm.types import Bools, Floats, Ints

AROUND = np.array([[0, 4], [0, -4], [4, 0], [-4, 0], [2, 2], [-2, -2], [2, -2], [-2, 2], [0, 0]], np.int64)
"""Observed cells as (dx, dy) from the own cell; the own cell, which is last, is used only for the height."""


def optional_obs_size(c: Contract) -> int:
    """Size of an observation with all three options."""
    return c.obs_size + len(AROUND) - 1 + len(AROUND) + (c.n_agents - 1) * c.n_actions


@scalar
def observe_options(
    c: Contract, height: NDArray[np.float64], bodies: Rows, i: int, avail: Bools, last: Ints, out: Floats
) -> None:
    """Write agent i's observation with the three options into `out`, all zero if it is dead.

    Moves (4), pathing (8), 9 values of `height` (W, H), then the usual features with each ally's last action. Outside
    the map pathing and height are 1. `last` (N,) holds the last actions, -1 before the first step.
    """
    if not begin_observation(bodies[i], avail, out):
        return
    at, own = 4, len(AROUND) - 1
    for k in range(len(AROUND)):
        x, y = int(bodies[i, X]) + AROUND[k, 0], int(bodies[i, Y]) + AROUND[k, 1]
        inside = 0 <= x < c.grid.shape[0] and 0 <= y < c.grid.shape[1]
        if k < own:
            out[at + k] = c.grid[x, y] if inside else 1.0
        out[at + own + k] = height[x, y] if inside else 1.0
    observe_from(c, bodies, i, avail, last, out, at + own + len(AROUND))
