"""Categorical latents and actions, with the randomness given from outside as uniform numbers."""

import torch
from torch import Tensor

LEAST = 1e-8
"""The smallest probability that a KL tells from zero; a unimix leaves more than that."""


def mixed_probs(logits: Tensor, unimix: float) -> Tensor:
    """Probabilities of categorical latents (..., G, C) with a share `unimix` of the uniform distribution."""
    return torch.softmax(logits, -1) * (1.0 - unimix) + unimix / logits.shape[-1]


def sample(probs: Tensor, uniform: Tensor) -> Tensor:
    """Class indices (...) of probabilities (..., C) by inverse CDF: how many classes have a CDF below `uniform`.

    A class of probability zero is never drawn (its CDF step is empty). Ten times cheaper than a Gumbel draw, and a
    single uniform number per variable, so the noise can be drawn by its owner and passed in.
    """
    cdf = probs.cumsum(-1)
    # Rounding may leave the last value below one: scale the draw so that it always falls inside.
    draw = uniform.unsqueeze(-1) * cdf[..., -1:]
    return torch.searchsorted(cdf, draw, right=True).squeeze(-1).clamp_(max=probs.shape[-1] - 1)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p, q) in nats of independent categorical variables: probabilities (..., G, C) give (...).

    Probabilities below `LEAST` count as that in the logarithms: without unimix some are zero.
    """
    return (p * (p.clamp_min(LEAST).log() - q.clamp_min(LEAST).log())).sum((-2, -1))


def masked_logits(logits: Tensor, avail: Tensor) -> Tensor:
    """Logits with no probability at all on unavailable actions (exp underflows to exactly zero)."""
    return torch.where(avail, logits, -1e9)
