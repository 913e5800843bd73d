"""Sends the items of one kind for one agent: select, pay from the budget, encode, count."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mawm.sharing.budgets import Budget
from mawm.sharing.selection_statistics import Picks
from mawm.sharing.selector import Selector
from mawm.types import Ints, Metrics, Rollout, Saved, Segment

Item = TypeVar("Item", Segment, Rollout)


@dataclass(frozen=True)
class Counts:
    """Items and bytes that were produced, offered by the selector, and sent. A broadcast counts once."""

    produced_items: int = 0
    produced_bytes: int = 0
    offered_items: int = 0
    offered_bytes: int = 0
    sent_items: int = 0
    sent_bytes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Outbox:
    """Messages that one agent sends in one round, the counts of that round, and metrics of the selector."""

    messages: list[bytes] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    diagnostics: Metrics = field(default_factory=dict)


class Broadcaster(Saved):
    """A selector offers items, and a budget decides which of them are sent.

    With `substitute_rng` (`--channel random`) each sent item is replaced by a uniformly random one of the same call.
    This control sends as many bytes at the same times, but not the selected items.
    """

    SAVED = ("selector", "budget", "picks", "lots", "sequence")

    def __init__(self, selector: Selector, budget: Budget, substitute_rng: np.random.Generator | None = None) -> None:
        self.selector = selector
        self.budget = budget
        self.lots = substitute_rng
        self.picks = Picks()
        self.sequence = 0

    @property
    def active(self) -> bool:
        """Whether items need losses; False for a selector that never offers."""
        return self.selector.active

    def silent(self, sizes: Sequence[int]) -> Outbox:
        """An outbox without messages, for finished items of these sizes."""
        return Outbox(counts=Counts(produced_items=len(sizes), produced_bytes=sum(sizes)))

    def publish(
        self,
        items: Sequence[Item],
        sizes: Sequence[int],
        losses: NDArray[np.float64],
        encode: Callable[[Item, int], bytes],
        lengths: Ints | None = None,
        phases: Ints | None = None,
    ) -> Outbox:
        """Send items of these sizes with losses (n, m), in the order in which they were finished.

        `encode(item, sequence)` makes the message of one item and is called for sent items only. `lengths` (n,) is the
        number of arrivals of each item (None: one each). `phases` (n,) are indices of `selection_statistics.PHASES`,
        for the log. Raises ValueError if a message does not have its item's size.

        Pass all finished items: the budget earns a share of the bytes of these items. To send fewer of them, use a
        selector. A learner that drops items before this call earns less.
        """
        ones = np.ones(len(losses), np.int64)
        proposed = self.selector.propose(losses, ones if lengths is None else lengths, items)
        self.picks.add(proposed, phases)
        messages: list[bytes] = []
        rng = self.lots
        for index, (size, offered) in enumerate(zip(sizes, proposed, strict=True)):
            self.budget.produce(size)
            sent = int(rng.integers(len(sizes))) if offered and rng is not None else index
            if not offered or not self.budget.spend(sizes[sent]):
                continue
            message = encode(items[sent], self.sequence)
            if len(message) != sizes[sent]:
                raise ValueError(f"a message has {len(message)} bytes; its announced size is {sizes[sent]}")
            self.sequence += 1
            messages.append(message)
        counts = Counts(
            produced_items=len(sizes),
            produced_bytes=sum(sizes),
            offered_items=int(proposed.sum()),
            offered_bytes=sum(size for size, offered in zip(sizes, proposed, strict=True) if offered),
            sent_items=len(messages),
            sent_bytes=sum(map(len, messages)),
        )
        return Outbox(messages, counts, self.selector.diagnostics() | self.picks.metrics())
