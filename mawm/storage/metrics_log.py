"""Where numbers go: TensorBoard for eyes, `metrics.jsonl` for programs; the x-axis is always environment steps."""

import contextlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from mawm.storage.atomic_files import append_whole, write_whole
from mawm.storage.retry_writes import Retrying
from mawm.types import Metrics


class Writer(Protocol):
    """Takes one row of metrics at a time."""

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Record metrics at a number of environment steps and seconds since the run began."""

    def close(self) -> None:
        """Flush and let go."""


class JsonLines:
    """One JSON object a line with `env_steps`, `wall_s` and the tags; a value that is not finite is written as null.

    Rows past `resume_at` are dropped on opening, so that a resumed run neither doubles nor contradicts a row.
    """

    def __init__(self, path: Path, resume_at: int | None = None) -> None:
        if resume_at is not None and path.exists():
            kept = [line for line in path.read_text().splitlines() if _steps(line) <= resume_at]
            write_whole(path, "".join(f"{line}\n" for line in kept))
        self._file = path.open("ab", buffering=0)

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Append one row, so that a reader sees it at once. OSError if there is no room: then none of it is written."""
        values = {tag: value if math.isfinite(value) else None for tag, value in metrics.items()}
        row: dict[str, Any] = {"env_steps": env_steps, "wall_s": round(wall_s, 3), **values}
        append_whole(self._file, (json.dumps(row) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _steps(line: str) -> float:
    try:
        return float(json.loads(line)["env_steps"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # the torn last line of a killed run


class TensorBoard:
    """TensorBoard events; on resume, events past the checkpoint are purged."""

    def __init__(self, folder: Path, resume_at: int | None = None) -> None:
        self._folder = folder
        self._writer = self._open(None if resume_at is None else resume_at + 1)

    def _open(self, purge: int | None) -> Any:
        from torch.utils.tensorboard import SummaryWriter  # takes a second, and tests need it not

        return SummaryWriter(str(self._folder), purge_step=purge)

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Add one scalar a tag. OSError if they cannot be written: the next call begins a file of its own."""
        if self._writer is None:
            self._writer = self._open(None)
        try:
            for tag, value in metrics.items():
                self._writer.add_scalar(tag, value, env_steps)
            self._writer.flush()
        except OSError:
            self._writer = None
            raise

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()


class RetryingWriter:
    """A writer that a full disk does not stop: rows that cannot be written are kept and written later."""

    def __init__(self, writer: Writer, what: str, say: Callable[[str], None]) -> None:
        self._writer = writer
        self.rows = Retrying(writer.write, what, say)

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Record a row, now or later."""
        self.rows(env_steps, wall_s, metrics)

    def close(self) -> None:
        """Let go. Nothing is owed any more then: a run ends with a save, which waits for its rows."""
        with contextlib.suppress(OSError):
            self._writer.close()


class Averages:
    """Means of metrics between two rows of the log."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, metrics: Metrics, prefix: str = "") -> None:
        """Take in values; `prefix` names their owner."""
        for tag, value in metrics.items():
            name = f"{prefix}{tag}"
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value, count + 1)

    def flush(self) -> Metrics:
        """The means since the last flush."""
        means = {tag: total / count for tag, (total, count) in self._sums.items()}
        self._sums.clear()
        return means

    def state(self) -> dict[str, list[float]]:
        """JSON-able sums since the last flush."""
        return {tag: [total, count] for tag, (total, count) in self._sums.items()}

    def load_state(self, state: dict[str, list[float]]) -> None:
        """Continue from `state`."""
        self._sums = {tag: (total, int(count)) for tag, (total, count) in state.items()}
