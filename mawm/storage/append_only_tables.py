"""Append-only tables in files that checkpoints share: a checkpoint writes only the rows since an earlier one.

An array named `rows/TABLE/COLUMN` is a column of a table; its first axis are rows. A table has several lanes; the
columns `lane` and `at` give a row's lane and its number there. `start` and `end` (lanes,) are no columns: for each
lane, `end` counts all rows ever appended, and `start` those before the first row that is still held.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mawm.storage.safe_read import DamagedError
from mawm.types import TABLES

Arrays = dict[str, NDArray[Any]]
BOUNDS = ("start", "end")
MOST_PIECES = 64
"""A table with as many pieces is rewritten as one piece; otherwise frequent checkpoints would make thousands of
files."""
MOST_ROWS = 2
"""A table is also rewritten if its pieces have more than this multiple of the held rows: a held row of a slow lane
keeps a whole piece, with outdated rows of fast lanes."""


class Piece(NamedTuple):
    """A file with rows of a table: its name, its number of rows, and the table's `end` after them."""

    file: str
    rows: int
    end: tuple[int, ...]


class Table(NamedTuple):
    """A table's pieces in a checkpoint, and the number of their rows that are held."""

    held: int
    pieces: list[Piece]

    @property
    def shareable(self) -> bool:
        """Whether a later checkpoint may share these pieces."""
        return len(self.pieces) < MOST_PIECES and sum(p.rows for p in self.pieces) <= MOST_ROWS * self.held


@dataclass(frozen=True)
class Base:
    """The earlier checkpoint that the next one shares pieces with: its path, and its tables by part and name."""

    path: Path
    files: dict[str, dict[str, Any]]
    """Size and SHA-256 of its files, from its manifest."""
    tables: dict[str, dict[str, Table]]

    def since(self, part: str) -> dict[str, list[int]]:
        """For each table of a part, its `end` in this checkpoint: earlier rows need not be saved again."""
        return {name: list(table.pieces[-1].end) for name, table in self.tables.get(part, {}).items()}

    def shared(self, part: str, table: str, start: Sequence[int]) -> list[Piece]:
        """The pieces with at least one held row: a row at or after `start`."""
        found = self.tables.get(part, {}).get(table)
        pieces = [] if found is None else found.pieces
        return [piece for piece in pieces if any(e > s for e, s in zip(piece.end, start, strict=True))]


def tables_of(path: Path, manifest: dict[str, Any]) -> dict[str, dict[str, Table]]:
    """The tables of every part in a manifest. DamagedError for an invalid entry."""
    try:
        return {
            part: {
                name: Table(
                    int(table["held"]),
                    [Piece(str(p["file"]), int(p["rows"]), tuple(int(n) for n in p["end"])) for p in table["pieces"]],
                )
                for name, table in tables.items()
                if table["pieces"]
            }
            for part, tables in manifest["tables"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DamagedError(f"{path}: the manifest's `tables` {json.dumps(manifest.get('tables'))[:80]}") from None


def split(arrays: Arrays) -> tuple[Arrays, dict[str, Arrays]]:
    """The arrays outside tables, and the columns of each table."""
    plain: Arrays = {}
    tables: dict[str, Arrays] = {}
    for name, array in arrays.items():
        if name.startswith(TABLES):
            table, column = name.removeprefix(TABLES).split("/", 1)
            tables.setdefault(table, {})[column] = array
        else:
            plain[name] = array
    return plain, tables


def joined(table: str, pieces: Sequence[Arrays], where: str) -> Arrays:
    """The held rows of a table, sorted by lane and time, by the names of their columns.

    The result depends on the rows only, not on their division into pieces. DamagedError if pieces are inconsistent.
    """
    try:
        bounds = {name: pieces[-1][name] for name in BOUNDS}
        columns = {n: np.concatenate([piece[n] for piece in pieces]) for n in pieces[-1] if n not in BOUNDS}
        lane, at = columns["lane"], columns["at"]
        held = np.flatnonzero(at >= bounds["start"][lane])
        order = held[np.lexsort((at[held], lane[held]))]
        columns = {name: column[order] for name, column in columns.items()}
    except (KeyError, ValueError, IndexError, TypeError):
        raise DamagedError(f"{where}: the pieces of {table} do not fit each other") from None
    return {f"{TABLES}{table}/{name}": array for name, array in {**columns, **bounds}.items()}
