"""Returns of rollouts; how heads say rewards and values; how advantages and values are normalised."""

import math
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from mawm.agents.config import AdvantageScale, Scalar


def lambda_returns(reward: Tensor, discount: Tensor, value: Tensor, lam: float) -> Tensor:
    """Lambda-returns (H, B) of imagined rollouts, the critic's target (DreamerV2's lambda-target).

    G_t = r_{t+1} + d_{t+1} [(1 - lam) v_{t+1} + lam G_{t+1}],   G_H = v_H

    `reward` and `discount` (H, B) belong to the arrivals at states 1..H, `value` (H + 1, B) to states 0..H.
    """
    assert reward.shape == discount.shape and value.shape == (len(reward) + 1, *reward.shape[1:])
    out = torch.empty_like(reward)
    carry = value[-1]
    for t in range(len(reward) - 1, -1, -1):
        carry = reward[t] + discount[t] * ((1.0 - lam) * value[t + 1] + lam * carry)
        out[t] = carry
    return out


class ScalarOutput(Protocol):
    """How a head represents a reward or a value: `size` outputs per state, in the unit of `scales.RewardUnit`."""

    size: int

    def to(self, device: str) -> None:
        """Move what it holds to the device of its head."""

    def stretch(self, unit: float) -> None:
        """Count in this unit from now on: what a head put out for 1 stands for `unit` rewards."""

    def mean(self, out: Tensor) -> Tensor:
        """The reward or value (...) that outputs (..., size) stand for, in the environment's units."""

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """What outputs (..., size) cost, for targets (...) in the environment's units."""


class TwoHot:
    """Scalars as a distribution over bins spaced evenly in symlog (DreamerV3): mean-seeking, indifferent to scale.

    symlog(x) = sign(x) ln(1 + |x|); `limit` is the largest |symlog| that a bin holds, 5 for 147 units.
    """

    def __init__(self, bins: int, limit: float = 5.0) -> None:
        self.size = bins
        grid = torch.linspace(-limit, limit, bins, dtype=torch.float64)
        self.grid = grid.sign() * (grid.abs().exp() - 1.0)
        self.values = self.grid.to(torch.float32)

    def to(self, device: str) -> None:
        """Move the bins."""
        self.values = self.values.to(device)

    def stretch(self, unit: float) -> None:
        """Let the bins reach to 147 times `unit`."""
        self.values = (self.grid * unit).to(self.values)

    def mean(self, logits: Tensor) -> Tensor:
        """Expected value (...) of logits (..., bins)."""
        return torch.softmax(logits, -1) @ self.values

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """-log p (...) of targets (...) under logits (..., bins): cross-entropy with weight on the two bins beside it.

        The weights are linear between the two bins' **values**, so that the mean of the fitted distribution is the mean
        of the targets.
        """
        clipped = target.clamp(float(self.values[0]), float(self.values[-1]))
        above = torch.searchsorted(self.values, clipped.contiguous()).clamp_(1, self.size - 1)
        low, high = self.values[above - 1], self.values[above]
        share = (clipped - low) / (high - low)
        log_probs = torch.log_softmax(logits, -1)
        below_term = log_probs.gather(-1, (above - 1).unsqueeze(-1)).squeeze(-1)
        above_term = log_probs.gather(-1, above.unsqueeze(-1)).squeeze(-1)
        return -((1.0 - share) * below_term + share * above_term)


class Plain:
    """A scalar as itself: one output x a state, with a loss of the error e = x - target / unit.

    `huber`: e^2 / 2 up to |e| = 1 and |e| - 1/2 beyond (the reward of MAMBA, the code that Z builds on); `squared`:
    e^2 / 2 (its critic).
    """

    size = 1

    def __init__(self, kind: Scalar) -> None:
        self.kind = kind
        self.unit = 1.0

    def to(self, device: str) -> None:
        """Nothing to move."""

    def stretch(self, unit: float) -> None:
        """Let an output of 1 stand for `unit`."""
        self.unit = unit

    def mean(self, out: Tensor) -> Tensor:
        """Value (...) of outputs (..., 1)."""
        return out.squeeze(-1) * self.unit

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """Huber or half the squared error (...) of outputs (..., 1) for targets (...)."""
        said, wanted = out.squeeze(-1), target / self.unit
        if self.kind == "huber":
            return functional.smooth_l1_loss(said, wanted, reduction="none")
        return 0.5 * (said - wanted).square()


def scalar_output(kind: Scalar, bins: int) -> ScalarOutput:
    """The way of saying scalars that a setting names."""
    return TwoHot(bins) if kind == "two_hot" else Plain(kind)


