"""The sending side of one agent for one kind of item: propose, pay, encode, count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.budget import TokenBucket
from mawm.selection import Selector
from mawm.types import Metrics


@dataclass(frozen=True)
class Outbox:
    """What one agent sends in one round, and what it could have sent; a broadcast counts once, not once a receiver."""

    messages: list[bytes] = field(default_factory=list)
    produced_items: int = 0
    produced_bytes: int = 0
    offered_items: int = 0
    offered_bytes: int = 0
    sent_items: int = 0
    sent_bytes: int = 0
    diagnostics: Metrics = field(default_factory=dict)


class Broadcaster:
    """The rule proposes (`selector`), the token bucket disposes (`bucket`); `bucket=None` sends what is proposed."""

    def __init__(self, selector: Selector, bucket: TokenBucket | None) -> None:
        self.selector = selector
        self.bucket = bucket
        self.sequence = 0

    @property
    def active(self) -> bool:
        """Whether items need scores at all: a selector that proposes nothing needs none."""
        return self.selector.active

    def silent(self, sizes: Sequence[int]) -> Outbox:
        """Items of these sizes were finished and nothing is sent."""
        return Outbox(produced_items=len(sizes), produced_bytes=sum(sizes))

    def publish(self, sizes: Sequence[int], losses: NDArray[np.float64], encode: Callable[[int, int], bytes]) -> Outbox:
        """Items of these sizes with losses (n, m), in the order in which they were finished.

        `encode(index, sequence)` makes the message of one item; only items that are sent are ever encoded. Raises
        ValueError if a message has not the size that it was paid for.
        """
        proposed = self.selector.propose(losses)
        messages: list[bytes] = []
        for index, (size, offered) in enumerate(zip(sizes, proposed, strict=True)):
            if self.bucket is not None:
                self.bucket.produce(size)
            if not offered or (self.bucket is not None and not self.bucket.spend(size)):
                continue
            message = encode(index, self.sequence)
            if len(message) != size:
                raise ValueError(f"a message of {len(message)} bytes was announced with {size}")
            self.sequence += 1
            messages.append(message)
        return Outbox(
            messages,
            produced_items=len(sizes),
            produced_bytes=sum(sizes),
            offered_items=int(proposed.sum()),
            offered_bytes=sum(size for size, offered in zip(sizes, proposed, strict=True) if offered),
            sent_items=len(messages),
            sent_bytes=sum(map(len, messages)),
            diagnostics=self.selector.diagnostics(),
        )

    def state(self) -> dict[str, Any]:
        """JSON-able state of selector, bucket and counter."""
        bucket = None if self.bucket is None else self.bucket.state()
        return {"selector": self.selector.state(), "bucket": bucket, "sequence": self.sequence}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.selector.load_state(state["selector"])
        if self.bucket is not None:
            self.bucket.load_state(state["bucket"])
        self.sequence = int(state["sequence"])
