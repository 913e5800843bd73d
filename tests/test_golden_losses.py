"""The selector keeps its share on losses recorded in real runs (tests/golden/losses)."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mawm.agents.world_model import SCORES
from mawm.benchmarks.losses import record
from mawm.configs.presets import load_preset, merge
from mawm.configs.train import SharingConfig
from mawm.sharing.budgets import ShareBudget
from mawm.sharing.selectors import make_selector
from mawm.types import Bools, Ints

LOSSES = Path(__file__).parent / "golden/losses"
RUNS = ("2s_vs_1sc", "3m", "prizes")
KINDS = ("segments", "rollouts")
BANDWIDTH, SEQ_LEN = 0.05, 20
STRETCH, AFTER, EARLY = 3000, 200, 1500
"""Items of a stretch over which the share must hold, items before the first stretch, and items at the beginning."""


@dataclass(frozen=True)
class Decided:
    """What one sender offers and sends of a recorded stream, item by item."""

    arrivals: Ints
    offered: Bools
    sent: Bools
    sizes: Ints
    said: dict[str, float]


@cache
def decided(run: str, kind: str, rule: str = "adaptive") -> Decided:
    """Play a stream through a selector and a budget that are made as for a run with the default settings."""
    with np.load(LOSSES / f"{run}.npz") as data:
        losses = (data["losses"] if kind == "segments" else data["critic"][:, None]).astype(np.float64)
        arrivals = (data["arrivals"] if kind == "segments" else np.ones(len(losses))).astype(np.int64)
    window = SharingConfig().window if kind == "segments" else SharingConfig().rollout_window
    # On 3m a segment takes some 60 bytes and 130 for each arrival, a rollout 6231.
    sizes = 60 + 130 * arrivals if kind == "segments" else np.full(len(losses), 6231)
    items = window / SEQ_LEN if kind == "segments" else window
    budget = ShareBudget(BANDWIDTH, BANDWIDTH * items * int(sizes.max()))
    components = SCORES if kind == "segments" else ("critic",)
    selector = make_selector(rule, BANDWIDTH, components, window, np.random.default_rng(0))
    offered, sent = selector.propose(losses, arrivals, []), []
    for size, chosen in zip(sizes.tolist(), offered, strict=True):
        budget.produce(size)
        sent.append(bool(chosen) and budget.spend(size))
    return Decided(arrivals, offered, np.array(sent), sizes, selector.diagnostics())


def shares(of: NDArray[np.generic]) -> NDArray[np.float64]:
    """The share of every stretch of STRETCH items after the first AFTER items."""
    total = np.concatenate([[0], np.cumsum(of[AFTER:])])
    return (total[STRETCH:] - total[:-STRETCH]) / STRETCH


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("run", RUNS)
def test_selector_share_on_recorded_losses_holds_in_every_stretch(run: str, kind: str) -> None:
    found = decided(run, kind)
    assert len(found.offered) >= 6000
    for what in (found.offered, found.sent):
        assert shares(what).min() >= 0.03 and shares(what).max() <= BANDWIDTH
        assert 0.03 <= what[:EARLY].mean() <= BANDWIDTH
    assert 0.03 <= found.sizes[found.sent].sum() / found.sizes.sum() <= BANDWIDTH, "in bytes"


@pytest.mark.parametrize("run", RUNS)
def test_composite_maximum_on_recorded_losses_is_not_always_the_same_loss(run: str) -> None:
    largest = {name: decided(run, "segments").said[f"won_by_{name}"] for name in SCORES}
    assert sum(largest.values()) == pytest.approx(1.0) and max(largest.values()) < 0.8


def test_gaussian_rule_misses_the_share_on_recorded_losses() -> None:
    assert max(shares(decided(run, kind, "gaussian").offered).max() for run in RUNS for kind in KINDS) > 1.5 * BANDWIDTH


def test_loss_recorder_keeps_the_selector_inputs() -> None:
    config = merge(load_preset("debug"), {"method": "centralized", "env_steps": 300}, "test")
    found = record(config, 20, lambda line: None)
    assert found["losses"].shape == (len(found["arrivals"]), 4) and len(found["critic"]) == 20
    assert np.isfinite(found["losses"]).all() and found["losses"].std(0).all()
    assert config.agent.world_model.seq_len / 2 <= np.median(found["arrivals"]) and found["arrivals"].max() <= 8
    with pytest.raises(ValueError, match="losses are recorded of one learner; both has 3"):
        record(merge(config, {"method": "both"}, "test"), 20, lambda line: None)
