"""The posterior's recurrence over sequences, with a gradient that is written by hand.

`dense.observe` computes the same with autograd; they agree to 1e-12 in float64 (tests/test_nets.py). Autograd would
record thirty nodes per step, and each costs more than its arithmetic at the default sizes.
"""

from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from mawm.agents.categorical import draws, mixed_probs, softmax, softmax_grad
from mawm.agents.matmul import Factor, matmul
from mawm.agents.nets import RowSums, gather_grad, stoch_grad


class Weights(NamedTuple):
    """Weights of a step. Gates are in the order reset, update, candidate.

    rows (G C + A, 3 D): for onehot(z), then onehot(a). gates (3 D, D), gates_bias (3 D,): for h. Posterior: hidden (H,
    D), of its hidden layer for h; out (G C, H), out_bias (G C,), of its logits.
    """

    rows: Tensor
    gates: Tensor
    gates_bias: Tensor
    hidden: Tensor
    out: Tensor
    out_bias: Tensor


class RecurrenceInputs(NamedTuple):
    """Inputs that are known before the loop: prev_action, reset (T, B), noise (T, B, G), classes C, unimix."""

    prev_action: Tensor
    reset: Tensor
    noise: Tensor
    classes: int
    unimix: float


class Tape(NamedTuple):
    """The values of all steps (T, B, ...), stored for the gradient.

    rows: indices into `Weights.rows` of z_{t-1} and a_{t-1}; kept: h_{t-1}, or zero after a reset; inner: W h + b of
    all gates; gates: reset and update; candidate; deter: h_t; hidden: the posterior's hidden layer; logits of q(z|h,o);
    stoch: z_t.
    """

    rows: Tensor
    kept: Tensor
    inner: Tensor
    gates: Tensor
    candidate: Tensor
    deter: Tensor
    hidden: Tensor
    logits: Tensor
    stoch: Tensor


