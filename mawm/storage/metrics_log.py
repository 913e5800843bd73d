"""The log of metrics: TensorBoard events, and `metrics.jsonl` for programs. The x-axis is environment steps."""

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
    """Writes rows of metrics."""

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Write one row: metrics at a number of environment steps and of seconds since the run's start."""

    def close(self) -> None:
        """Flush and close."""


class JsonLines:
    """One JSON object per line with `env_steps`, `wall_s` and the tags. A non-finite value is written as null.

    On a resume, rows after `resume_at` steps are dropped, so that no row appears twice.
    """

    def __init__(self, path: Path, resume_at: int | None = None) -> None:
        if resume_at is not None and path.exists():
            kept = [line for line in path.read_text().splitlines() if _steps(line) <= resume_at]
            write_whole(path, "".join(f"{line}\n" for line in kept))
        self._file = path.open("ab", buffering=0)

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Append one row without a buffer. OSError if the disk is full: then no part of the row is written."""
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
        return math.inf  # the incomplete last line of a killed run


class TensorBoard:
    """TensorBoard events; on a resume, events after the checkpoint are purged."""

    def __init__(self, folder: Path, resume_at: int | None = None) -> None:
        self._folder = folder
        self._writer = self._open(None if resume_at is None else resume_at + 1)

    def _open(self, purge: int | None) -> Any:
        from torch.utils.tensorboard import SummaryWriter  # a slow import, which many tests do not need

        return SummaryWriter(str(self._folder), purge_step=purge)

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Add one scalar per tag. OSError if they cannot be written: the next call opens a new file."""
        if self._writer is None:
            self._writer = self._open(None)
        try:
            for tag, value in metrics.items():
                self._writer.add_scalar(tag, value, env_steps)
            self._writer.flush()
        except OSError:
            self._writer = None
            raise

    def write_gif(self, env_steps: int, tag: str, gif: bytes, size: tuple[int, int]) -> None:
        """Add an animated GIF of `size` (width, height); TensorBoard plays it on its page Images.

        A GIF that cannot be written (a full disk) is lost: only metrics are kept for later.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(width=size[0], height=size[1], colorspace=3, encoded_image_string=gif)
        try:
            if self._writer is None:
                self._writer = self._open(None)
            self._writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), env_steps)
            self._writer.flush()
        except OSError:
            self._writer = None

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()


class RetryingWriter:
    """Keeps rows that cannot be written (a full disk) and writes them later."""

    def __init__(self, writer: Writer, name: str, warn: Callable[[str], None]) -> None:
        self._writer = writer
        self.rows = Retrying(writer.write, name, warn)

    def write(self, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """Write a row, now or later."""
        self.rows(env_steps, wall_s, metrics)

    def write_gif(self, env_steps: int, tag: str, gif: bytes, size: tuple[int, int]) -> None:
        """Write a film, if the writer takes films."""
        if isinstance(self._writer, TensorBoard):
            self._writer.write_gif(env_steps, tag, gif, size)

    def close(self) -> None:
        """Close the writer. No row is pending then: a run ends with a checkpoint, which waits for them."""
        with contextlib.suppress(OSError):
            self._writer.close()


class Averages:
    """Mean of each metric between two rows of the log."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, metrics: Metrics, prefix: str = "") -> None:
        """Add values; `prefix` names their owner."""
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
