"""Shows a sweep's progress: a table that is redrawn in a terminal, plain lines elsewhere."""

import contextlib
import shutil
import time
from typing import TextIO

from mawm.configs.train import TrainConfig
from mawm.sweeps.runner import Job, Runner

REDRAW_S = 1.0
LINE_S = 60.0
SHOWN = 30
"""Maximum number of active runs in the table."""


class Board:
    """Called once per round with the runner; prints changes at once and the table from time to time."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.live = out.isatty()
        self._lines = 0
        self._last = float("-inf")
        self._states: dict[str, tuple[str, int]] = {}

    def __call__(self, runner: Runner) -> None:
        """Print the progress. An error of the output is ignored: the runs continue without a terminal."""
        with contextlib.suppress(OSError):
            self._print(runner)

    def _print(self, runner: Runner) -> None:
        changes = self._changes(runner)
        due = time.monotonic() - self._last >= (REDRAW_S if self.live else LINE_S)
        if not changes and not due:
            return
        if self.live:
            self._clear()
        for line in changes:
            print(line, file=self.out)
        if due or self.live:
            self._last = time.monotonic()
            table = [summary(runner), *(job_line(runner, job) for job in runner.active[:SHOWN])]
            width = shutil.get_terminal_size().columns
            shown = [line[: width - 1] for line in table] if self.live else table
            print("\n".join(shown), file=self.out)
            self._lines = len(shown)
        self.out.flush()

    def _clear(self) -> None:
        if self._lines:
            self.out.write(f"\x1b[{self._lines}F\x1b[J")
        self._lines = 0

    def _changes(self, runner: Runner) -> list[str]:
        """One line for each run that has started, ended or failed since the last call."""
        lines = []
        for name, run in runner.runs.items():
            entry = runner.manifest.runs[name]
            now = (entry.state, len(entry.exit_codes))
            before = self._states.setdefault(name, ("done" if entry.state == "done" else "pending", now[1]))
            self._states[name] = now
            if now == before:
                continue
            if entry.state == "done" and entry.win_rate is not None:
                minutes = runner.progress(run).wall_s / 60
                rates = win_rates(entry.win_rate, entry.win_rate_sampled, ".1f")
                lines.append(f"done     {name}: {rates}, {minutes:.1f} min")
            elif now[1] > before[1]:
                then = "no more attempts" if entry.state == "failed" else "one more attempt"
                lines.append(f"failed   {name}: exit code {entry.exit_codes[-1]}, {then}; see {runner.log_of(run)}")
            if entry.state == "running" and (before[0] != "running" or now[1] > before[1]):
                lines.append(f"started  {name}")
        return lines


def summary(runner: Runner) -> str:
    """The progress of the sweep, in one line."""
    done, failed, total = runner.count("done"), runner.count("failed"), len(runner.runs)
    left = remaining_s(runner)
    eta = "-" if left is None else duration(left)
    return f"{done} of {total} done, {len(runner.active)} running, {failed} failed, ETA {eta}"


def job_line(runner: Runner, job: Job) -> str:
    """The progress of one run, in one line."""
    progress, wanted = runner.progress(job.run), job.run.config.env_steps
    rates = win_rates(progress.win_rate, progress.win_rate_sampled)
    step = {
        "train": "",
        "evaluate": " (final evaluation)",
        "waiting": " (by a process of an earlier sweep)",
    }
    return f"  {job.run.name:<32} {progress.env_steps:>9,} of {wanted:,} steps  {rates}{step[job.step]}"


def win_rates(greedy: float | None, sampled: float | None, form: str = ".0f") -> str:
    """`win rate greedy 75 %, sampled 28 %`; `-` before the first evaluation."""
    shown = ["-" if rate is None else f"{format(100 * rate, form)} %" for rate in (greedy, sampled)]
    return f"win rate greedy {shown[0]}, sampled {shown[1]}"


def remaining_s(runner: Runner) -> float | None:
    """Seconds until all runs are done, from the pace of runs of the same kind; None before the first step."""
    paces: dict[TrainConfig, list[float]] = {}
    left: list[tuple[TrainConfig, int]] = []
    for name, run in runner.runs.items():
        entry, kind = runner.manifest.runs[name], run.kind
        progress = runner.progress(run) if entry.attempts else None
        if progress is not None and progress.env_steps:
            paces.setdefault(kind, []).append(progress.wall_s / progress.env_steps)
        if entry.state in ("pending", "running"):
            left.append((kind, max(0, run.config.env_steps - (progress.env_steps if progress else 0))))
    known = [pace for kind in paces.values() for pace in kind]
    if not known:
        return None
    mean_pace = sum(known) / len(known)
    seconds = sum(steps * (sum(p) / len(p) if (p := paces.get(kind)) else mean_pace) for kind, steps in left)
    return seconds / max(1, min(runner.jobs, len(left)))


def duration(seconds: float) -> str:
    """`1h05m` or `3m20s`; `-` for nan."""
    if seconds != seconds:
        return "-"
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m{left:02d}s"
