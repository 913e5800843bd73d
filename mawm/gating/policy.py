"""The explorers' policies: few parameters, no memory, for any environment."""

import numpy as np
from numpy.typing import NDArray

from mawm.types import Bools, Floats, Spaces

FEATURES = 16
"""Number of fixed random features of an observation."""

Logits = NDArray[np.float64]


class ExplorerPolicy:
    """pi_psi(a | o) = softmax(phi(o) W_psi), W_psi = sum_k psi_k B_k: d weights of fixed random directions.

    phi (16 tanh features of a random projection) and the directions B_k are drawn once from their own generator. Only
    psi is searched. With d = 16 a generation of 100 samples can distinguish directions. A plain linear policy has
    hundreds of weights, which is too many for such a generation.
    """

    def __init__(self, spaces: Spaces, dimension: int, rng: np.random.Generator) -> None:
        self.projection = rng.normal(size=(spaces.obs_size, FEATURES)) / np.sqrt(max(1, spaces.obs_size))
        self.shift = rng.normal(size=FEATURES)
        self.directions = rng.normal(size=(dimension, FEATURES, spaces.n_actions)) / np.sqrt(FEATURES)

    def logits(self, psi: NDArray[np.float64], obs: Floats, avail: Bools) -> Logits:
        """Masked logits (P, R, A) of P policies psi (P, d) at observations (R, O) with masks (R, A).

        With observations (P, R, O) and masks (P, R, A) each policy has its own rows.
        """
        weights = np.tensordot(psi, self.directions, 1)
        features = np.tanh(obs.astype(np.float64) @ self.projection + self.shift)
        return np.where(avail, features @ weights, -np.inf)

    def arrays(self, psi: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Policies psi (P, d) as arrays: softmax(tanh(o projection + shift) weights[p]), weights (P, 16, A)."""
        return {
            "projection": self.projection.copy(),
            "shift": self.shift.copy(),
            "weights": np.tensordot(psi, self.directions, 1),
        }


def log_softmax(logits: Logits) -> Logits:
    """Log-probabilities along the last axis; -inf where an action is not available."""
    shifted = logits - logits.max(-1, keepdims=True)
    out: Logits = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return out
