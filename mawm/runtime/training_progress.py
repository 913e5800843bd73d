"""The progress of a training run: steps, speed, time left, and the results of battles."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mawm.runtime.display import Display, PlainLines

if TYPE_CHECKING:
    from rich.console import Group

    from mawm.loop import Run
    from mawm.types import Metrics

WIN_RATES = ("eval/win_rate", "eval/win_rate_sampled", "train/win_rate")
BAR_WIDTH = 40
"""Columns of the progress bar at most."""


class Progress:
    """Shows each logged row: steps, speed, time left, win rates, realised bandwidth.

    It has the win rates of the last evaluation (greedy, then sampled actions) with their 95 % intervals. Without
    `wins`, because the environment may have none, it has the returns, and win rates too once a battle was won.
    """

    def __init__(self, display: Display | None = None, *, wins: bool = True) -> None:
        self._wins = wins
        self._display = display or PlainLines()
        self._last: tuple[int, float] | None = None
        self._evaluated: dict[str, float] = {}

    def __call__(self, run: "Run", metrics: "Metrics") -> None:
        """Show one logged row."""
        steps, now = run.collector.env_steps, time.monotonic()
        before, then = self._last or (0, now - run.wall_s)
        self._last = (steps, now)
        self._evaluated = metrics if "eval/win_rate" in metrics else self._evaluated
        self._wins = self._wins or any(value > 0.0 for tag, value in metrics.items() if tag in WIN_RATES)
        speed = (steps - before) / max(1e-9, now - then)
        self._display.show(Row(run, metrics, self._evaluated, speed, self._wins))


@dataclass(frozen=True)
class Row:
    """A logged row with the present number of steps: a line of text, or a bar and two lines for a live display."""

    run: "Run"
    metrics: "Metrics"
    evaluated: "Metrics"
    """Of the last evaluation."""
    speed: float = 0.0
    """Environment steps per second since the row before; 0: there is no row yet."""
    wins: bool = True
    """Whether to show win rates; otherwise returns."""

    def _parts(self) -> list[str]:
        steps, wanted = self.run.collector.env_steps, self.run.env_steps
        left = max(0, wanted - steps) / self.speed if self.speed else 0.0
        shown = {
            "steps": f"{steps}/{wanted}",
            "steps/s": f"{self.speed:.0f}" if self.speed else "-",
            "ETA": f"{left / 60:.0f}m{left % 60:02.0f}s" if self.speed else "-",
            **(self._win_rates() if self.wins else self._returns()),
            "bandwidth": f"{self.metrics.get('channel/realised_bandwidth', 0.0):.4f}",
        }
        return [f"{name} {value}" for name, value in shown.items()]

    def _win_rates(self) -> dict[str, str]:
        return {
            "win rate greedy": _with_interval(self.evaluated, "eval/win_rate"),
            "sampled": _with_interval(self.evaluated, "eval/win_rate_sampled"),
            "train": _percent(self.metrics.get("train/win_rate", float("nan"))),
        }

    def _returns(self) -> dict[str, str]:
        tags = {"return greedy": "eval/return", "sampled": "eval/return_sampled"}
        shown = {name: f"{self.evaluated[tag]:.4g}" if tag in self.evaluated else "-" for name, tag in tags.items()}
        return {**shown, "train": f"{self.metrics['train/return']:.4g}" if "train/return" in self.metrics else "-"}

    def __str__(self) -> str:
        return "  ".join(self._parts())

    def __rich__(self) -> "Group":
        from rich.columns import Columns
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Column, Table

        steps, speed, eta, *rest = self._parts()
        head = Table.grid(Column(max_width=BAR_WIDTH), *(Column(no_wrap=True) for _ in range(3)), padding=(0, 2, 0, 0))
        head.add_row(ProgressBar(self.run.env_steps, self.run.collector.env_steps), steps, speed, eta)
        return Group(head, Columns(rest, padding=(0, 2)))


def _with_interval(metrics: "Metrics", tag: str) -> str:
    """`75 % [63, 84]`, or `-` before the first evaluation."""
    if tag not in metrics:
        return "-"
    return f"{_percent(metrics[tag])} [{100 * metrics[f'{tag}_low']:.0f}, {100 * metrics[f'{tag}_high']:.0f}]"


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.0f} %"
