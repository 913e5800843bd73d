"""A run's progress, read from the end of its log: a sweep reads often, and logs become long."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class Progress:
    """Steps, seconds and results of a run, which may be running."""

    env_steps: int = 0
    wall_s: float = 0.0
    win_rate: float | None = None
    """Of the last evaluation, with greedy actions; None before the first evaluation."""
    win_rate_sampled: float | None = None
    """Of the same evaluation, with sampled actions; None in runs of older versions."""
    mean_return: float | None = None
    """Of the same evaluation, with greedy actions."""
    mean_return_sampled: float | None = None


def progress_of(folder: Path) -> Progress:
    """The progress in the last rows of `metrics.jsonl`; zero if there is none."""
    try:
        with (folder / "metrics.jsonl").open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return Progress()
    steps, seconds = 0, 0.0
    for line in reversed(lines):
        try:
            row = json.loads(line)
            steps, seconds = steps or int(row["env_steps"]), seconds or float(row["wall_s"])
        except (ValueError, KeyError, TypeError):
            continue  # the first line may be cut off, the last one incomplete
        if "eval/win_rate" in row:
            names = ("win_rate", "win_rate_sampled", "return", "return_sampled")
            found = (row.get(f"eval/{name}") for name in names)
            return Progress(steps, seconds, *(None if value is None else float(value) for value in found))
    return Progress(steps, seconds)


def evaluations_of(folder: Path, tag: str) -> list[float]:
    """The values of a tag in all evaluations that a run has made so far, in their order."""
    try:
        lines = (folder / "metrics.jsonl").read_text(errors="replace").splitlines()
    except OSError:
        return []
    values = []
    for line in lines:
        if f'"{tag}"' in line:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line may be incomplete
                values.append(float(json.loads(line)[tag]))
    return values
