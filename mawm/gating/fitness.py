"""The fitness of explorers (A Algorithm 1, line 4): F = diversity - b * distance."""

import numpy as np
from numpy.typing import NDArray

from mawm.gating.policy import Logits

Vector = NDArray[np.float64]


def diversity(log_probs: Logits) -> Vector:
    """Mean Jensen-Shannon divergence (P,) in nats between each policy and the generation's mixture, over R rows.

    log_probs (P, R, A). The papers do not define diversity; this one measures how much a candidate differs from its
    generation, in [0, log 2]. It falls as the search converges, because candidates become alike. Then the floor of the
    search's standard deviation, not the fitness, keeps explorers different.
    """
    probs = np.exp(log_probs)
    mixture = probs.mean(0)
    middle = 0.5 * (probs + mixture)
    divergences: Vector = 0.5 * (_kl(probs, middle) + _kl(np.broadcast_to(mixture, probs.shape), middle))
    return np.asarray(divergences.mean(-1))


def distance(log_probs: Logits, primary: Logits) -> Vector:
    """Mean divergence KL(pi_psi || pi_phi) (P,) in nats over R rows; log_probs (P, R, A), primary (R, A).

    pi_phi is mixed with 1 % of the uniform policy, so that an action with probability 0 has a finite cost.
    """
    allowed = np.isfinite(primary)
    uniform = allowed / allowed.sum(-1, keepdims=True)
    mixed = 0.99 * np.exp(primary) + 0.01 * uniform
    probs = np.exp(log_probs)
    return np.asarray(_kl(probs, np.broadcast_to(mixed, probs.shape)).mean(-1))


def _kl(p: Logits, q: Logits) -> Logits:
    """KL(p || q) along the last axis, 0 log 0 = 0."""
    ratio = np.log(np.where(p > 0.0, p, 1.0)) - np.log(np.where(p > 0.0, q, 1.0))
    out: Logits = (p * ratio).sum(-1)
    return out
