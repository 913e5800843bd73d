"""Fast products and the flat optimiser equal the plain computation they replace, in float64."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mawm.agents import dense
from mawm.agents.categorical import Draw, DrawTransposed, balanced_kl, log_softmax, mixed_probs, sample, softmax
from mawm.agents.config import WorldModelConfig
from mawm.agents.fixed_heads import fixed
from mawm.agents.matmul import Factor, linear, matmul, relu_affine, set_precision
from mawm.agents.nets import FeatureLinear, Linear, Mlp, StochLinear, gather_grad, stoch_grad
from mawm.agents.optimiser import Optimiser
from mawm.agents.rssm import Latent, Rssm


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_gathered_product_equals_the_dense_one_hot_product_and_its_straight_through_gradients():
    layer = StochLinear(3, 4, 5, generator())
    rng = np.random.default_rng(1)
    index = torch.from_numpy(rng.integers(0, 4, (2, 7, 3)))
    probs = torch.softmax(torch.from_numpy(rng.normal(size=(2, 7, 3, 4))), -1).requires_grad_()
    out = layer(index, probs)
    seed = torch.from_numpy(rng.normal(size=out.shape))
    out.backward(seed)
    fast = (layer.weight.grad.clone(), probs.grad.clone())
    layer.weight.grad, probs.grad = None, None
    onehot = functional.one_hot(index, 4).double() + probs - probs.detach()
    dense = onehot.flatten(-2) @ layer.weight
    dense.backward(seed)
    assert torch.allclose(out, dense, atol=1e-12)
    assert torch.allclose(fast[0], layer.weight.grad, atol=1e-12)
    assert torch.allclose(fast[1], probs.grad, atol=1e-12)


def test_observe_with_a_gradient_by_hand_equals_the_plain_formulas():
    config = WorldModelConfig(deter=6, groups=3, classes=4, hidden=7)
    rssm = Rssm(5, 4, config, generator())
    rng = np.random.default_rng(2)
    obs = torch.from_numpy(rng.normal(size=(6, 3, 5)))
    action = torch.from_numpy(rng.integers(0, 4, (6, 3)))
    reset = torch.from_numpy(rng.random((6, 3)) < 0.3)
    reset[0] = True
    noise = torch.from_numpy(rng.random((6, 3, 3)))
    weights = [torch.from_numpy(rng.normal(size=s)) for s in ((6, 3, 6), (6, 3, 3, 4))]

    def gradients(deter, probs):
        rssm.zero_grad()
        ((deter * weights[0]).sum() + (probs * weights[1]).sum()).backward()
        return {n: p.grad.clone() for n, p in rssm.named_parameters() if p.grad is not None}

    post = rssm.observe(obs, action, reset, noise)
    fast = gradients(post.deter, post.probs)
    with dense.formulas():
        deter, stoch, probs = rssm.observe(obs, action, reset, noise)
    plain = gradients(deter, probs)
    assert torch.equal(post.stoch, stoch)
    assert torch.allclose(post.deter, deter, atol=1e-12)
    assert fast.keys() == plain.keys()
    for name, value in plain.items():
        assert torch.allclose(fast[name], value, atol=1e-10), name
        assert value.abs().max() > 0, name


@pytest.mark.parametrize("kind", [Draw, DrawTransposed])
@pytest.mark.parametrize("unimix", [0.0, 0.1])
@pytest.mark.parametrize("classes", [4, 7, 32])
def test_classes_sampled_from_logits_equal_those_from_mixed_probabilities(
    classes: int, unimix: float, kind: type[Draw] | type[DrawTransposed]
) -> None:
    rng = np.random.default_rng(4)
    logits = torch.from_numpy(rng.normal(scale=3.0, size=(5, 200, 3, classes)))
    noise = torch.from_numpy(rng.random((5, 200, 3)))
    draw = Draw(noise, classes, unimix) if kind is Draw else DrawTransposed(noise.flatten(1), classes, unimix)
    found = torch.empty(5, 200, 3, dtype=torch.long)
    for t in range(5):
        draw(t, logits[t], found[t])
    assert torch.equal(found, sample(mixed_probs(logits, unimix), noise))
    assert set(found.unique().tolist()) == set(range(classes))


@pytest.mark.parametrize("classes", [4, 32])
def test_softmax_and_its_gradient_equal_torch(classes: int) -> None:
    draw = generator()
    logits = (torch.randn(7, 3, classes, generator=draw) * 50.0).requires_grad_()
    seed = torch.randn(7, 3, classes, generator=draw)
    pairs = (softmax(logits), torch.softmax(logits, -1)), (log_softmax(logits), torch.log_softmax(logits, -1))
    for fast, plain in pairs:
        assert torch.allclose(fast, plain, atol=1e-14)
        grads = (torch.autograd.grad(out, logits, seed)[0] for out in (fast, plain))
        assert torch.allclose(*grads, atol=1e-14)


def test_kl_gradients_equal_autograd() -> None:
    draw = generator()
    p, q = (torch.softmax(torch.randn(5, 3, 4, generator=draw), -1).requires_grad_() for _ in range(2))
    seeds = torch.randn(2, 5, generator=draw)

    def divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        return (p * (p.log() - q.log())).sum((-2, -1))

    fast, plain = balanced_kl(p, q), (divergence(p.detach(), q), divergence(p, q.detach()))
    for a, b in zip(fast, plain, strict=True):
        assert torch.allclose(a, b, atol=1e-14)
    grads = (torch.autograd.grad(out, (p, q), list(seeds)) for out in (fast, plain))
    for a, b in zip(*grads, strict=True):
        assert torch.allclose(a, b, atol=1e-13) and b.abs().max() > 0


@pytest.mark.parametrize("layers", [1, 2])
def test_latent_mlp_gradients_equal_autograd(layers: int) -> None:
    """Straight through to the probabilities, and to every weight."""
    draw, rng = generator(), np.random.default_rng(5)
    first, tail = FeatureLinear(6, 3, 4, 7, draw), Mlp([7] * layers + [5], draw)
    index = torch.from_numpy(rng.integers(0, 4, (2, 9, 3)))
    deter = torch.from_numpy(rng.normal(size=(2, 9, 6))).requires_grad_()
    probs = torch.softmax(torch.from_numpy(rng.normal(size=(2, 9, 3, 4))), -1).requires_grad_()
    inputs = [deter, probs, *first.parameters(), *tail.parameters()]
    onehot = (functional.one_hot(index, 4).double() + probs - probs.detach()).flatten(-2)
    plain = functional.linear(deter, first.deter.weight, first.deter.bias) + onehot @ first.stoch.weight
    for layer in tail.layers:
        plain = functional.linear(plain.relu(), layer.weight, layer.bias)
    fast = tail(first(deter, index, probs))
    seed = torch.from_numpy(rng.normal(size=plain.shape))
    assert torch.allclose(fast, plain, atol=1e-12)
    for a, b in zip(torch.autograd.grad(fast, inputs, seed), torch.autograd.grad(plain, inputs, seed), strict=True):
        assert torch.allclose(a, b, atol=1e-12) and b.abs().max() > 0


@pytest.mark.parametrize("layers", [1, 2])
def test_fixed_heads_equal_their_networks(layers: int) -> None:
    """For all columns of the first product, and for the head of a part of them."""
    draw, rng = generator(), np.random.default_rng(7)
    first, tail = FeatureLinear(6, 3, 4, 14, draw), Mlp([7] * layers + [5], draw)
    torch.nn.init.normal_(first.deter.bias, generator=draw)
    stoch, deter = torch.from_numpy(rng.integers(0, 4, (9, 3))), torch.from_numpy(rng.normal(size=(9, 6)))
    with torch.no_grad():
        for columns in (slice(0, 7), slice(7, 14)):
            found = fixed(first, tail, 9, columns)(deter, first.stoch.rows(stoch))
            assert torch.allclose(found, tail(first(deter, stoch)[:, columns]), atol=1e-12)


def test_observe_states_only_equals_the_posterior() -> None:
    rssm, rng = (
        Rssm(5, 4, WorldModelConfig(deter=6, groups=3, classes=4, hidden=7), generator()),
        np.random.default_rng(8),
    )
    obs, noise = (torch.from_numpy(rng.random((6, 2, n))) for n in (5, 3))
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[0] = True
    given = obs, torch.from_numpy(rng.integers(0, 4, (6, 2))), reset, noise
    states, post = rssm.states(*given), rssm.observe(*given)
    assert torch.equal(states.deter, post.deter) and torch.equal(states.stoch, post.stoch)
    assert not states.deter.requires_grad


def test_prior_step_equals_the_plain_formula_for_any_leading_axes() -> None:
    """Recurrent states by dense one-hots, z by inverse CDF of the prior; the inputs stay as they were."""
    config = WorldModelConfig(deter=6, groups=3, classes=4, hidden=7)
    rssm, rng, d = Rssm(5, 4, config, generator()), np.random.default_rng(6), 6
    noise = torch.from_numpy(rng.random((2, 5, 9, 3)))
    deter = torch.from_numpy(rng.normal(size=(5, 9, d)))
    stoch, action = (torch.from_numpy(rng.integers(0, 4, shape)) for shape in ((5, 9, 3), (5, 9)))
    before = deter.clone()
    with torch.no_grad():
        found = rssm.transition(noise)(1, Latent(deter, stoch), action)
        x = functional.one_hot(stoch, 4).double().flatten(-2) @ rssm.stoch_in.weight + rssm.action_in[action]
        g = rssm.recurrent(deter)
        r, u = torch.sigmoid(x[..., :d] + g[..., :d]), torch.sigmoid(x[..., d : 2 * d] + g[..., d : 2 * d])
        expected = (1 - u) * torch.tanh(x[..., 2 * d :] + r * g[..., 2 * d :]) + u * deter
        drawn = sample(rssm.prior(expected), noise[1])
    assert torch.allclose(found.deter, expected, atol=1e-12)
    assert torch.equal(found.stoch, drawn) and torch.equal(deter, before)


def test_flat_optimiser_equals_adam_with_clipping_on_separate_tensors():
    layers = [nn.Sequential(Linear(4, 3, generator()), Linear(3, 2, generator(1))) for _ in range(2)]
    mine = Optimiser(layers[0], lr=0.01, clip=0.5)
    plain = torch.optim.Adam(layers[1].parameters(), lr=0.01, eps=1e-5)
    rng = np.random.default_rng(3)
    for _ in range(5):
        x = torch.from_numpy(rng.normal(size=(8, 4)))
        mine.step(layers[0](x).square().sum())
        plain.zero_grad()
        layers[1](x).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(layers[1].parameters(), 0.5)
        plain.step()
    for a, b in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-7)


def test_optimiser_step_does_not_import_the_torch_compiler():
    """It takes longer than torch itself, and every process of a run would pay it."""
    code = (
        "import sys, torch; from mawm.agents.optimiser import Optimiser; layer = torch.nn.Linear(2, 1); "
        "Optimiser(layer, 0.1, 1.0).step(layer(torch.ones(1, 2)).sum()); print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_optimiser_skips_and_counts_a_non_finite_gradient():
    layer = Linear(2, 1, generator())
    optimiser = Optimiser(layer, lr=0.1, clip=1.0)
    before = layer.weight.clone()
    optimiser.step(layer(torch.tensor([[float("nan"), 1.0]])).sum())
    assert torch.equal(layer.weight, before)
    assert optimiser.skipped == 1


def test_network_construction_leaves_the_global_generator_unchanged():
    before = torch.random.get_rng_state()
    Rssm(5, 4, WorldModelConfig(deter=6, groups=3, classes=4, hidden=7), generator())
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.fixture(params=["by torch", "here"])
def rounded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Products on bf16 factors, rounded by torch on a processor with AMX, by the package on others."""
    torch.set_default_dtype(torch.float32)
    if request.param == "here":
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", bool)
    elif not torch.cpu._is_amx_tile_supported():
        pytest.skip("this processor has no AMX")
    set_precision("bf16")
    yield
    set_precision("float32")


