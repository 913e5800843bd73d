"""How much observations tell: two estimates of one form, under their true names.

Both average log p(o) - log of a mixture's p(o) over M observations and K mixture members. Both may come out negative,
and neither is clamped: clamping would bias what is zero on average. A mixture of K members that the observation's own
member is not part of has a bias of order 1/K; one that it is part of cannot tell more than log(K + 1).
"""

import math

import torch
from torch import Tensor


def policy_mi(own: Tensor, others: Tensor) -> Tensor:
    """A Eq. 7 as printed: (1/M) sum_j [log p_theta(o_j | pi_phi) - log (1/K) sum_k p_theta(o_j | pi_k)].

    own (M,): log-densities in nats of observations under the policy that made them; others (M, K): under the policies
    of a population. One theta throughout: this measures how far the observations of pi_phi lie from the population's,
    KL(p_theta(o | pi_phi) || E_k p_theta(o | pi_k)), and not what they tell of theta. Returns a scalar. ValueError for
    shapes that do not belong together.
    """
    return gaps(own, others).mean()


def param_ig(own: Tensor, others: Tensor) -> Tensor:
    """I(theta; o) under one policy: (1/M) sum_j [log p_theta_j(o_j) - log (1/K) sum_k p_theta_jk(o_j)].

    own (M,): log-densities in nats of observations under the parameters that made them; others (M, K): under K other
    parameters, **fresh** for every observation: with the same K for all the variance does not fall below the order of
    1/K however large M is. With a single theta there is nothing to tell, and the estimate is 0. Returns a scalar.
    ValueError for shapes that do not belong together.
    """
    return gaps(own, others).mean()


def gaps(own: Tensor, others: Tensor) -> Tensor:
    """The terms (M,) of both sums, one an observation; shapes as above."""
    if own.dim() != 1 or others.dim() != 2 or len(own) != len(others) or not others.shape[1]:
        raise ValueError(f"expected (M,) and (M, K) log-densities; got {tuple(own.shape)} and {tuple(others.shape)}")
    return own - (torch.logsumexp(others, 1) - math.log(others.shape[1]))
