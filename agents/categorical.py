"""Categorical latents and actions. Callers pass the random numbers in as uniform noise."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mawm.agents import dense

LEAST = 1e-8
"""Smallest probability in a KL: smaller ones count as this. With a unimix all probabilities are larger."""
SHORT_ROW = 16
"""Rows with fewer classes than this do not use torch's softmax, which is five times slower there."""


def softmax_grad(probs: Tensor, grad: Tensor, out: Tensor) -> Tensor:
    """Write dL/dlogits = p (g - <g, p>) into `out`, for p = softmax(logits) and g = dL/dp, both (..., C)."""
    torch.mul(grad, probs, out=out)
    return out.addcmul_(probs, out.sum(-1, keepdim=True), value=-1.0)


class _Softmax(torch.autograd.Function):
    """softmax over short rows."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        odds = (logits - logits.amax(-1, keepdim=True)).exp_()
        probs = odds.div_(odds.sum(-1, keepdim=True))
        ctx.save_for_backward(probs)
        return probs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (probs,) = ctx.saved_tensors
        return softmax_grad(probs, grads[0], torch.empty_like(probs))


def softmax(logits: Tensor) -> Tensor:
    """Probabilities (..., C) of logits."""
    if logits.shape[-1] >= SHORT_ROW or dense.is_dense():
        return torch.softmax(logits, -1)
    probs: Tensor = _Softmax.apply(logits)  # type: ignore[no-untyped-call]
    return probs


class _LogSoftmax(torch.autograd.Function):
    """log softmax over short rows."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        shifted = logits - logits.amax(-1, keepdim=True)
        out = shifted.sub_(shifted.exp().sum(-1, keepdim=True).log_())
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (out,) = ctx.saved_tensors
        return grads[0].addcmul(out.exp(), grads[0].sum(-1, keepdim=True), value=-1.0)


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities (..., C) of logits."""
    if logits.shape[-1] >= SHORT_ROW or dense.is_dense():
        return torch.log_softmax(logits, -1)
    log_probs: Tensor = _LogSoftmax.apply(logits)  # type: ignore[no-untyped-call]
    return log_probs


def mixed_probs(logits: Tensor, unimix: float) -> Tensor:
    """Probabilities of categorical latents (..., G, C), mixed with a share `unimix` of the uniform distribution."""
    probs = softmax(logits)
    return probs * (1.0 - unimix) + unimix / logits.shape[-1] if unimix else probs


def sample(probs: Tensor, uniform: Tensor) -> Tensor:
    """Class indices (...) of probabilities (..., C) by the inverse CDF of the noise `uniform` (...).

    A class of probability zero is never drawn, because its CDF step is empty. It is ten times cheaper than a Gumbel
    draw and needs one uniform number per variable.
    """
    if dense.is_dense():
        return dense.draw(probs, uniform)
    cdf = probs.cumsum(-1)
    # Rounding may leave the last value of the CDF below one: scale the draw to it.
    draw = uniform.unsqueeze(-1) * cdf[..., -1:]
    return torch.searchsorted(cdf, draw, right=True).squeeze(-1).clamp_(max=probs.shape[-1] - 1)


class Draw:
    """`sample` of `mixed_probs`, computed from logits without the probabilities; noise (T, B, G) is drawn before.

    With e = exp(logits), S = sum e and unimix u, the CDF at class k is (1 - u) (e_0 + ... + e_k) / S + u (k + 1) / C;
    z is the number of classes with a CDF below the noise. Both sides are multiplied by S to avoid the division.
    """

    def __init__(self, noise: Tensor, classes: int, unimix: float) -> None:
        at = torch.arange(1, classes + 1, device=noise.device).to(noise.dtype)
        self.uniform = at * (unimix / classes)
        self.share = 1.0 - unimix
        self.noise = noise.unsqueeze(-1).unbind(0)
        self.last = classes - 1

    def __call__(self, t: int, logits: Tensor, out: Tensor) -> Tensor:
        """Write class indices (B, G) of logits (B, G, C) into `out`."""
        odds = (logits - logits.amax(-1, keepdim=True)).exp_()
        cdf = odds.cumsum(-1)
        total = cdf[..., -1:]
        ends = (total * self.uniform).add_(cdf, alpha=self.share)
        draw = self.noise[t] * ends[..., -1:]
        return torch.searchsorted(ends, draw, right=True, out=out.unsqueeze(-1)).clamp_(max=self.last)


class DrawByClass:
    """`Draw` for many variables: logits (C, N) have the class as first axis, so that each pass covers N numbers.

    The cumulative sum runs within blocks of classes, for all blocks at once, and then over the blocks: ten passes for
    32 classes.
    """

    def __init__(self, noise: Tensor, classes: int, unimix: float) -> None:
        self.noise = noise.unbind(0)
        self.share = 1.0 - unimix
        self.uniform = torch.arange(1, classes + 1, device=noise.device).to(noise.dtype).unsqueeze(1) * unimix / classes
        self.block = next(size for size in range(1, classes + 1) if classes % size == 0 and size * size >= classes)
        self.last = classes - 1

    def __call__(self, t: int, logits: Tensor) -> Tensor:
        """Class indices (N,) uint8 of logits (C, N), which are overwritten, with the noise (T, N) of step t."""
        blocks = logits.sub_(logits.amax(0)).exp_().view(-1, self.block, logits.shape[1])
        for below, end in pairwise(blocks.unbind(1)):
            end.add_(below)
        for before, block in pairwise(blocks.unbind(0)):
            block.add_(before[-1])
        if self.share < 1.0:
            total = logits[-1].clone()
            logits.mul_(self.share).addcmul_(self.uniform, total)
        passed = logits <= self.noise[t] * logits[-1]
        return passed.view(torch.uint8).sum(0, dtype=torch.uint8).clamp_(max=self.last)


class DrawTransposed(DrawByClass):
    """`DrawByClass` with the interface of `Draw`: the transposition costs less than it saves."""

    def __call__(self, t: int, logits: Tensor, out: Tensor) -> Tensor:  # type: ignore[override]
        """Write class indices (B, G) of logits (B, G, C) into `out`."""
        index = super().__call__(t, logits.flatten(0, 1).t().contiguous())
        return out.copy_(index.view_as(out))


MANY = 1 << 14
"""Number of probabilities in a step from which on `DrawTransposed` is faster than `Draw`."""


def draws(noise: Tensor, classes: int, unimix: float) -> "Draw | DrawTransposed":
    """The faster of the draws for noise (T, B, G)."""
    if noise[0].numel() * classes < MANY:
        return Draw(noise, classes, unimix)
    return DrawTransposed(noise.flatten(1), classes, unimix)


class _Divergences(torch.autograd.Function):
    """KL(p, q) twice, with the gradients d/dq = -p / q and d/dp = log p - log q + 1; p and q are at least `LEAST`."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        q = q.clamp_min(LEAST)
        apart = p.clamp_min(LEAST).log_().sub_(q.log())
        ctx.save_for_backward(p, q, apart)
        out = (p * apart).sum((-2, -1))
        return out, out.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        p, q, apart = ctx.saved_tensors
        of_q, of_p = (grad[..., None, None] for grad in grads)
        needs_p, needs_q = ctx.needs_input_grad
        return (apart + 1.0).mul_(of_p) if needs_p else None, (p / q).mul_(-of_q) if needs_q else None


def balanced_kl(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """KL(sg(p), q) and KL(p, sg(q)) (...) in nats of independent variables (..., G, C); sg stops the gradient.

    The logarithms replace probabilities below `LEAST` by `LEAST`, because without unimix some are zero.
    """
    if dense.is_dense():
        return dense.divergences(p, q, LEAST)
    dyn, rep = _Divergences.apply(p, q)  # type: ignore[no-untyped-call]
    return dyn, rep


def masked_logits(logits: Tensor, avail: Tensor) -> Tensor:
    """Logits that give unavailable actions probability zero (exp underflows to exactly zero)."""
    return torch.where(avail, logits, -1e9)