@pytest.mark.usefixtures("rounded")
def test_bf16_products_and_gradients_equal_those_of_rounded_factors() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(50, 30, generator=draw).requires_grad_()
    weight = torch.randn(20, 30, generator=draw).requires_grad_()
    bias, seed = torch.randn(20, generator=draw), torch.randn(50, 20, generator=draw)
    out = linear(x, weight, bias)
    out.backward(seed)
    assert x.grad is not None and weight.grad is not None
    exact = x.bfloat16().float() @ weight.bfloat16().float().t() + bias
    assert torch.allclose(out, exact, rtol=0.01, atol=0.05)
    assert torch.allclose(x.grad, seed.bfloat16().float() @ weight.bfloat16().float(), rtol=0.01, atol=0.05)
    assert torch.allclose(weight.grad, seed.bfloat16().float().t() @ x.bfloat16().float(), rtol=0.01, atol=0.05)
    factor = Factor(weight.detach().t())
    made = factor.product(x.detach(), torch.empty(50, 20))
    assert torch.allclose(made + bias, exact, rtol=0.01, atol=0.05)
    assert torch.allclose(factor.add_product(bias.expand(50, 20).clone(), x.detach()), made + bias)
    assert matmul(x, weight.t()).dtype == torch.float32
    set_precision("float32")
    assert not torch.equal(made, x @ weight.t())


