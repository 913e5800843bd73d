"""Scales of an agent's observations and rewards: its networks work with numbers near one.

Both scales depend only on the agent's own data and are part of its checkpoint. Replay, messages and metrics hold raw
numbers. SMAC's observations are in [-1, 1] and its returns in [0, 20]; they are not changed.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mawm.types import Floats, Saved, Segment

GROWTH = 10.0
"""Largest factor by which a maximum grows in one update, so that one outlier does not make all other values small."""
CLIP = 10.0
"""Scaled observations are clipped to [-CLIP, CLIP], so that an outlier does not dominate an update."""
LARGE_RETURN = 20.0
"""Largest return with unit 1: the maximum of a SMAC battle."""


class ObservationScale(nn.Module):
    """Divides each component of an observation by its largest magnitude so far.

    With L_k the largest |o_k| so far, the divisor of component k is max(L_k, min(1, max_j L_j)). So components in
    [-1, 1] do not change, and larger ones are scaled to [-1, 1]. If all components are small, the largest becomes one.
    The divisors never decrease, so that scaled observations keep their meaning.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.largest: Tensor
        self.register_buffer("largest", torch.zeros(size))

    def divisor(self) -> Tensor:
        """The divisor (O,) of each component; ones before the first observation."""
        overall = self.largest.max()
        floor = torch.where(overall > 0.0, overall.clamp(max=1.0), 1.0)
        return torch.maximum(self.largest, floor)

    def forward(self, obs: Tensor) -> Tensor:
        """Scaled observations (..., O) of raw ones."""
        return (obs / self.divisor()).clamp(-CLIP, CLIP)

    def raw(self, scaled: Tensor) -> Tensor:
        """Raw observations (..., O) of scaled ones."""
        return scaled * self.divisor()

    def widen(self, observations: Iterable[Floats]) -> None:
        """Update the maxima with raw observations, each array (T, O); non-finite numbers are ignored."""
        maxima = [np.where(np.isfinite(obs), np.abs(obs), 0.0).max(0) for obs in observations]
        if not maxima:
            return
        new = torch.from_numpy(np.max(maxima, 0).astype(np.float32)).to(self.largest.device)
        self.largest.copy_(torch.maximum(self.largest, torch.minimum(new, GROWTH * self.largest.clamp(min=1.0))))


class RewardUnit(Saved):
    """The unit of rewards, values and advantages inside the agent's networks.

    It depends on the largest return so far. Returns are measured as running discounted sums R_t = r_t + gamma R_{t-1}
    within a battle: they are known immediately and are as large as the returns that the critic predicts. With L the
    largest |R_t|, the unit is 1 for L in [1, 20], L for a smaller L, and L / 20 for a larger L.
    """

    SAVED = ("largest", "running")

    def __init__(self, discount: float, lanes: int) -> None:
        self.discount = discount
        self.largest = 0.0
        self.running = [0.0] * lanes
        """The present R_t of each lane."""

    @property
    def value(self) -> float:
        """The unit, in rewards of the environment; 1 before the first reward."""
        if self.largest == 0.0:
            return 1.0
        return max(min(1.0, self.largest), self.largest / LARGE_RETURN)

    def take(self, segments: Iterable[Segment]) -> None:
        """Update the unit with the agent's next segments, ordered in each lane; non-finite rewards count as zero."""
        largest = 0.0
        for segment in segments:
            total = self.running[segment.lane]
            for reward, first in zip(segment.reward.tolist(), segment.is_first.tolist(), strict=True):
                total = 0.0 if first else self.discount * total + (reward if math.isfinite(reward) else 0.0)
                largest = max(largest, abs(total))
            self.running[segment.lane] = total
        self.largest = max(self.largest, min(largest, GROWTH * max(1.0, self.largest)))

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`. ValueError for another number of lanes."""
        saved, lanes = len(state["running"]), len(self.running)
        if saved != lanes:
            raise ValueError(f"the reward unit was saved with {saved} lanes; this run needs {lanes}")
        super().load_state(state)
