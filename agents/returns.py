"""Returns of rollouts, representations of rewards and values, and normalisation of advantages and values."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mawm.agents.config import AdvantageScale, Scalar
from mawm.types import Saved


def lambda_returns(reward: Tensor, discount: Tensor, value: Tensor, lam: float) -> Tensor:
    """Lambda-returns (H, B) of imagined rollouts, the critic's target (DreamerV2's lambda-target).

    G_t = r_{t+1} + d_{t+1} [(1 - lam) v_{t+1} + lam G_{t+1}],   G_H = v_H

    `reward` and `discount` (H, B) belong to the arrivals at states 1..H, `value` (H + 1, B) to states 0..H.
    """
    assert reward.shape == discount.shape and value.shape == (len(reward) + 1, *reward.shape[1:])
    carry, out = value[-1], []
    for t in range(len(reward) - 1, -1, -1):
        carry = reward[t] + discount[t] * ((1.0 - lam) * value[t + 1] + lam * carry)
        out.append(carry)
    return torch.stack(out[::-1])


class TwoHot(nn.Module):
    """A scalar as a distribution over bins that are evenly spaced in symlog (DreamerV3).

    symlog(x) = sign(x) ln(1 + |x|); `limit` is the |symlog| of the outermost bins, 5 for 147 units.
    """

    def __init__(self, bins: int, limit: float = 5.0) -> None:
        super().__init__()
        self.size = bins
        grid = torch.linspace(-limit, limit, bins, dtype=torch.float64)
        self.grid = grid.sign() * (grid.abs().exp() - 1.0)
        self.values: Tensor
        self.register_buffer("values", self.grid.to(torch.get_default_dtype()), persistent=False)

    def set_unit(self, unit: float) -> None:
        """Scale the bins, so that the outermost ones are at 147 times `unit`."""
        self.values.copy_(self.grid * unit)

    def mean(self, logits: Tensor) -> Tensor:
        """Expected value (...) of logits (..., bins)."""
        return torch.softmax(logits, -1) @ self.values

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy (...) of logits (..., bins) with targets (...) as weights on the two nearest bins.

        The weights are linear in the bins' **values**, so that the mean of the fitted distribution is the mean of the
        targets.
        """
        clipped = torch.clamp(target, self.values[0], self.values[-1])
        above = torch.searchsorted(self.values, clipped.contiguous()).clamp(1, self.size - 1)
        low, high = self.values[above - 1], self.values[above]
        share = (clipped - low) / (high - low)
        log_probs = torch.log_softmax(logits, -1)
        below_term = log_probs.gather(-1, (above - 1).unsqueeze(-1)).squeeze(-1)
        above_term = log_probs.gather(-1, above.unsqueeze(-1)).squeeze(-1)
        return -((1.0 - share) * below_term + share * above_term)


class Plain(nn.Module):
    """A scalar as one output x per state, with a loss of the error e = x - target / unit.

    `huber`: e^2 / 2 for |e| <= 1, else |e| - 1/2 (the rewards of MAMBA, which Z builds on). `squared`: e^2 / 2 (the
    critic of MAMBA).
    """

    size = 1

    def __init__(self, kind: Scalar) -> None:
        super().__init__()
        self.kind = kind
        self.unit: Tensor
        self.register_buffer("unit", torch.ones(()), persistent=False)

    def set_unit(self, unit: float) -> None:
        """Let an output of 1 represent `unit` rewards."""
        self.unit.fill_(unit)

    def mean(self, out: Tensor) -> Tensor:
        """Value (...) of outputs (..., 1)."""
        return out.squeeze(-1) * self.unit

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """Huber or half the squared error (...) of outputs (..., 1) for targets (...)."""
        prediction, target = out.squeeze(-1), target / self.unit
        if self.kind == "huber":
            return functional.smooth_l1_loss(prediction, target, reduction="none")
        return 0.5 * (prediction - target).square()


