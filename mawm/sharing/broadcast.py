"""The sending side of one agent for one kind of item: propose, pay, encode, count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.sharing.budgets import Budget
from mawm.sharing.selection_statistics import Picks
from mawm.sharing.selector import Selector
from mawm.types import Ints, Metrics


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
    """A selector offers items, and a budget decides which of them are sent.

    With `lots` each item that is sent is replaced by one drawn uniformly among those finished at the same time: the
    control that sends as much, at the same moments, and not what was selected.
    """

    def __init__(self, selector: Selector, budget: Budget, lots: np.random.Generator | None = None) -> None:
        self.selector = selector
        self.budget = budget
        self.lots = lots
        self.picks = Picks()
        self.sequence = 0

    @property
    def active(self) -> bool:
        """Whether items need scores at all: a selector that never offers needs none."""
        return self.selector.active

    def silent(self, sizes: Sequence[int]) -> Outbox:
        """Items of these sizes were finished and nothing is sent."""
        return Outbox(produced_items=len(sizes), produced_bytes=sum(sizes))

    def publish(
        self,
        sizes: Sequence[int],
        losses: NDArray[np.float64],
        encode: Callable[[int, int], bytes],
        arrivals: Ints | None = None,
        phases: Ints | None = None,
    ) -> Outbox:
        """Items of these sizes with losses (n, m), in the order in which they were finished.

        `encode(index, sequence)` makes the message of one item; only items that are sent are ever encoded. `arrivals`
        (n,) says how many arrivals each item holds (None: one each). `phases` (n,) are indices of `picks.PHASES`, for
        the log. Raises ValueError if a message has not the announced size.
        """
        proposed = self.selector.propose(losses, np.ones(len(losses), np.int64) if arrivals is None else arrivals)
        self.picks.add(proposed, phases)
        messages: list[bytes] = []
        for index, (size, offered) in enumerate(zip(sizes, proposed, strict=True)):
            self.budget.produce(size)
            sent = index if self.lots is None or not offered else int(self.lots.integers(len(sizes)))
            if not offered or not self.budget.spend(sizes[sent]):
                continue
            message = encode(sent, self.sequence)
            if len(message) != sizes[sent]:
                raise ValueError(f"a message of {len(message)} bytes was announced with {sizes[sent]}")
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
            diagnostics=self.selector.diagnostics() | self.picks.metrics(),
        )

    def state(self) -> dict[str, Any]:
        """JSON-able state of all parts."""
        return {
            "selector": self.selector.state(),
            "budget": self.budget.state(),
            "picks": self.picks.state(),
            "lots": None if self.lots is None else self.lots.bit_generator.state,
            "sequence": self.sequence,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.selector.load_state(state["selector"])
        self.budget.load_state(state["budget"])
        self.picks.load_state(state["picks"])
        if self.lots is not None:
            self.lots.bit_generator.state = state["lots"]
        self.sequence = int(state["sequence"])