def _blank(given: RecurrenceInputs, embedded: Tensor, w: Weights) -> Tape:
    """A tape with the values that are known before the loop: biases, embedded observations, rows of z = 0 and actions.

    After a reset the row indices are `len(w.rows)`, that of an additional row of zeros.
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
        logits=w.out_bias.expand(*shape, -1).clone(),
        stoch=given.prev_action.new_empty(*shape, groups),
    )


def observed(given: RecurrenceInputs, embedded: Tensor, w: Weights) -> Tape:
    """All steps of h_t = f(h_{t-1}, z_{t-1}, a_{t-1}), z_t ~ q(z|h_t, o_t); `embedded` (T, B, H) is q's input from o.

    f is the gated recurrent unit (Cho et al. 2014). The first index must be a reset.
    """
    tape, d = _blank(given, embedded, w), w.gates.shape[1]
    pick, gates_of = RowSums(functional.pad(w.rows, (0, 0, 0, 1)), len(embedded[0])), Factor(w.gates.t())
    hidden_of, logits_of = Factor(w.hidden.t()), Factor(w.out.t())
    draw = draws(given.noise, given.classes, given.unimix)
    keep = (~given.reset).unsqueeze(-1)
    keep_deter, keep_stoch = keep.to(embedded.dtype).unbind(0), keep.long().unbind(0)
    steps = [Tape(*parts) for parts in zip(*(x.unbind(0) for x in tape), strict=True)]
    # Views are created once for all steps, because creating one costs as much as the arithmetic on it.
    inner, inner_candidate = (x.unbind(0) for x in tape.inner.split((2 * d, d), -1))
    reset, update = (x.unbind(0) for x in tape.gates.chunk(2, -1))
    z_rows, grouped = tape.rows[..., :-1].unbind(0), tape.logits.unflatten(-1, (-1, given.classes)).unbind(0)
    for t, now in enumerate(steps):
        if t > 0:
            torch.mul(steps[t - 1].deter, keep_deter[t], out=now.kept)
            z_rows[t].addcmul_(steps[t - 1].stoch, keep_stoch[t])
        outer, outer_candidate = pick(now.rows).split((2 * d, d), 1)
        gates_of.add_product(now.inner, now.kept)
        torch.add(outer, inner[t], out=now.gates).sigmoid_()
        torch.addcmul(outer_candidate, reset[t], inner_candidate[t], out=now.candidate).tanh_()
        torch.lerp(now.candidate, now.kept, update[t], out=now.deter)
        hidden_of.add_product(now.hidden, now.deter).relu_()
        logits_of.add_product(now.logits, now.hidden)
        draw(t, grouped[t], now.stoch)
    return tape


class Gradients(NamedTuple):
    """Gradients of the loss with respect to h_t and to a step's pre-activations, (T, B, ...).

    gates (6, D): the three inputs from z and a, then the three from h; all are 0 after a reset. hidden (H,): of the
    hidden layer. logits (G, C).
    """

    deter: Tensor
    gates: Tensor
    hidden: Tensor
    logits: Tensor


def _slopes(tape: Tape) -> Tensor:
    """Derivatives (T, B, 7, D) of h_t with respect to its gates' inputs from z and a (3), from h (3), and h_{t-1} (1).

    Gates are elementwise, so dL/d(input) = dL/dh_t * slope. The last derivative is the direct one, without the path
    through the gates.
    """
    reset, update = tape.gates.chunk(2, -1)
    candidate = (1.0 - update) * (1.0 - tape.candidate.square())
    at_reset = candidate * tape.inner.chunk(3, -1)[2] * reset * (1.0 - reset)
    at_update = (tape.kept - tape.candidate) * update * (1.0 - update)
    return torch.stack([at_reset, at_update, candidate, at_reset, at_update, candidate * reset, update], 2)


def through_time(
    given: RecurrenceInputs, tape: Tape, w: Weights, slopes: Tensor, grad_deter: Tensor, grad_probs: Tensor
) -> Gradients:
    """Backpropagation through time, from dL/dh (T, B, D) and dL/dq (T, B, G, C).

    The gradient of z goes straight through to q. `slopes` are zero after a reset.
    """
    share, probs = 1.0 - given.unimix, softmax(tape.logits.unflatten(-1, (-1, given.classes)))
    grad_probs = grad_probs * share if given.unimix else grad_probs.contiguous()
    active = (tape.hidden > 0).to(tape.hidden.dtype)
    grads = Gradients(
        grad_deter.clone(), torch.empty_like(slopes[:, :, :6]), torch.empty_like(tape.hidden), torch.empty_like(probs)
    )
    to_probs, to_deter = Factor(w.rows[: tape.logits.shape[-1]].t() * share), Factor(w.gates)
    from_hidden, from_logits = Factor(w.hidden), Factor(w.out)
    steps = [Gradients(*parts) for parts in zip(*(x.unbind(0) for x in grads), strict=True)]
    # Views are created once for all steps, as in `observed`.
    at_probs, at_logits = grad_probs.flatten(2).unbind(0), grads.logits.flatten(2).unbind(0)
    outer, inner = (x.flatten(2).unbind(0) for x in grads.gates.split(3, 2))
    slope, kept, at_deter = slopes[:, :, :6].unbind(0), slopes[:, :, 6].unbind(0), grads.deter.unsqueeze(2).unbind(0)
    for t in range(len(steps) - 1, -1, -1):
        now = steps[t]
        if t + 1 < len(steps):
            to_probs.add_product(at_probs[t], outer[t + 1])
        softmax_grad(probs[t], grad_probs[t], now.logits)
        from_logits.product(at_logits[t], now.hidden).mul_(active[t])
        from_hidden.add_product(now.deter, now.hidden)
        torch.mul(at_deter[t], slope[t], out=now.gates)
        if t > 0:
            to_deter.add_product(steps[t - 1].deter.addcmul_(now.deter, kept[t]), inner[t])
    return grads


class Observe(torch.autograd.Function):
    """h, z and q of sequences, from `RecurrenceInputs`, embedded observations (T, B, H) and `Weights`."""

    @staticmethod
    def forward(ctx: Any, given: RecurrenceInputs, embedded: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The states: deter (T, B, D), stoch (T, B, G), probs (T, B, G, C)."""
        tape = observed(given, embedded, Weights(*weights))
        ctx.given = given
        ctx.save_for_backward(*tape, *weights)
        ctx.mark_non_differentiable(tape.stoch)
        return tape.deter, tape.stoch, mixed_probs(tape.logits.unflatten(-1, (-1, given.classes)), given.unimix)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of `forward`'s arguments. That of each weight is one product over all steps."""
        saved, given = ctx.saved_tensors, ctx.given
        tape, w = Tape(*saved[: len(Tape._fields)]), Weights(*saved[len(Tape._fields) :])
        slopes = _slopes(tape)
        known = slopes.masked_fill(given.reset[..., None, None], 0.0)
        grad = through_time(given, tape, w, known, grads[0], grads[2])
        rows, kept, deter, hidden = (x.flatten(0, 1) for x in (tape.rows, tape.kept, tape.deter, tape.hidden))
        outer, inner = (rearrange(x, "t b gate d -> (t b) (gate d)") for x in grad.gates.split(3, 2))
        # The previous z of a reset belongs to another step, but its gradient is zero.
        stoch = tape.stoch.roll(1, 0).flatten(0, 1)
        at_stoch = stoch_grad(stoch, given.classes, outer)
        actions = rows[:, -1:]
        at_hidden, logits = grad.hidden.flatten(0, 1), rearrange(grad.logits, "t b g c -> (t b) (g c)")
        return (
            None,
            grad.hidden,
            torch.cat([at_stoch, gather_grad(actions, outer, len(w.rows) + 1)[len(at_stoch) : -1]]),
            matmul(inner.t(), kept),
            # The bias also acts after a reset, so its gradient uses the unmasked slopes.
            (grad.deter.unsqueeze(2) * slopes[:, :, 3:6]).sum((0, 1)).flatten(),
            matmul(at_hidden.t(), deter),
            matmul(logits.t(), hidden),
            logits.sum(0),
        )
