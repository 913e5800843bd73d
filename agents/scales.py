"""The units in which one agent counts: observations and rewards of any scale become numbers near one.

Both follow the agent's own data alone and are part of its checkpoint. Replay, messages and metrics hold raw numbers;
networks see scaled ones. SMAC's observations lie in [-1, 1] and its returns in [0, 20]: there both scales do nothing.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mawm.types import Floats, Segment

GROWTH = 10.0
"""A largest magnitude grows at most by this factor at a time: one freak value shall not make all others vanish."""
CLIP = 10.0
"""Scaled observations are clipped to [-CLIP, CLIP], so that a freak value cannot spoil an update either."""
LARGE_RETURN = 20.0
"""Returns up to this size, the greatest of a SMAC battle, need no unit of their own."""


class ObservationScale(nn.Module):
    """Divides every number of an observation by the largest magnitude that the agent has seen of it.

    With L_k the largest |o_k| so far, the divisor of number k is max(L_k, min(1, max_j L_j)). So numbers in [-1, 1]
    stay as they are, larger ones come into [-1, 1], and if all numbers are small the largest of them becomes one. A
    largest magnitude never shrinks: what was learned keeps its meaning once the agent has seen the range of its world.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.largest: Tensor
        self.register_buffer("largest", torch.zeros(size))

    def divisor(self) -> Tensor:
        """The divisor (O,) of each number; ones before anything was seen."""
        overall = self.largest.max()
        floor = torch.where(overall > 0.0, overall.clamp(max=1.0), 1.0)
        return torch.maximum(self.largest, floor)

    def forward(self, obs: Tensor) -> Tensor:
        """Scaled observations (..., O) of raw ones."""
        return (obs / self.divisor()).clamp(-CLIP, CLIP)

    def raw(self, scaled: Tensor) -> Tensor:
        """Observations (..., O) in the environment's units, of scaled ones."""
        return scaled * self.divisor()

    def widen(self, observations: Iterable[Floats]) -> None:
        """Take in raw observations, each array (T, O); numbers that are not finite are ignored."""
        seen = [np.where(np.isfinite(obs), np.abs(obs), 0.0).max(0) for obs in observations]
        if not seen:
            return
        new = torch.from_numpy(np.max(seen, 0).astype(np.float32)).to(self.largest.device)
        self.largest.copy_(torch.maximum(self.largest, torch.minimum(new, GROWTH * self.largest.clamp(min=1.0))))


class RewardUnit:
    """The unit in which rewards, values and advantages are counted inside the agent's networks.

    It follows the largest return so far. Returns are measured as running discounted sums R_t = r_t + gamma R_{t-1}
    within a battle, which are known at once and have the size of the returns that the critic predicts. With L the
    largest |R_t|, the unit is 1 for L between 1 and 20, L for smaller and L / 20 for larger ones.
    """

    def __init__(self, discount: float, lanes: int) -> None:
        self.discount = discount
        self.largest = 0.0
        self.running = [0.0] * lanes
        """R_t of each lane, where the agent's stream stands."""

    @property
    def value(self) -> float:
        """The unit, in rewards of the environment; 1 before the first reward."""
        if self.largest == 0.0:
            return 1.0
        return max(min(1.0, self.largest), self.largest / LARGE_RETURN)

    def take(self, segments: Iterable[Segment]) -> None:
        """Take in the agent's own next segments, of each lane in order; rewards that are not finite count as zero."""
        seen = 0.0
        for segment in segments:
            total = self.running[segment.lane]
            for reward, first in zip(segment.reward.tolist(), segment.is_first.tolist(), strict=True):
                total = 0.0 if first else self.discount * total + (reward if math.isfinite(reward) else 0.0)
                seen = max(seen, abs(total))
            self.running[segment.lane] = total
        self.largest = max(self.largest, min(seen, GROWTH * max(1.0, self.largest)))

    def state(self) -> dict[str, Any]:
        """The largest return and where the lanes stand, JSON-able."""
        return {"largest": self.largest, "running": self.running}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`. ValueError for another number of lanes."""
        running = [float(total) for total in state["running"]]
        if len(running) != len(self.running):
            raise ValueError(f"the reward unit was saved with {len(running)} lanes; this run needs {len(self.running)}")
        self.largest, self.running = float(state["largest"]), running
