"""The token bucket: the bandwidth as a promise in every window of items."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mawm.budget import TokenBucket


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(0.0, 0.99),
    burst=st.floats(0.0, 500.0),
    items=st.lists(st.tuples(st.integers(1, 200), st.booleans()), max_size=40),
)
def test_no_window_overdraws(rate: float, burst: float, items: list[tuple[int, bool]]) -> None:
    bucket, sent = TokenBucket(rate, burst), []
    for size, offered in items:
        bucket.produce(size)
        sent.append(size if offered and bucket.spend(size) else 0)
    for start in range(len(items)):
        for end in range(start + 1, len(items) + 1):
            produced = sum(size for size, _ in items[start:end])
            assert sum(sent[start:end]) <= rate * produced + burst + 1e-6
    assert sum(sent) <= rate * sum(size for size, _ in items) + 1e-6


def test_everything_passes_at_one() -> None:
    bucket = TokenBucket(1.0, 0.0)
    bucket.produce(10)
    assert bucket.spend(10)


def test_rate_out_of_range() -> None:
    with pytest.raises(ValueError, match="2"):
        TokenBucket(2.0, 1.0)
