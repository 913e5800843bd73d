"""The papers' statements, checked on cases with a known answer (`python -m mawm.verify theory`).

Information estimators on Gaussian cases, and Theorem 2 of A and G on quadratics.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mawm.agents.information.estimators import param_ig, policy_mi

SPREAD = 1.5
"""Standard deviation that the population (policies or parameters) adds to an observation, in units of the noise."""
MEAN = 0.8
"""Mean observation under the examined policy; the population's mean is 0."""
STEPS = 39
QUADRATICS = 2000


@dataclass(frozen=True)
class Claim:
    """A statement, its result, the expected result, and whether the statement holds."""

    name: str
    found: str
    expected: str
    holds: bool


def true_policy_mi() -> float:
    """KL(N(MEAN, 1) || N(0, 1 + SPREAD^2)) in nats."""
    variance = 1.0 + SPREAD**2
    return 0.5 * (math.log(variance) + (1.0 + MEAN**2) / variance - 1.0)


def true_param_ig() -> float:
    """I(theta; o) in nats, o = SPREAD theta + noise, both standard normal: half log(1 + SPREAD^2)."""
    return 0.5 * math.log(1.0 + SPREAD**2)


def check_information(seed: int = 0) -> list[Claim]:
    """Both estimators at large M and K, bias over K, variance over M, and the effect of shared sets."""
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
    theta = spread * rng.normal(size=m)
    observed = theta + rng.normal(size=m)
    others = spread * rng.normal(size=(1 if shared else m, k))
    return float(param_ig(_density(observed - theta), _density(observed[:, None] - others)))


def _density(distance: np.ndarray) -> Tensor:
    """Log-density of a standard normal."""
    return torch.from_numpy(-0.5 * distance**2 - 0.5 * math.log(2.0 * math.pi))


def _mean_gap(rng: np.random.Generator, repeats: int, k: int) -> float:
    """A precise mean of the estimate with K members; its noise must be smaller than the bias."""
    return float(np.mean([_param_ig(rng, 400_000 // k, k) for _ in range(repeats * k // 5)]))


def _variance(rng: np.random.Generator, m: int, k: int, *, shared: bool) -> float:
    return float(np.var([_param_ig(rng, m, k, shared=shared) for _ in range(400)], ddof=1))


def _slope(sizes: tuple[int, ...], quantity: Callable[[int], float]) -> float:
    """The slope of log |quantity| over log size, by least squares."""
    values = [abs(quantity(size)) for size in sizes]
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def check_descent(seed: int = 0) -> list[Claim]:
    """Gradient descent on random quadratics against |theta_t - theta*|^2 <= (1 - eta mu)^t |theta_0 - theta*|^2.

    The papers allow every step size in (0, 2/L). The proof that they cite needs eta <= 2/(mu + L). The squared error's
    factor is max((1 - eta mu)^2, (eta L - 1)^2), so the printed bound holds up to (2 L - mu)/L^2 and fails beyond.
    """
    rng = np.random.default_rng([seed, 2])
    inside = sum(_violates(rng, within=True) for _ in range(QUADRATICS))
    outside = sum(_violates(rng, within=False) for _ in range(QUADRATICS))
    # The squared error in the direction of the largest curvature, and the printed bound, for mu=1, L=10, eta=0.199.
    error, bound = (1.0 - 0.199 * 10.0) ** (2 * STEPS), (1.0 - 0.199 * 1.0) ** STEPS
    inner = f"Theorem 2 violated, eta in (0, 2/(mu+L)], {QUADRATICS} quadratics x {STEPS} steps"
    outer = "Theorem 2 violated from the worst start, eta in ((2L-mu)/L^2, 2/L), where it is still claimed"
    example = f"error over bound after {STEPS} steps, mu=1, L=10, eta=0.199"
    return [
        Claim(inner, str(inside), "0", inside == 0),
        Claim(outer, f"{outside} of {QUADRATICS}", "all", outside == QUADRATICS),
        Claim(example, f"{error / bound:.3g}", "above 1", error > bound),
    ]


def _violates(rng: np.random.Generator, *, within: bool) -> bool:
    dimension = int(rng.integers(2, 8))
    mu = float(rng.uniform(0.1, 5.0))
    largest = mu * float(rng.uniform(1.1, 50.0))
    curvature = np.concatenate([[mu, largest], rng.uniform(mu, largest, dimension - 2)])
    if within:
        eta, start = float(rng.uniform(0.0, 2.0 / (mu + largest))), rng.normal(size=dimension)
    else:  # the worst start: along the largest curvature
        edge = (2.0 * largest - mu) / largest**2
        eta, start = edge + (2.0 / largest - edge) * float(rng.uniform(0.05, 0.95)), np.eye(dimension)[1]
    errors = (start * (1.0 - eta * curvature) ** np.arange(STEPS + 1)[:, None]) ** 2
    # Both sides are computed as products; their rounding errors are a few ulps.
    bound = (1.0 - eta * mu) ** np.arange(STEPS + 1) * float((start**2).sum())
    return bool((errors.sum(1) > bound * (1.0 + 1e-12)).any())
