"""Two estimators of information from observations.

Both average log p(o) - log of a mixture's p(o) over M observations, with K mixture members. Estimates may be negative;
they are not clamped, because clamping would bias a mean of zero. If the mixture does not contain the observation's own
member, the bias is of order 1/K; if it does, the estimate is at most log(K + 1).
"""

import math

import torch
from torch import Tensor


def policy_mi(own: Tensor, others: Tensor) -> Tensor:
    """A Eq. 7 as printed: (1/M) sum_j [log p_theta(o_j | pi_phi) - log (1/K) sum_k p_theta(o_j | pi_k)].

    own (M,): log-densities in nats of observations under the policy that produced them; others (M, K): under the
    policies of a population. With a fixed theta this estimates KL(p_theta(o | pi_phi) || E_k p_theta(o | pi_k)), not
    information about theta. Returns a scalar. ValueError for inconsistent shapes.
    """
    return gaps(own, others).mean()


def param_ig(own: Tensor, others: Tensor) -> Tensor:
    """I(theta; o) under one policy: (1/M) sum_j [log p_theta_j(o_j) - log (1/K) sum_k p_theta_jk(o_j)].

    own (M,): log-densities in nats of observations under the parameters that produced them; others (M, K): under K
    other parameters, which should be drawn anew for each observation: with the same K parameters for all, the variance
    stays of order 1/K for any M. With a single theta the estimate is 0. Returns a scalar. ValueError for inconsistent
    shapes.
    """
    return gaps(own, others).mean()


def gaps(own: Tensor, others: Tensor) -> Tensor:
    """The terms (M,) of both sums, one for each observation; shapes as above."""
    if own.dim() != 1 or others.dim() != 2 or len(own) != len(others) or not others.shape[1]:
        raise ValueError(f"expected (M,) and (M, K) log-densities; got {tuple(own.shape)} and {tuple(others.shape)}")
    return own - (torch.logsumexp(others, 1) - math.log(others.shape[1]))
