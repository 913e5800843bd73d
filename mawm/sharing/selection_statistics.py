"""Statistics of a selector's offers: their share in each phase of a battle, and their autocorrelation."""

import numpy as np

from mawm.types import Bools, Ints, Metrics, Saved, Segment

PHASES = ("opening", "middle", "end")
"""opening: the first segment of a battle; end: the segment with the agent's death or the battle's end; middle: the
others."""


def phase(segment: Segment) -> int:
    """The index in `PHASES` of a segment; a battle with one segment is an opening."""
    return 0 if segment.start == 0 else (2 if segment.terminal.any() else 1)


class Picks(Saved):
    """Counts offers over a whole run."""

    SAVED = ("produced", "picked", "counts")

    def __init__(self) -> None:
        self.produced, self.picked = np.zeros((2, len(PHASES)), np.int64)
        """Numbers of items and of offers in each phase."""
        self.counts = [0, 0, 0, 0]
        """Items, offers, pairs of consecutive offers, and whether the last item was offered."""

    def add(self, proposed: Bools, phases: Ints | None) -> None:
        """Count offers (n,) in order and, if given, the phases (n,) of the items."""
        if phases is not None:
            self.produced += np.bincount(phases, minlength=len(PHASES))
            self.picked += np.bincount(phases[proposed], minlength=len(PHASES))
        items, offers, pairs, last = self.counts
        before = np.concatenate([[bool(last)], proposed])
        pairs += int((before[:-1] & before[1:]).sum())
        self.counts = [items + len(proposed), offers + int(proposed.sum()), pairs, int(before[-1])]

    def metrics(self) -> Metrics:
        """Shares offered per phase, and the correlation between the offers of consecutive items."""
        counted = zip(PHASES, self.produced.tolist(), self.picked.tolist(), strict=True)
        out: Metrics = {f"share_in_{name}": picked / produced for name, produced, picked in counted if produced}
        items, offers, pairs, _ = self.counts
        share = offers / max(1, items)
        if 0.0 < share < 1.0:
            out["autocorrelation"] = (pairs / items - share**2) / (share - share**2)
        return out