@pytest.mark.usefixtures("rounded")
def test_bf16_latent_and_hidden_gradients_equal_those_of_rounded_factors() -> None:
    draw = torch.Generator().manual_seed(0)
    stoch = torch.randint(0, 4, (50, 3), generator=draw)
    grad = torch.randn(50, 20, generator=draw)
    additions = gather_grad(stoch + torch.arange(3) * 4, grad.bfloat16().float(), 12)
    assert torch.allclose(stoch_grad(stoch, 4, grad), additions, rtol=0.01, atol=0.05)
    x, weight, bias = (torch.randn(n, generator=draw).bfloat16() for n in ((50, 30), (20, 30), (20,)))
    exact = (x.float() @ weight.float().t() + bias.float()).relu()
    assert torch.allclose(relu_affine(x, weight, bias).float(), exact, rtol=0.01, atol=0.05)


@pytest.mark.usefixtures("rounded")
def test_bf16_fixed_heads_equal_their_networks() -> None:
    draw = torch.Generator().manual_seed(2)
    first, tail = FeatureLinear(60, 3, 4, 70, draw), Mlp([70, 70, 5], draw)
    torch.nn.init.normal_(first.deter.bias, generator=draw)
    stoch, deter = torch.randint(0, 4, (90, 3), generator=draw), torch.randn(90, 60, generator=draw)
    with torch.no_grad():
        found = fixed(first, tail, 90)(deter.bfloat16(), first.stoch.rows(stoch))
        assert torch.allclose(found, tail(first(deter, stoch)), rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("rounded")
def test_bf16_mlp_gradients_are_near_exact_gradients() -> None:
    draw = torch.Generator().manual_seed(1)
    first, tail = FeatureLinear(60, 3, 4, 70, draw), Mlp([70, 70, 5], draw)
    stoch, deter = torch.randint(0, 4, (90, 3), generator=draw), torch.randn(90, 60, generator=draw)
    seed, weights = torch.randn(90, 5, generator=draw), [*first.parameters(), *tail.parameters()]
    found = torch.autograd.grad(tail(first(deter, stoch)), weights, seed)
    set_precision("float32")
    exact = torch.autograd.grad(tail(first(deter, stoch)), weights, seed)
    for a, b in zip(found, exact, strict=True):
        assert a.dtype is torch.float32
        # A unit beside the kink of its rectifier is on in one and off in the other.
        assert float((a - b).norm() / b.norm()) < 0.1
