"""What makes an explorer worth keeping (A Algorithm 1, line 4): F = diversity - b * distance."""

import numpy as np
from numpy.typing import NDArray

from mawm.gating.policy import Logits

Vector = NDArray[np.float64]


def diversity(log_probs: Logits) -> Vector:
    """Mean Jensen-Shannon divergence (P,) in nats between each policy and the generation's mixture, over R rows.

    log_probs (P, R, A). The papers leave diversity undefined; this is how far a candidate stands out of its generation,
    in [0, log 2]. A generation that follows its elite draws together, so that it falls as the search converges: the
    search's floor, not the fitness, is what keeps explorers apart in the end.
    """
    probs = np.exp(log_probs)
    mixture = probs.mean(0)
    middle = 0.5 * (probs + mixture)
    apart: Vector = 0.5 * (_divergence(probs, middle) + _divergence(np.broadcast_to(mixture, probs.shape), middle))
    return np.asarray(apart.mean(-1))


def distance(log_probs: Logits, primary: Logits) -> Vector:
    """Mean divergence KL(pi_psi || pi_phi) (P,) in nats over R rows; log_probs (P, R, A), primary (R, A).

    pi_phi is mixed with one per cent of chance, so that an action that it never takes costs a finite amount.
    """
    allowed = np.isfinite(primary)
    chance = allowed / allowed.sum(-1, keepdims=True)
    plausible = 0.99 * np.exp(primary) + 0.01 * chance
    probs = np.exp(log_probs)
    return np.asarray(_divergence(probs, np.broadcast_to(plausible, probs.shape)).mean(-1))


def _divergence(p: Logits, q: Logits) -> Logits:
    """KL(p || q) along the last axis, 0 log 0 = 0."""
    ratio = np.log(np.where(p > 0.0, p, 1.0)) - np.log(np.where(p > 0.0, q, 1.0))
    out: Logits = (p * ratio).sum(-1)
    return out
