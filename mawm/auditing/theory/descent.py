"""Theorem 2 of A and G on quadratics: where the linear rate holds, and where it does not."""

import numpy as np

from mawm.auditing.theory.claim import Claim

STEPS = 39
QUADRATICS = 2000


def check_descent(seed: int = 0) -> list[Claim]:
    """Gradient descent on random quadratics against |theta_t - theta*|^2 <= (1 - eta mu)^t |theta_0 - theta*|^2.

    The papers allow every step size in (0, 2/L). The proof that they cite needs eta <= 2/(mu + L); the printed bound
    holds up to (2 L - mu)/L^2 and fails beyond, because the squared error's factor is max((1 - eta mu)^2,
    (eta L - 1)^2).
    """
    rng = np.random.default_rng([seed, 2])
    inside = sum(_violates(rng, within=True) for _ in range(QUADRATICS))
    outside = sum(_violates(rng, within=False) for _ in range(QUADRATICS))
    error, bound = _worst(1.0, 10.0, 0.199)
    return [
        Claim(
            f"Theorem 2 violated, eta in (0, 2/(mu+L)], {QUADRATICS} quadratics x {STEPS} steps",
            str(inside),
            "0",
            inside == 0,
        ),
        Claim(
            "Theorem 2 violated from the worst start, eta in ((2L-mu)/L^2, 2/L), where it is still claimed",
            f"{outside} of {QUADRATICS}",
            "all",
            outside == QUADRATICS,
        ),
        Claim(
            f"error over bound after {STEPS} steps, mu=1, L=10, eta=0.199",
            f"{error / bound:.3g}",
            "above 1",
            error > bound,
        ),
    ]


def _violates(rng: np.random.Generator, *, within: bool) -> bool:
    dimension = int(rng.integers(2, 8))
    mu = float(rng.uniform(0.1, 5.0))
    largest = mu * float(rng.uniform(1.1, 50.0))
    curvature = np.concatenate([[mu, largest], rng.uniform(mu, largest, dimension - 2)])
    if within:
        eta, start = float(rng.uniform(0.0, 2.0 / (mu + largest))), rng.normal(size=dimension)
    else:  # from the start that the bound says nothing good of: along the largest curvature
        edge = (2.0 * largest - mu) / largest**2
        eta, start = edge + (2.0 / largest - edge) * float(rng.uniform(0.05, 0.95)), np.eye(dimension)[1]
    errors = (start * (1.0 - eta * curvature) ** np.arange(STEPS + 1)[:, None]) ** 2
    # ExplorerHook the product of both, rounding of each: a few ulps of what is compared.
    bound = (1.0 - eta * mu) ** np.arange(STEPS + 1) * float((start**2).sum())
    return bool((errors.sum(1) > bound * (1.0 + 1e-12)).any())


def _worst(mu: float, largest: float, eta: float) -> tuple[float, float]:
    """Squared error in the direction of the largest curvature, and the printed bound."""
    return (1.0 - eta * largest) ** (2 * STEPS), (1.0 - eta * mu) ** STEPS
