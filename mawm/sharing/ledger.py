"""Counts of the channel for each pair of sender and receiver."""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mawm.storage.atomic_files import append_whole, write_whole

FIELDS = (
    "env_steps", "kind", "sender", "receiver", "produced", "offered", "refused_by_budget", "sent",
    "refused_by_gate", "delivered", "bytes", "lost", "late", "under_way",
)  # fmt: skip
"""Columns of `channel.csv`: items between two rows of the log. `produced` to `sent` count at the sender, `delivered`
and `bytes` at the receiver. `late` are those that arrived in a later round than they were sent. `under_way` is the
number at the time of the row. Since the start of a run, sent = delivered + refused_by_gate + lost + under_way."""
_COUNTS = FIELDS[4:-1]
Named = tuple[str, str, str]
"""The kind of item, the sender's name and the receiver's name."""


class Ledger:
    """Counts per edge (sender, receiver) and kind since the last row."""

    def __init__(self) -> None:
        self._open: dict[Named, dict[str, int]] = {}

    def add(self, kind: str, sender: str, receiver: str, **counts: int) -> None:
        """Count on one edge."""
        edge = self._open.setdefault((kind, sender, receiver), dict.fromkeys(_COUNTS, 0))
        for name, count in counts.items():
            edge[name] += count

    def close(self, env_steps: int, under_way: Mapping[Named, int] | None = None) -> list[dict[str, Any]]:
        """The rows since the last call; an edge without counts has no row.

        `under_way`: the number of messages on each edge that were sent and have not arrived yet.
        """
        waiting = under_way or {}
        rows = []
        for edge in dict.fromkeys([*self._open, *waiting]):
            counts = self._open.get(edge) or dict.fromkeys(_COUNTS, 0)
            counts = {**counts, "under_way": waiting.get(edge, 0)}
            if any(counts.values()):
                kind, sender, receiver = edge
                rows.append({"env_steps": env_steps, "kind": kind, "sender": sender, "receiver": receiver, **counts})
        self._open.clear()
        return rows

    def state(self) -> list[Any]:
        """JSON-able open counts."""
        return [[*edge, counts] for edge, counts in self._open.items()]

    def load_state(self, state: list[Any]) -> None:
        """Continue from `state`."""
        empty = dict.fromkeys(_COUNTS, 0)  # an earlier version had fewer columns
        self._open = {(kind, sender, receiver): empty | counts for kind, sender, receiver, counts in state}


def ledger_file(path: Path, resume_at: int | None = None) -> Callable[[list[dict[str, Any]]], None]:
    """A function that appends rows to `path`. On a resume, rows after `resume_at` steps are dropped first."""
    kept: list[dict[str, Any]] = []
    if resume_at is not None and path.exists():
        with path.open(newline="") as file:
            kept = [row for row in csv.DictReader(file) if (row["env_steps"] or "").isdigit()]
        kept = [row for row in kept if int(row["env_steps"]) <= resume_at and None not in row.values()]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, FIELDS, restval=0)  # rows of an earlier version have fewer columns
    writer.writeheader()
    writer.writerows(kept)
    write_whole(path, text.getvalue())

    def append(rows: list[dict[str, Any]]) -> None:
        lines = io.StringIO(newline="")
        csv.DictWriter(lines, FIELDS).writerows(rows)
        with path.open("ab", buffering=0) as file:
            append_whole(file, lines.getvalue().encode())

    return append
