"""Shows a sweep's progress: a live table on a terminal, plain lines elsewhere."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mawm.configs.train import TrainConfig
from mawm.envs.registry import names_success, short_name
from mawm.runtime.display import Display
from mawm.sweeps.grid import PlannedRun
from mawm.sweeps.manifest import Entry
from mawm.sweeps.progress import Progress
from mawm.sweeps.runner import Job, Runner

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

LINE_S = 60.0
"""Seconds between two plain reports."""
SHOWN = 30
"""Maximum number of active runs in a plain report."""
OTHER_LINES = 3
"""Lines of the terminal that the table leaves free: for its header, the summary and a message."""
STEPS = {"train": "training", "evaluate": "evaluating", "waiting": "waiting"}
COLOURS = {"done": "green", "failed": "red", "pruned": "yellow"}
WIDE = ("map", "method", "variant", "seed", "steps", "greedy", "sampled", "state", "ETA")
NARROW = ("run", "steps", "greedy", "sampled", "state")
WIDE_FROM = 80
"""Smallest width of a terminal for the columns WIDE."""
NUMBERS = ("seed", "steps", "greedy", "sampled")
WORDS = ("run", "map", "method", "variant")
"""Columns that are cut if there is not enough room."""


class Board:
    """Called once per round with the runner; prints changes at once and the table from time to time."""

    def __init__(self, runner: Runner, display: Display) -> None:
        self.table = SweepTable(runner)
        self._display = display
        self._last = float("-inf")
        self._states: dict[str, tuple[str, int]] = {}

    def __call__(self, runner: Runner) -> None:
        """Print the progress."""
        for line in self._changes(runner):
            self._display.print_line(line)
        if time.monotonic() - self._last >= LINE_S:
            self._last = time.monotonic()
            self._display.show(self.table)

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
                lines.append(f"done     {name}: {results(run.config, entry, '.1f')}, {minutes:.1f} min")
            elif now[1] > before[1]:
                then = "no more attempts" if entry.state == "failed" else "one more attempt"
                lines.append(f"failed   {name}: exit code {entry.exit_codes[-1]}, {then}; see {runner.log_of(run)}")
            if entry.state == "pruned":
                lines.append(f"pruned   {name}")
            if entry.state == "running" and (before[0] != "running" or now[1] > before[1]):
                lines.append(f"started  {name}")
        return lines


@dataclass(frozen=True)
class SweepTable:
    """The present state of a sweep: as text, the active runs; on a live display, also those that have ended."""

    runner: Runner

    def __str__(self) -> str:
        return "\n".join([summary(self.runner), *(job_line(self.runner, job) for job in self.runner.active[:SHOWN])])

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.table import Column, Table
        from rich.text import Text

        columns = WIDE if options.max_width >= WIDE_FROM else NARROW
        heads = [
            Column(name, justify="right" if name in NUMBERS else "left", no_wrap=name not in WORDS) for name in columns
        ]
        table = Table(*heads, box=None, padding=(0, 1), collapse_padding=True, pad_edge=False)
        for row in self._rows()[-max(1, options.size.height - OTHER_LINES) :]:
            style = COLOURS.get(row["state"], "")
            table.add_row(*(Text(row[name], style if name == "state" else "") for name in columns))
        yield table
        yield Text(summary(self.runner), no_wrap=True, overflow="ellipsis")

    def _rows(self) -> list[dict[str, str]]:
        """The cells of the runs that have ended or were stopped, then of the active ones."""
        steps = {job.run.name: _step(self.runner, job) for job in list(self.runner.active)}
        ended, active = [], []
        for name, run in self.runner.runs.items():
            entry = self.runner.manifest.runs[name]
            if entry.state == "running":
                active.append(self._row(run, steps.get(name, "training")))
            elif entry.state != "pending" or entry.attempts:
                ended.append(self._row(run, entry.state))
        return [*ended, *active]

    def _row(self, run: PlannedRun, state: str) -> dict[str, str]:
        config, entry = run.config, self.runner.manifest.runs[run.name]
        if state == "done":
            scores = entry.win_rate, entry.win_rate_sampled, entry.mean_return, entry.mean_return_sampled
            progress = Progress(config.env_steps, 0.0, *scores)
        else:
            progress = self.runner.progress(run)
        _, greedy, sampled = _scores(config, progress)
        map_name, steps = short_name(config.map), progress.env_steps
        left = max(0, config.env_steps - steps) * progress.wall_s / max(1, steps)
        return {
            "run": run.name,
            "map": map_name,
            "method": config.method,
            "variant": run.name.removeprefix(f"{map_name}_{config.method}").removesuffix(f"_s{config.seed}").strip("_"),
            "seed": str(config.seed),
            "steps": f"{_short(steps)}/{_short(config.env_steps)}",
            "greedy": greedy,
            "sampled": sampled,
            "state": state,
            "ETA": duration(left) if state == "training" and steps else "",
        }


def summary(runner: Runner) -> str:
    """The progress of the sweep, in one line."""
    done, failed, total = runner.count("done"), runner.count("failed"), len(runner.runs)
    left = remaining_s(runner)
    eta = "-" if left is None else duration(left)
    return f"{done} of {total} done, {len(runner.active)} running, {failed} failed, ETA {eta}"


def job_line(runner: Runner, job: Job) -> str:
    """The progress of one run, in one line."""
    progress, wanted = runner.progress(job.run), job.run.config.env_steps
    rates = results(job.run.config, progress)
    step = {
        "train": "",
        "evaluate": " (final evaluation)",
        "waiting": " (by a process of an earlier sweep)",
    }[job.step]
    said = "" if runner.executor.name == "local" or job.task is None else f", {job.task.status()}"
    return f"  {job.run.name:<32} {progress.env_steps:>9,} of {wanted:,} steps  {rates}{step}{said}"


def _step(runner: Runner, job: Job) -> str:
    """What an active run does: `queued`, or its step."""
    queued = runner.executor.name != "local" and job.task is not None and job.task.status().startswith("queued")
    return "queued" if queued else STEPS[job.step]


def results(config: TrainConfig, found: Progress | Entry, form: str = ".0f") -> str:
    """`win rate greedy 75 %, sampled 28 %`, or `return greedy 3.1, ...`; `-` before the first evaluation."""
    words, greedy, sampled = _scores(config, found, form)
    return f"{words} greedy {greedy}, sampled {sampled}"


def _scores(config: TrainConfig, found: Progress | Entry, form: str = ".0f") -> tuple[str, str, str]:
    """What is shown of a run, and its values: returns if it is not known that battles can be won, and none was."""
    if names_success(config) or any((found.win_rate, found.win_rate_sampled)):
        return "win rate", percent(found.win_rate, form), percent(found.win_rate_sampled, form)
    greedy, sampled = ("-" if x is None else f"{x:.4g}" for x in (found.mean_return, found.mean_return_sampled))
    return "return", greedy, sampled


def percent(rate: float | None, form: str = ".0f") -> str:
    """`75 %`, or `-` before the first evaluation."""
    return "-" if rate is None else f"{format(100 * rate, form)} %"


def _short(steps: int) -> str:
    """`600`, or `60k`."""
    return f"{steps // 1000}k" if steps >= 10_000 else str(steps)


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