class Advantages(Protocol):
    """How advantages are normalised before they weigh the policy's update."""

    def stretch(self, unit: float) -> None:
        """Count rewards in this unit from now on."""

    def normalise(self, returns: Tensor, value: Tensor, weight: Tensor) -> Tensor:
        """Normalised advantages (...) of returns (...) over values (...); `weight` (...): of each in the update."""

    @property
    def scale(self) -> float:
        """What the last advantages were divided by."""

    def state(self) -> dict[str, Any]:
        """What to go on from, JSON-able."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""


class ReturnScale:
    """The range between the 5th and the 95th percentile of returns, slowly averaged, with a floor of one (DreamerV3).

    The floor, one unit of reward, keeps a model that predicts no reward yet from turning noise into advantages.
    """

    def __init__(self, decay: float = 0.98, floor: float = 1.0) -> None:
        self.decay = decay
        self.floor = floor
        self.spread = 0.0
        self.seen = 0

    def update(self, returns: Tensor) -> float:
        """Take in returns of any shape; gives the divisor for advantages. Non-finite spreads are ignored."""
        levels = torch.tensor([0.05, 0.95], device=returns.device)
        low, high = torch.quantile(returns.detach().flatten()[: 2**20], levels).tolist()
        spread = high - low
        if spread == spread and abs(spread) != float("inf"):
            decay = min(self.decay, self.seen / (self.seen + 1.0))
            self.spread = decay * self.spread + (1.0 - decay) * spread
            self.seen += 1
        return self.scale

    @property
    def scale(self) -> float:
        """The divisor now."""
        return max(self.floor, self.spread)

    def stretch(self, unit: float) -> None:
        """The floor is one unit."""
        self.floor = unit

    def normalise(self, returns: Tensor, value: Tensor, weight: Tensor) -> Tensor:
        """Advantages (...) as shares of the range of returns."""
        return (returns - value) / self.update(returns)

    def state(self) -> dict[str, Any]:
        """The averaged range, and how many went into it."""
        return {"spread": self.spread, "seen": self.seen}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.spread, self.seen = float(state["spread"]), int(state["seen"])


class Deviation:
    """Advantages with mean 0 and deviation 1 over the rollouts of a round, as MAMBA normalises them on SMAC.

    Each counts with its weight in the update: states after a predicted death, or with one available action, do not. A
    ten-thousandth of a unit is added to the deviation, so that rollouts without any difference divide by no zero.
    """

    def __init__(self) -> None:
        self.unit = 1.0
        self.scale = 1.0

    def stretch(self, unit: float) -> None:
        """Count in this unit."""
        self.unit = unit

    def normalise(self, returns: Tensor, value: Tensor, weight: Tensor) -> Tensor:
        """Standardised advantages (...)."""
        advantage, share = returns - value, weight / weight.sum().clamp_min(1e-6)
        mean = (share * advantage).sum()
        scale = float((share * (advantage - mean).square()).sum().sqrt()) + 1e-4 * self.unit
        if math.isfinite(scale):  # otherwise the update is left out, and the log keeps the last one
            self.scale = scale
        return (advantage - mean) / scale

    def state(self) -> dict[str, Any]:
        """The last deviation, for the log alone."""
        return {"scale": self.scale}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.scale = float(state["scale"])


def advantages(kind: AdvantageScale) -> Advantages:
    """The normalisation that a setting names."""
    return ReturnScale() if kind == "percentiles" else Deviation()


class ValueNorm:
    """Running mean and deviation of returns: a critic predicts numbers near one, whatever the scale of rewards.

    Value normalisation (Yu et al. 2022, section 5.1). Averages of 1, x and x^2 forget with `decay`; divided by the
    first one they are debiased, so that the first returns count in full.
    """

    def __init__(self, decay: float = 0.99, floor: float = 0.1) -> None:
        self.decay = decay
        self.floor = floor
        self.averages = [0.0, 0.0, 0.0]

    def update(self, returns: Tensor) -> None:
        """Take in the returns (...) of one rollout; nothing where one is not finite."""
        x = returns.detach().double()
        seen = (1.0, float(x.mean()), float(x.square().mean()))
        if math.isfinite(seen[2]):
            pairs = zip(self.averages, seen, strict=True)
            self.averages = [self.decay * old + (1.0 - self.decay) * new for old, new in pairs]

    @property
    def scale(self) -> tuple[float, float]:
        """Mean and deviation of what was taken in, the latter at least `floor`; 0 and 1 at first."""
        ones, x, square = self.averages
        if ones == 0.0:
            return 0.0, 1.0
        return x / ones, max(self.floor**2, square / ones - (x / ones) ** 2) ** 0.5

    def normalise(self, returns: Tensor) -> Tensor:
        """What the critic shall predict for returns (...)."""
        mean, deviation = self.scale
        return (returns - mean) / deviation

    def denormalise(self, value: Tensor) -> Tensor:
        """The returns (...) that predictions (...) stand for."""
        mean, deviation = self.scale
        return value * deviation + mean
