"""Runs what is missing of a sweep: some processes at a time, one thread each, every failure tried once more."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mawm.run_folder.checkpoint import checkpoints
from mawm.run_folder.locate import nothing_saved
from mawm.run_folder.manifest import read_config
from mawm.storage.lock import FolderLock, holder
from mawm.sweeps.grid import PlannedRun
from mawm.sweeps.manifest import Manifest
from mawm.sweeps.progress import Progress, progress_of

TRIES = 2
"""How often a run is started in one call of the sweep before it counts as failed."""
ELSEWHERE = ("env_steps", "placement", "device")
"""Settings of a run's folder that may be others than this sweep's: how far it goes, and where it runs."""
Step = Literal["train", "evaluate", "waiting"]


@dataclass
class Job:
    """A run that is under way: its training, then its evaluation."""

    run: PlannedRun
    step: Step
    process: subprocess.Popen[bytes] | None
    """None while a process that an earlier call of the sweep started is still at it."""
    told: int = 0
    """How often it was asked to end."""


class Runner:
    """The state of one call of the sweep; `work` goes on until nothing is left or `stop` was called."""

    def __init__(self, folder: Path, runs: list[PlannedRun], manifest: Manifest, jobs: int, lock: FolderLock) -> None:
        self.folder = folder
        self.lock = lock
        """The sweep's own, held as long as it lives."""
        self.runs = {run.name: run for run in runs}
        self.manifest = manifest
        self.jobs = jobs
        self.active: list[Job] = []
        self.tries: dict[str, int] = {}
        self.stops = 0
        """How often the sweep was asked to end: once, every run saves; twice, they quit at once."""
        for run in runs:
            entry, final = manifest.runs[run.name], evaluation_of(self.folder, run)
            entry.state = "pending" if final is None else "done"
            entry.win_rate = entry.win_rate_sampled = None
            if final is not None:
                entry.evaluated(final)
        manifest.save()

    def count(self, state: str) -> int:
        """How many of this call's runs are in a state."""
        return sum(self.manifest.runs[name].state == state for name in self.runs)

    def work(self, show: Callable[["Runner"], None], pause: float = 0.5) -> None:
        """Start, watch and finish runs; `show` is called once a round. Whatever ends this, no run is left behind."""
        try:
            while self.active or (not self.stops and self.count("pending")):
                for job in list(self.active):
                    self._look_after(job)
                while not self.stops and len(self.active) < self.jobs and self.count("pending"):
                    self._start(next(r for n, r in self.runs.items() if self.manifest.runs[n].state == "pending"))
                show(self)
                if self.active:
                    time.sleep(pause)
        except BaseException:
            self.stops = max(1, self.stops)
            for job in self.active:
                self._ask(job)
                if job.process is not None:
                    job.process.wait()
            raise

    def stop(self) -> None:
        """Start nothing any more; every run is asked to save and end, and at the second call to quit at once."""
        self.stops += 1

    def progress(self, run: PlannedRun) -> Progress:
        """How far a run is."""
        return progress_of(self.folder / run.name)

    def log_of(self, run: PlannedRun) -> Path:
        """Where a run's output goes."""
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
        self.active.append(Job(run, "train", self._process(run, "train", where)))

    def _process(self, run: PlannedRun, command: str, args: list[str]) -> subprocess.Popen[bytes]:
        """A process in a session of its own: Ctrl-C reaches the sweep alone, which then asks each run once."""
        self.log_of(run).parent.mkdir(parents=True, exist_ok=True)
        evaluating = command == "evaluate"
        out = self._unproven(run) if evaluating else self.log_of(run)
        if evaluating:
            out.unlink(missing_ok=True)
        with out.open("wb" if evaluating else "ab") as stdout, self.log_of(run).open("ab") as stderr:
            return subprocess.Popen(
                [sys.executable, "-m", f"mawm.{command}", *args],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )

    def _unproven(self, run: PlannedRun) -> Path:
        return self.folder / run.name / "evaluation.json.new"

    def _ask(self, job: Job) -> None:
        """Pass on what the sweep was asked; a process of an earlier sweep is left alone."""
        if job.process is not None and job.told < self.stops and job.process.poll() is None:
            job.told = self.stops
            job.process.send_signal(signal.SIGINT)

    def _look_after(self, job: Job) -> None:
        run = job.run
        if job.process is None:
            if self.stops or holder(self.folder / run.name) is None:
                self.active.remove(job)
                self._again(run)
            return
        self._ask(job)
        code = job.process.poll()
        if code is None:
            return
        self.active.remove(job)
        if code == 0 and job.step == "train" and not self.stops:
            process = self._process(run, "evaluate", [str(self.folder / run.name), "--json"])
            self.active.append(Job(run, "evaluate", process))
        elif code == 0 and job.step == "evaluate":
            self._unproven(run).replace(self.folder / run.name / "evaluation.json")
            self._done(run)
        elif self.stops:
            self._again(run)
        elif holder(self.folder / run.name) is not None:  # an earlier sweep's process was quicker
            self.active.append(Job(run, "waiting", None))
        else:
            self._failed(run, code)

    def _done(self, run: PlannedRun) -> None:
        final, entry = evaluation_of(self.folder, run), self.manifest.runs[run.name]
        if final is None:
            self._failed(run, 0)
            return
        entry.state = "done"
        entry.evaluated(final)
        self.manifest.save()

    def _again(self, run: PlannedRun) -> None:
        self.manifest.runs[run.name].state = "pending"
        self.manifest.save()

    def _failed(self, run: PlannedRun, code: int) -> None:
        entry = self.manifest.runs[run.name]
        entry.exit_codes.append(code)
        entry.state = "failed" if self.tries[run.name] >= TRIES else "pending"
        self.manifest.save()


def evaluation_of(folder: Path, run: PlannedRun) -> dict[str, Any] | None:
    """The final evaluation of a run that has all its steps, else None."""
    try:
        final: dict[str, Any] = json.loads((folder / run.name / "evaluation.json").read_text())
        return final if final["env_steps"] >= run.config.env_steps and "win_rate" in final else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_folders(folder: Path, runs: list[PlannedRun], manifest: Manifest) -> None:
    """ValueError if the folder of a run holds something else: nothing of anybody's is taken over or deleted."""
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
        alike = replace(saved, **{name: getattr(run.config, name) for name in ELSEWHERE})
        if alike != run.config:
            raise ValueError(f"{path} holds a run with other settings; choose another --out, or move it away")