def scalar_output(kind: Scalar, bins: int) -> TwoHot | Plain:
    """A head's representation of rewards or values, in the unit of `scales.RewardUnit`."""
    return TwoHot(bins) if kind == "two_hot" else Plain(kind)


class ReturnScale(Saved):
    """Divides advantages by the moving average of the range between two percentiles of returns (DreamerV3).

    The percentiles are the 5th and the 95th. The divisor is at least one unit of reward, so that noise does not become
    large advantages while the model predicts no reward.
    """

    SAVED = ("spread", "seen")

    def __init__(self, decay: float = 0.98, floor: float = 1.0) -> None:
        self.decay = decay
        self.floor = floor
        self.spread = 0.0
        self.seen = 0

    def update(self, returns: Tensor) -> float:
        """Update the average with returns of any shape; returns the divisor. Non-finite ranges are ignored."""
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
        """The present divisor."""
        return max(self.floor, self.spread)

    def set_unit(self, unit: float) -> None:
        """Set the smallest divisor to one unit."""
        self.floor = unit

    def normalise(self, returns: Tensor, value: Tensor, weight: Tensor) -> Tensor:
        """Advantages (...) divided by the range of returns."""
        return (returns - value) / self.update(returns)


class Deviation(Saved):
    """Advantages with mean 0 and standard deviation 1 over the rollouts of a round, as in MAMBA on SMAC.

    Mean and deviation are weighted as the update is: states after a predicted death, or with one available action, have
    weight 0. The divisor is the deviation plus 1e-4 units, so that equal advantages do not divide by zero.
    """

    SAVED = ("scale",)

    def __init__(self) -> None:
        self.unit = 1.0
        self.scale = 1.0

    def set_unit(self, unit: float) -> None:
        """Set the unit of rewards."""
        self.unit = unit

    def normalise(self, returns: Tensor, value: Tensor, weight: Tensor) -> Tensor:
        """Standardised advantages (...)."""
        advantage, share = returns - value, weight / weight.sum().clamp_min(1e-6)
        mean = (share * advantage).sum()
        scale = float((share * (advantage - mean).square()).sum().sqrt()) + 1e-4 * self.unit
        if math.isfinite(scale):  # otherwise the optimiser skips the update, and the log shows the previous scale
            self.scale = scale
        return (advantage - mean) / scale


def advantages(kind: AdvantageScale) -> ReturnScale | Deviation:
    """The normalisation of advantages before the policy's update."""
    return ReturnScale() if kind == "percentiles" else Deviation()


class ValueNorm:
    """Value normalisation (Yu et al. 2022, section 5.1): running mean and standard deviation of returns.

    Averages of 1, x and x^2 decay with `decay`; division by the first one removes the bias of the early averages.
    """

    def __init__(self, decay: float = 0.99, floor: float = 0.1) -> None:
        self.decay = decay
        self.floor = floor
        self.averages = [0.0, 0.0, 0.0]

    def update(self, returns: Tensor) -> None:
        """Update the averages with the returns (...) of one rollout; non-finite returns are ignored."""
        x = returns.detach().double()
        moments = (1.0, float(x.mean()), float(x.square().mean()))
        if math.isfinite(moments[2]):
            pairs = zip(self.averages, moments, strict=True)
            self.averages = [self.decay * old + (1.0 - self.decay) * new for old, new in pairs]

    @property
    def scale(self) -> tuple[float, float]:
        """Mean and standard deviation of the returns, the latter at least `floor`; 0 and 1 before the first update."""
        ones, x, square = self.averages
        if ones == 0.0:
            return 0.0, 1.0
        return x / ones, max(self.floor**2, square / ones - (x / ones) ** 2) ** 0.5

    def normalise(self, returns: Tensor) -> Tensor:
        """The critic's target for returns (...)."""
        mean, deviation = self.scale
        return (returns - mean) / deviation

    def denormalise(self, value: Tensor) -> Tensor:
        """The returns (...) of the critic's predictions (...)."""
        mean, deviation = self.scale
        return value * deviation + mean
