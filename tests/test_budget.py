"""Budgets: the share of bytes in every window of items, or bytes per environment step."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mawm.sharing.budgets import ShareBudget, StepBudget


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(0.0, 0.99),
    burst=st.floats(0.0, 500.0),
    items=st.lists(st.tuples(st.integers(1, 200), st.booleans()), max_size=40),
)
def test_share_budget_holds_in_every_window(rate: float, burst: float, items: list[tuple[int, bool]]) -> None:
    bucket, sent = ShareBudget(rate, burst), []
    for size, offered in items:
        bucket.produce(size)
        sent.append(size if offered and bucket.spend(size) else 0)
    for start in range(len(items)):
        for end in range(start + 1, len(items) + 1):
            produced = sum(size for size, _ in items[start:end])
            assert sum(sent[start:end]) <= rate * produced + burst + 1e-6
    assert sum(sent) <= rate * sum(size for size, _ in items) + 1e-6


def test_share_budget_of_one_passes_everything() -> None:
    bucket = ShareBudget(1.0, 0.0)
    bucket.produce(10)
    assert bucket.spend(10)


def test_share_budget_refuses_a_rate_out_of_range() -> None:
    with pytest.raises(ValueError, match="2"):
        ShareBudget(2.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(0.0, 50.0),
    burst=st.floats(0.0, 500.0),
    rounds=st.lists(st.tuples(st.integers(0, 64), st.lists(st.integers(1, 200), max_size=4)), max_size=30),
)
def test_byte_budget_holds_over_every_stretch_of_steps(
    rate: float, burst: float, rounds: list[tuple[int, list[int]]]
) -> None:
    budget, steps, sent = StepBudget(rate, burst), 0, []
    for passed, sizes in rounds:
        steps += passed
        budget.advance(steps)
        budget.advance(steps)  # the second kind of item that uses the same budget
        sent.append((passed, sum(size for size in sizes if budget.spend(size))))
    for start in range(len(sent)):
        for end in range(start + 1, len(sent) + 1):
            stretch = sent[start:end]
            assert sum(s for _, s in stretch) <= rate * sum(p for p, _ in stretch) + burst + 1e-6
    assert sum(s for _, s in sent) <= rate * steps + 1e-6


def test_budget_state_round_trip_continues_the_decisions() -> None:
    budget, again = StepBudget(2.0, 100.0), StepBudget(2.0, 100.0)
    budget.advance(10)
    again.load_state(budget.state())
    assert not again.spend(21) and again.spend(20) and not again.spend(1)
