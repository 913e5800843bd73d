"""The posterior's recurrence over whole stretches: one step of the rule, and the gradient of all steps by hand.

The same rule for autograd is `plain_observe` in tests/test_nets.py: they agree to 1e-12 in float64. Autograd would book
thirty nodes a step, each dearer than its arithmetic at the default sizes.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mawm.agents.categorical import sample, softmax_, softmax_grad
from mawm.agents.nets import gather_grad
from mawm.agents.products import Factor, matmul


class Weights(NamedTuple):
    """What a step multiplies by. Gates are in the order reset, update, candidate.

    rows (G C + A, 3 D): of onehot(z), then of onehot(a); gates (3 D, D), gates_bias (3 D,): of h; hidden (H, D): of h,
    for the posterior's hidden layer; out (G C, H), out_bias (G C,): its logits.
    """

    rows: Tensor
    gates: Tensor
    gates_bias: Tensor
    hidden: Tensor
    out: Tensor
    out_bias: Tensor


class Stretches(NamedTuple):
    """What is known before the loop: prev_action, reset (T, B), noise (T, B, G), classes C, the share unimix."""

    prev_action: Tensor
    reset: Tensor
    noise: Tensor
    classes: int
    unimix: float


class Tape(NamedTuple):
    """All that a step makes, (T, B, ...), kept for the gradient.

    rows: those of `Weights.rows` that z_{t-1} and a_{t-1} pick; kept: h_{t-1}, or zero after a reset; inner: W h + b of
    all gates; gates: reset and update; candidate; deter: h_t; hidden: the posterior's hidden layer; probs: q(z|h,o)
    before the uniform share is mixed in, mixed: after it; stoch: z_t.
    """

    rows: Tensor
    kept: Tensor
    inner: Tensor
    gates: Tensor
    candidate: Tensor
    deter: Tensor
    hidden: Tensor
    probs: Tensor
    mixed: Tensor
    stoch: Tensor

    def steps(self) -> list["Tape"]:
        """Views of each step."""
        return [Tape(*parts) for parts in zip(*(x.unbind(0) for x in self), strict=True)]


def _blank(given: Stretches, embedded: Tensor, w: Weights) -> Tape:
    """A tape with what is known beforehand: biases, embedded observations, the rows of z = 0 and of all actions.

    Where nothing is known of the past each row is `len(w.rows)`, past the last: a row of zeros.
    """
    shape, groups, deter = given.reset.shape, given.noise.shape[-1], w.gates.shape[1]
    zeros = torch.arange(groups, device=embedded.device) * given.classes
    rows = torch.cat([zeros.expand(*shape, -1), given.prev_action.unsqueeze(-1) + groups * given.classes], -1)
    rows.masked_fill_(given.reset.unsqueeze(-1), len(w.rows))
    return Tape(
        rows=rows,
        kept=embedded.new_zeros(*shape, deter),
        inner=w.gates_bias.expand(*shape, -1).clone(),
        gates=embedded.new_empty(*shape, 2 * deter),
        candidate=embedded.new_empty(*shape, deter),
        deter=embedded.new_empty(*shape, deter),
        hidden=embedded.clone(),
        probs=w.out_bias.expand(*shape, -1).unflatten(-1, (groups, given.classes)).clone(),
        mixed=embedded.new_empty(*shape, groups, given.classes),
        stoch=given.prev_action.new_empty(*shape, groups),
    )


def observed(given: Stretches, embedded: Tensor, w: Weights) -> Tape:
    """All steps of h_t = f(h_{t-1}, z_{t-1}, a_{t-1}), z_t ~ q(z|h_t, o_t); `embedded` (T, B, H) is what q reads of o.

    f is the gated recurrent unit (Cho et al. 2014). The first index must be a reset.
    """
    tape, d = _blank(given, embedded, w), w.gates.shape[1]
    rows = functional.pad(w.rows, (0, 0, 0, 1))
    gates_of, hidden_of, logits_of = Factor(w.gates.t()), Factor(w.hidden.t()), Factor(w.out.t())
    keep = (~given.reset).unsqueeze(-1)
    steps = list(zip(tape.steps(), given.noise.unbind(0), keep.to(embedded.dtype).unbind(0), keep.long(), strict=True))
    last: Tape | None = None
    for now, noise, kept, kept_rows in steps:
        if last is not None:
            torch.mul(last.deter, kept, out=now.kept)
            now.rows[:, :-1].addcmul_(last.stoch, kept_rows)
        outer = functional.embedding_bag(now.rows, rows, mode="sum")
        gates_of.add_product(now.inner, now.kept)
        torch.add(outer[:, : 2 * d], now.inner[:, : 2 * d], out=now.gates).sigmoid_()
        reset, update = now.gates.split(d, -1)
        torch.addcmul(outer[:, 2 * d :], reset, now.inner[:, 2 * d :], out=now.candidate).tanh_()
        torch.lerp(now.candidate, now.kept, update, out=now.deter)
        hidden_of.add_product(now.hidden, now.deter).relu_()
        logits_of.add_product(now.probs.flatten(1), now.hidden)
        softmax_(now.probs)
        torch.mul(now.probs, 1.0 - given.unimix, out=now.mixed).add_(given.unimix / given.classes)
        now.stoch.copy_(sample(now.mixed, noise))
        last = now
    return tape


class Gradients(NamedTuple):
    """dL/d of a step's pre-activations, (T, B, ...): gates as fed by z and a, and by h (3, D); hidden layer; logits."""

    outer: Tensor
    inner: Tensor
    hidden: Tensor
    logits: Tensor


