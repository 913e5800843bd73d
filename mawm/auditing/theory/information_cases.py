"""The estimators of `mawm.agents.information.estimators` on Gaussian cases whose answer is a formula."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mawm.agents.information.estimators import param_ig, policy_mi
from mawm.auditing.theory.claim import Claim

SPREAD = 1.5
"""Standard deviation of what the population (policies or parameters) adds to an observation, in units of the noise."""
MEAN = 0.8
"""Mean observation of the policy in question, where the population's mean is 0."""


def true_policy_mi() -> float:
    """KL(N(MEAN, 1) || N(0, 1 + SPREAD^2)) in nats."""
    variance = 1.0 + SPREAD**2
    return 0.5 * (math.log(variance) + (1.0 + MEAN**2) / variance - 1.0)


def true_param_ig() -> float:
    """I(theta; o) in nats, o = SPREAD theta + noise, both standard normal: half log(1 + SPREAD^2)."""
    return 0.5 * math.log(1.0 + SPREAD**2)


def check_information(seed: int = 0) -> list[Claim]:
    """Both estimators at large M and K, the slopes of bias in K and of variance in M, and what shared sets cost."""
    rng = np.random.default_rng([seed, 1])
    claims = []
    for name, estimate, truth in (
        ("policy_mi", _policy_mi, true_policy_mi()),
        ("param_ig", _param_ig, true_param_ig()),
    ):
        values = [estimate(rng, 4000, 1000) for _ in range(20)]
        mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))
        close = abs(mean - truth) < 4.0 * error + 1e-3
        claims.append(Claim(f"{name}, known answer", f"{mean:.4f} +- {error:.4f} nats", f"{truth:.4f}", close))
    bias = _slope((5, 10, 20, 40, 80), lambda k: _mean_gap(rng, 8, k) - true_param_ig())
    claims.append(Claim("param_ig, bias over K (log-log slope)", f"{bias:.2f}", "near -1", -1.25 < bias < -0.75))
    fresh = _slope((30, 100, 300, 1000), lambda m: _variance(rng, m, 20, shared=False))
    claims.append(Claim("variance over M, fresh sets (slope)", f"{fresh:.2f}", "near -1", -1.25 < fresh < -0.75))
    shared = _slope((30, 100, 300, 1000), lambda m: _variance(rng, m, 20, shared=True))
    claims.append(Claim("variance over M, one set for all (slope)", f"{shared:.2f}", "shallower", shared > fresh + 0.1))
    low = [_param_ig(rng, 100, 20, spread=0.2) for _ in range(2000)]
    negative = float(np.mean(np.array(low) < 0.0))
    claims.append(Claim("estimates below zero at M=100, K=20", f"{100 * negative:.1f} %", "some", negative > 0.0))
    return claims


def _policy_mi(rng: np.random.Generator, m: int, k: int) -> float:
    observed = rng.normal(MEAN, 1.0, m)
    others = rng.normal(0.0, SPREAD, (m, k))
    return float(policy_mi(_density(observed - MEAN), _density(observed[:, None] - others)))


def _param_ig(rng: np.random.Generator, m: int, k: int, *, shared: bool = False, spread: float = SPREAD) -> float:
    made_by = spread * rng.normal(size=m)
    observed = made_by + rng.normal(size=m)
    others = spread * rng.normal(size=(1 if shared else m, k))
    return float(param_ig(_density(observed - made_by), _density(observed[:, None] - others)))


def _density(distance: np.ndarray) -> Tensor:
    """Log-density of a standard normal."""
    return torch.from_numpy(-0.5 * distance**2 - 0.5 * math.log(2.0 * math.pi))


def _mean_gap(rng: np.random.Generator, repeats: int, k: int) -> float:
    """A precise mean of the estimate with K members: its noise must be small beside the bias."""
    return float(np.mean([_param_ig(rng, 400_000 // k, k) for _ in range(repeats * k // 5)]))


def _variance(rng: np.random.Generator, m: int, k: int, *, shared: bool) -> float:
    return float(np.var([_param_ig(rng, m, k, shared=shared) for _ in range(400)], ddof=1))


def _slope(sizes: tuple[int, ...], quantity: Callable[[int], float]) -> float:
    """The slope of log |quantity| over log size, by least squares."""
    values = [abs(quantity(size)) for size in sizes]
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
