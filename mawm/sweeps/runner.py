"""Runs the missing runs of a sweep: several at a time, with one thread each; a failed run is tried once more."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mawm.run_folder.checkpoint import checkpoints
from mawm.run_folder.locate import moved, nothing_saved
from mawm.run_folder.manifest import read_config
from mawm.storage.lock import FolderLock, holder
from mawm.sweeps.executors import LOST, Executor, Started, Task
from mawm.sweeps.grid import PlannedRun
from mawm.sweeps.manifest import Manifest
from mawm.sweeps.progress import Progress, progress_of

TRIES = 2
"""Attempts per run in one call of the sweep; then the run counts as failed."""
ELSEWHERE = ("env_steps", "placement", "ray_address", "on_node_loss", "device")
"""Settings that may differ between a run's folder and this sweep: the number of steps, and where it runs."""
Step = Literal["train", "evaluate", "waiting"]


@dataclass
class Job:
    """An active run: its training, then its evaluation."""

    run: PlannedRun
    step: Step
    task: Started | None
    """None while a process of an earlier call of the sweep still runs it."""
    stops_sent: int = 0
    """Number of stop requests that the task was sent."""
    saved_steps: int = -1
    """Steps of the newest checkpoint at the start; -1: there was none."""


class Runner:
    """One call of the sweep; `work` ends when all runs are done or `stop` was called."""

    def __init__(
        self, folder: Path, runs: list[PlannedRun], manifest: Manifest, jobs: int, lock: FolderLock, executor: Executor
    ) -> None:
        self.folder = folder
        self.lock = lock
        """The lock of the sweep's folder, held until the process ends."""
        self.runs: dict[str, PlannedRun] = {}
        self.manifest = manifest
        self.jobs = jobs
        self.executor = executor
        self.active: list[Job] = []
        self.tries: dict[str, int] = {}
        self.stops = 0
        """Number of stop requests. After the first every run saves and ends, after the second it ends at once."""
        self.add(runs)

    def add(self, runs: list[PlannedRun]) -> None:
        """Take further runs. ValueError if a folder or the manifest has the same names with other settings."""
        check_folders(self.folder, runs, self.manifest)
        self.manifest.plan(runs)
        for run in runs:
            self.runs[run.name] = run
            entry, final = self.manifest.runs[run.name], evaluation_of(self.folder, run)
            entry.state = "pending" if final is None else "done"
            entry.forget_results()
            if final is not None:
                entry.evaluated(final)
        self.manifest.save()

    def prune(self, run: PlannedRun) -> None:
        """Give up a run that is not done: if it is active, it saves and ends."""
        entry = self.manifest.runs[run.name]
        if entry.state in ("pending", "running"):
            entry.state = "pruned"
            self.manifest.save()
        for job in self.active:
            if job.run == run and job.task is not None and not job.stops_sent:
                job.stops_sent = 1
                job.task.stop()

    def count(self, state: str) -> int:
        """The number of this call's runs in a state."""
        return sum(self.manifest.runs[name].state == state for name in self.runs)

    def work(self, show: Callable[["Runner"], None], pause: float = 0.5) -> None:
        """Start, watch and finish runs; `show` is called once per round.

        On an error all tasks are stopped first.
        """
        try:
            while self.active or (not self.stops and self.count("pending")):
                for job in list(self.active):
                    self._update(job)
                while not self.stops and len(self.active) < self.jobs and self.count("pending"):
                    self._start(next(r for n, r in self.runs.items() if self.manifest.runs[n].state == "pending"))
                show(self)
                if self.active:
                    time.sleep(pause)
        except BaseException:
            self.stops = max(1, self.stops)
            for job in self.active:
                self._pass_on_stops(job)
            while any(job.task is not None and job.task.poll() is None for job in self.active):
                time.sleep(pause)
            raise

    def stop(self) -> None:
        """Start no more runs. Every run saves and ends; at the second call it ends at once."""
        self.stops += 1

    def progress(self, run: PlannedRun) -> Progress:
        """A run's progress."""
        return progress_of(self.folder / run.name)

    def log_of(self, run: PlannedRun) -> Path:
        """The file with a run's output."""
        return self.folder / "logs" / f"{run.name}.log"

    def _start(self, run: PlannedRun) -> None:
        entry, folder = self.manifest.runs[run.name], self.folder / run.name
        entry.state = "running"
        if holder(folder) is not None:
            self.manifest.save()
            self.active.append(Job(run, "waiting", None))
            return
        entry.attempts += 1
        self.tries[run.name] = self.tries.get(run.name, 0) + 1
        self.manifest.save()
        if checkpoints(folder):
            where = ["--resume", str(folder), "--env-steps", str(run.config.env_steps)]
        else:
            if folder.exists() and nothing_saved(folder, run.config.schedule.save_every):
                shutil.rmtree(folder)
            where = [*run.args, "--run-dir", str(folder)]
        saved = checkpoints(folder)
        task = self._start_task(run, "train", where)
        self.active.append(Job(run, "train", task, saved_steps=saved[-1].env_steps if saved else -1))

    def _start_task(self, run: PlannedRun, step: Literal["train", "evaluate"], args: list[str]) -> Started:
        name, output = run.name, self.log_of(run)
        if step == "evaluate":
            name, output = f"{run.name}-evaluate", self._new_evaluation(run)
            output.unlink(missing_ok=True)
        return self.executor.start(Task(name, ("-m", f"mawm.{step}", *args), output, self.log_of(run)))

    def _new_evaluation(self, run: PlannedRun) -> Path:
        return self.folder / run.name / "evaluation.json.new"

    def _pass_on_stops(self, job: Job) -> None:
        """Pass on a new stop request; a process of an earlier sweep is left alone."""
        if job.task is not None and job.stops_sent < self.stops and job.task.poll() is None:
            job.stops_sent = self.stops
            job.task.stop()

    def _update(self, job: Job) -> None:
        run = job.run
        if job.task is None:
            pruned = self.manifest.runs[run.name].state == "pruned"
            if self.stops or pruned or holder(self.folder / run.name) is None:
                self.active.remove(job)
                if not pruned:
                    self._set_pending(run)
            return
        self._pass_on_stops(job)
        code = job.task.poll()
        if code is not None:
            self.active.remove(job)
            self._ended(job, code, job.task.status())

    def _ended(self, job: Job, code: int, said: str) -> None:
        """Decide what follows the end of a task: the evaluation, another attempt, or nothing."""
        run = job.run
        if self.manifest.runs[run.name].state == "pruned":
            return
        if code == 0 and job.step == "train" and not self.stops:
            task = self._start_task(run, "evaluate", [str(self.folder / run.name), "--json", *run.evaluate_args])
            self.active.append(Job(run, "evaluate", task))
        elif code == 0 and job.step == "evaluate":
            self._new_evaluation(run).replace(self.folder / run.name / "evaluation.json")
            self._done(run)
        elif self.stops:
            self._set_pending(run)
        elif holder(self.folder / run.name) is not None:  # a process of an earlier sweep has the lock
            self.active.append(Job(run, "waiting", None))
        elif code == LOST and self._has_saved_more(job):
            self.tries[run.name] -= 1
            self._set_pending(run)
        else:
            self._failed(run, code, said)

    def _has_saved_more(self, job: Job) -> bool:
        """Whether the run will get further than before: then the loss of its machine does not count as an attempt."""
        saved = checkpoints(self.folder / job.run.name)
        return job.step == "train" and bool(saved) and saved[-1].env_steps > job.saved_steps

    def _done(self, run: PlannedRun) -> None:
        final, entry = evaluation_of(self.folder, run), self.manifest.runs[run.name]
        if final is None:
            self._failed(run, 0, "the evaluation is incomplete")
            return
        entry.state = "done"
        entry.evaluated(final)
        self.manifest.save()

    def _set_pending(self, run: PlannedRun) -> None:
        self.manifest.runs[run.name].state = "pending"
        self.manifest.save()

    def _failed(self, run: PlannedRun, code: int, said: str) -> None:
        entry = self.manifest.runs[run.name]
        entry.exit_codes.append(code)
        entry.said = said
        entry.state = "failed" if self.tries[run.name] >= TRIES else "pending"
        self.manifest.save()


def evaluation_of(folder: Path, run: PlannedRun) -> dict[str, Any] | None:
    """The final evaluation of a run with all its steps, else None."""
    try:
        final: dict[str, Any] = json.loads((folder / run.name / "evaluation.json").read_text())
        return final if final["env_steps"] >= run.config.env_steps and "win_rate" in final else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_folders(folder: Path, runs: list[PlannedRun], manifest: Manifest) -> None:
    """ValueError if a run's folder has other content: no foreign file is used or deleted."""
    for run in runs:
        path = folder / run.name
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            continue
        try:
            saved = read_config(path)
        except ValueError as error:
            if checkpoints(path) or not (run.name in manifest.runs and manifest.runs[run.name].attempts):
                raise ValueError(f"{path} is in the way: it holds no run of this sweep ({error})") from None
            continue  # killed before its settings were written
        if moved(saved, run.config, (*ELSEWHERE, "own.agents")) != run.config:
            raise ValueError(f"{path} holds a run with other settings; choose another --out, or move it away")