def _slopes(given: Stretches, tape: Tape) -> tuple[Tensor, Tensor, Tensor]:
    """dh_t/d of the gates' pre-activations (T, B, 3, D), as fed by z and a (0 after a reset) and by h; dh_t/dh_{t-1}.

    Gates act on each unit by itself, so dL/d(pre-activation) = dL/dh_t * slope; the last one is without the part
    through the gates.
    """
    reset, update = tape.gates.chunk(2, -1)
    candidate = (1.0 - update) * (1.0 - tape.candidate.square())
    at_reset = candidate * tape.inner.chunk(3, -1)[2] * reset * (1.0 - reset)
    at_update = (tape.kept - tape.candidate) * update * (1.0 - update)
    outer = torch.stack([at_reset, at_update, candidate], 2)
    inner = torch.stack([at_reset, at_update, candidate * reset], 2)
    return outer.masked_fill_(given.reset[..., None, None], 0.0), inner, update


def backward_through_time(
    given: Stretches, tape: Tape, w: Weights, grad_deter: Tensor, grad_probs: Tensor
) -> Gradients:
    """From dL/dh (T, B, D) and dL/d(mixed probabilities) (T, B, G, C), which samples pass on straight through."""
    slopes_outer, slopes_inner, update = _slopes(given, tape)
    grads = Gradients(
        torch.empty_like(slopes_outer),
        torch.empty_like(slopes_inner),
        torch.empty_like(tape.hidden),
        torch.empty_like(tape.probs),
    )
    share = 1.0 - given.unimix
    stoch = tape.probs.shape[2] * given.classes
    to_probs, to_deter = Factor(w.rows[:stoch].t() * share), Factor(w.gates)
    from_hidden, from_logits = Factor(w.hidden), Factor(w.out)
    grad_probs, alive = grad_probs * share, (tape.hidden > 0).to(tape.hidden.dtype)
    keep = (~given.reset).to(tape.hidden.dtype).unsqueeze(-1)
    steps = [
        x.unbind(0)
        for x in (*grads, grad_probs, tape.probs, alive, grad_deter, slopes_outer, slopes_inner, update, keep)
    ]
    carry, later = torch.zeros_like(tape.kept[0]), None
    for outer, inner, hidden, logits, at_probs, probs, on, at_deter, slope_outer, slope_inner, kept_share, kept in zip(
        *(x[::-1] for x in steps), strict=True
    ):
        if later is not None:
            to_probs.add_product(at_probs.flatten(1), later.flatten(1))
        softmax_grad(probs, at_probs, logits)
        from_logits.product(logits.flatten(1), hidden).mul_(on)
        carry.add_(at_deter)
        deter = from_hidden.add_product(carry, hidden)
        torch.mul(deter.unsqueeze(1), slope_outer, out=outer)
        torch.mul(deter.unsqueeze(1), slope_inner, out=inner)
        carry = to_deter.add_product(deter * kept_share, inner.flatten(1)).mul_(kept)
        later = outer
    return grads


class Observe(torch.autograd.Function):
    """h, z and q's probabilities of stretches, from `Stretches`, embedded observations (T, B, H) and `Weights`."""

    @staticmethod
    def forward(ctx: Any, given: Stretches, embedded: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The states: deter (T, B, D), stoch (T, B, G), probs (T, B, G, C)."""
        tape = observed(given, embedded, Weights(*weights))
        ctx.given = given
        ctx.save_for_backward(*tape, *weights)
        ctx.mark_non_differentiable(tape.stoch)
        return tape.deter, tape.stoch, tape.mixed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Weights' gradients are one product each, over all steps at once."""
        saved = ctx.saved_tensors
        tape, w = Tape(*saved[: len(Tape._fields)]), Weights(*saved[len(Tape._fields) :])
        found = backward_through_time(ctx.given, tape, w, grads[0], grads[2])
        rows, kept, deter, hidden = (x.flatten(0, 1) for x in (tape.rows, tape.kept, tape.deter, tape.hidden))
        outer, inner, at_hidden, logits = (x.flatten(0, 1).flatten(1) for x in found)
        return (
            None,
            found.hidden,
            gather_grad(rows, outer, len(w.rows) + 1)[:-1],
            matmul(inner.t(), kept),
            inner.sum(0),
            matmul(at_hidden.t(), deter),
            matmul(logits.t(), hidden),
            logits.sum(0),
        )
