"""The policies of explorers: few parameters, no memory, any environment."""

import numpy as np
from numpy.typing import NDArray

from mawm.types import Bools, Floats, Spaces

FEATURES = 16
"""Fixed random features of an observation that a policy sees."""

Logits = NDArray[np.float64]


class ExplorerPolicy:
    """pi_psi(a | o) = softmax(phi(o) W_psi), W_psi = sum_k psi_k B_k: d weights of fixed random directions.

    phi (16 tanh features of a random projection) and the directions B_k are drawn once, from a generator of their own;
    psi alone is searched for. With d = 16 a generation of 100 can tell directions apart, which it could not for the
    hundreds of weights of a plain linear policy.
    """

    def __init__(self, spaces: Spaces, dimension: int, rng: np.random.Generator) -> None:
        self.projection = rng.normal(size=(spaces.obs_size, FEATURES)) / np.sqrt(max(1, spaces.obs_size))
        self.shift = rng.normal(size=FEATURES)
        self.directions = rng.normal(size=(dimension, FEATURES, spaces.n_actions)) / np.sqrt(FEATURES)

    def logits(self, psi: NDArray[np.float64], obs: Floats, avail: Bools) -> Logits:
        """Masked logits (P, R, A) of P policies psi (P, d) at observations (R, O) with masks (R, A).

        With observations (P, R, O) and masks (P, R, A) each policy is asked about rows of its own.
        """
        weights = np.tensordot(psi, self.directions, 1)
        features = np.tanh(obs.astype(np.float64) @ self.projection + self.shift)
        return np.where(avail, features @ weights, -np.inf)

    def told(self, psi: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Policies psi (P, d) as arrays: softmax(tanh(o projection + shift) weights[p]), weights (P, 16, A)."""
        return {
            "projection": self.projection.copy(),
            "shift": self.shift.copy(),
            "weights": np.tensordot(psi, self.directions, 1),
        }


def log_softmax(logits: Logits) -> Logits:
    """Log-probabilities along the last axis; -inf where an action is not available."""
    top = logits - logits.max(-1, keepdims=True)
    out: Logits = top - np.log(np.exp(top).sum(-1, keepdims=True))
    return out
