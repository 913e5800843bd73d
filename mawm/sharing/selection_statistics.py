"""Statistics of a selector's offers: their share in each phase of a battle, and their autocorrelation."""

from typing import Any

import numpy as np

from mawm.types import Bools, Ints, Metrics, Segment

PHASES = ("opening", "middle", "end")
"""opening: the first segment of a battle; end: the segment with the agent's death or the battle's end; middle: the
others."""


def phase(segment: Segment) -> int:
    """The index in `PHASES` of a segment; a battle with one segment is an opening."""
    return 0 if segment.start == 0 else (2 if segment.terminal.any() else 1)


class Picks:
    """Counts offers over a whole run."""

    def __init__(self) -> None:
        self._produced = np.zeros(len(PHASES), np.int64)
        self._picked = np.zeros(len(PHASES), np.int64)
        self._items = self._hits = self._pairs = 0
        self._last = False

    def add(self, proposed: Bools, phases: Ints | None) -> None:
        """Count offers (n,) in order and, if given, the phases (n,) of the items."""
        if phases is not None:
            self._produced += np.bincount(phases, minlength=len(PHASES))
            self._picked += np.bincount(phases[proposed], minlength=len(PHASES))
        before = np.concatenate([[self._last], proposed])
        self._pairs += int((before[:-1] & before[1:]).sum())
        self._items += len(proposed)
        self._hits += int(proposed.sum())
        self._last = bool(before[-1])

    def metrics(self) -> Metrics:
        """Shares offered per phase, and the correlation between the offers of consecutive items."""
        out: Metrics = {}
        for name, produced, picked in zip(PHASES, self._produced, self._picked, strict=True):
            if produced:
                out[f"share_in_{name}"] = float(picked) / float(produced)
        share = self._hits / max(1, self._items)
        if 0.0 < share < 1.0:
            out["autocorrelation"] = (self._pairs / self._items - share**2) / (share - share**2)
        return out

    def state(self) -> dict[str, Any]:
        """JSON-able counts."""
        return {
            "produced": self._produced.tolist(),
            "picked": self._picked.tolist(),
            "counts": [self._items, self._hits, self._pairs, int(self._last)],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._produced = np.array(state["produced"], np.int64)
        self._picked = np.array(state["picked"], np.int64)
        self._items, self._hits, self._pairs, last = state["counts"]
        self._last = bool(last)
