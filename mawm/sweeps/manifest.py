"""A sweep's planned runs and their results, in one file that is written atomically."""

import json
import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from mawm.storage.atomic_files import write_whole
from mawm.sweeps.grid import PlannedRun, without_steps

State = Literal["pending", "running", "done", "failed", "pruned"]
VERSION = 1


@dataclass
class Entry:
    """One run of the manifest."""

    args: list[str]
    """Arguments of mawm.train."""
    state: State = "pending"
    attempts: int = 0
    """Number of starts, over all calls of the sweep."""
    exit_codes: list[int] = field(default_factory=list)
    """Exit codes of failed attempts; 256 if the executor took the machine away before the run could save."""
    said: str = ""
    """The state that the executor reported for the last failed attempt."""
    win_rate: float | None = None
    """Final win rate of mawm.evaluate with greedy actions."""
    win_rate_sampled: float | None = None
    """Final win rate with sampled actions; None if an older version evaluated the run."""
    mean_return: float | None = None
    """Final return with greedy actions."""
    mean_return_sampled: float | None = None

    def evaluated(self, final: dict[str, Any]) -> None:
        """Take the final win rates and returns from the output of mawm.evaluate."""
        self.win_rate, self.win_rate_sampled, self.mean_return, self.mean_return_sampled = (
            float(final[name]) if name in final else None
            for name in ("win_rate", "win_rate_sampled", "return", "return_sampled")
        )

    def forget_results(self) -> None:
        """Before a new evaluation."""
        self.win_rate = self.win_rate_sampled = self.mean_return = self.mean_return_sampled = None


class Manifest:
    """`manifest.json` of a sweep's folder; every change is written atomically."""

    def __init__(self, folder: Path) -> None:
        """Read the file, if it exists. ValueError if it cannot be read."""
        self.path = folder / "manifest.json"
        self.commands: list[str] = []
        self.runs: dict[str, Entry] = {}
        if self.path.exists():
            try:
                saved = json.loads(self.path.read_text())
                self.commands = list(saved["commands"])
                self.runs = {name: Entry(**entry) for name, entry in saved["runs"].items()}
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{self.path} is not a sweep's manifest ({error}); choose another --out") from None

    def plan(self, runs: list[PlannedRun]) -> None:
        """Add new runs. ValueError if a run was begun with other settings, or with more steps."""
        for run in runs:
            old = self.runs.get(run.name)
            if old is not None and without_steps(old.args) != run.settings:
                raise ValueError(
                    f"{self.path.parent} holds {run.name} with other settings (`{shlex.join(old.args)}`); "
                    "choose another --out"
                )
            if old is not None and old.attempts and _steps(old.args) > run.config.env_steps:
                raise ValueError(
                    f"{run.name} was begun for {_steps(old.args)} steps; got {run.config.env_steps}: give as many "
                    "or more, or choose another --out"
                )
        for run in runs:
            self.runs.setdefault(run.name, Entry(list(run.args))).args = list(run.args)
        self.save()

    def add_command(self, command: str) -> None:
        """Record a command line."""
        self.commands.append(command)
        self.save()

    def save(self) -> None:
        """Write the file atomically."""
        document: dict[str, Any] = {"version": VERSION, "commands": self.commands}
        document["runs"] = {name: asdict(entry) for name, entry in self.runs.items()}
        write_whole(self.path, json.dumps(document, indent=1) + "\n")


def _steps(args: list[str]) -> int:
    return int(args[args.index("--env-steps") + 1])
