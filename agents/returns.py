"""Returns of rollouts, and scales: two-hot ones of rewards and values, of advantages, and normalised values."""

import math

import torch
from torch import Tensor


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


class TwoHot:
    """Scalars as a distribution over bins spaced evenly in symlog (DreamerV3): mean-seeking, indifferent to scale.

    symlog(x) = sign(x) ln(1 + |x|); `limit` is the largest |symlog| that a bin holds.
    """

    def __init__(self, bins: int, limit: float = 5.0, device: str | torch.device = "cpu") -> None:
        self.bins = bins
        self.limit = limit
        grid = torch.linspace(-limit, limit, bins, dtype=torch.float64)
        self.values = (grid.sign() * (grid.abs().exp() - 1.0)).to(torch.float32).to(device)

    def mean(self, logits: Tensor) -> Tensor:
        """Expected value (...) of logits (..., bins)."""
        return torch.softmax(logits, -1) @ self.values

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """-log p (...) of targets (...) under logits (..., bins): cross-entropy with weight on the two bins beside it.

        The weights are linear between the two bins' **values**, so that the mean of the fitted distribution is the mean
        of the targets.
        """
        clipped = target.clamp(float(self.values[0]), float(self.values[-1]))
        above = torch.searchsorted(self.values, clipped.contiguous()).clamp_(1, self.bins - 1)
        low, high = self.values[above - 1], self.values[above]
        share = (clipped - low) / (high - low)
        log_probs = torch.log_softmax(logits, -1)
        below_term = log_probs.gather(-1, (above - 1).unsqueeze(-1)).squeeze(-1)
        above_term = log_probs.gather(-1, above.unsqueeze(-1)).squeeze(-1)
        return -((1.0 - share) * below_term + share * above_term)


class ReturnScale:
    """The range between the 5th and the 95th percentile of returns, slowly averaged, with a floor of one (DreamerV3).

    The floor keeps a model that predicts no reward yet from turning noise into advantages.
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
        return max(self.floor, self.spread)


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
