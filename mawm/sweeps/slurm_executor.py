"""The runs of a sweep as jobs of SLURM, by the package submitit. Its local jobs stand in for a cluster in tests."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from mawm.configs.sweeps import SlurmConfig, extra_parameters
from mawm.storage.atomic_files import write_whole
from mawm.sweeps.executors import LOST, RefusedError, Started, Task, open_process

QUEUED = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
"""States of SLURM in which a job has not begun."""
RUNNING = ("RUNNING", "COMPLETING", "SUSPENDED", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED")
NOT_LISTED = "UNKNOWN"
"""submitit's state of a job that the accounting does not list yet."""
SAME_NOTICE_S = 5.0
"""Seconds within which several signals are one notice: at preemption SLURM may send SIGTERM and SIGUSR2."""
POLL_S = 0.2
"""Seconds between two checks whether a job's process has ended."""
SHARED_DISK_S = 15.0
"""Seconds in which the result of a job that has ended appears on this machine's view of the shared disk."""


class SlurmExecutor:
    """The queue of SLURM. submitit keeps its files in the folder `slurm` of the sweep."""

    name = "slurm"

    def __init__(self, folder: Path, config: SlurmConfig) -> None:
        """ValueError if this machine has no SLURM."""
        import submitit

        self._folder = folder / "slurm"
        self._local = config.cluster == "local"
        if self._local:
            self._queue: Any = submitit.LocalExecutor(self._folder)
            self._queue.update_parameters(timeout_min=config.minutes, signal_delay_s=config.notice_s)
            return
        try:
            self._queue = submitit.SlurmExecutor(self._folder)
        except RuntimeError:  # submitit looks for srun
            raise ValueError("--executor slurm needs SLURM's commands srun and sbatch; this machine has none") from None
        self._queue.update_parameters(
            time=config.minutes, signal_delay_s=config.notice_s, mem=config.mem, cpus_per_task=config.cpus_per_task,
            partition=config.partition or None,
            # The sweep itself submits a preempted job again: a second job from SLURM would find the folder locked.
            additional_parameters={"no-requeue": True, **extra_parameters(config.extra)},
        )  # fmt: skip

    def start(self, task: Task) -> Started:
        """Submit a job, or take over the job for this task that an earlier sweep left in the queue."""
        record = self._folder / f"{task.name}.json"
        left = None if self._local else self._left(record)
        if left is not None:
            return left
        if not self._local:
            self._queue.update_parameters(job_name=f"mawm-{task.name}")
        try:
            with _without_ctrl_c() if self._local else contextlib.nullcontext():
                job = self._queue.submit(run_in_job, task)
        except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
            raise RefusedError(f"SLURM does not take the job of {task.name} ({' '.join(str(error).split())})") from None
        write_whole(record, json.dumps({"job": job.job_id}) + "\n")
        return LocalJob(job) if self._local else SlurmJob(job)

    def _left(self, record: Path) -> "SlurmJob | None":
        try:
            number = str(json.loads(record.read_text())["job"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        job = SlurmJob(self._queue.job_class(self._queue.folder, number))
        return job if job.state() in (*QUEUED, *RUNNING) else None


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes that are started inside this context ignore SIGINT.

    The terminal sends Ctrl-C to the sweep and also to submitit's processes, which would end at once, with a traceback
    and before their runs are saved. The sweep alone must get it: it notifies each job.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class SlurmJob:
    """A job in the queue of SLURM."""

    def __init__(self, job: Any) -> None:
        self._job = job
        self._code: int | None = None
        self._error = ""
        self._ended_s: float | None = None
        self._stops = 0

    def state(self) -> str:
        """The job's state in the words of SLURM, from the last answer of its accounting."""
        words = str(self._job.state).split()  # as in `CANCELLED by 1000`
        return words[0].rstrip("+") if words else NOT_LISTED

    def poll(self) -> int | None:
        """The exit code; LOST if the job got a notice before it was done, or has ended without an exit code."""
        if self._code is None:
            self._code = self._look()
        return self._code

    def status(self) -> str:
        """The job's number and state."""
        code, state = self.poll(), self.state()
        if code is not None:
            reason = self._error or (state if code == LOST else f"exit code {code}")
            return f"ended (job {self._job.job_id}: {reason})"
        return f"{'running' if state in RUNNING else 'queued'} (job {self._job.job_id}: {state})"

    def stop(self) -> None:
        """Take the job out of the queue, or notify it so that the run saves; at the second call SLURM cancels it."""
        self._stops += 1
        number = str(self._job.job_id)
        if self._stops > 1:
            subprocess.run(["scancel", number], check=False)
        else:  # a plain scancel would give the run 30 seconds
            subprocess.run(["scancel", "--state=PENDING", number], check=False)
            subprocess.run(["scancel", "--state=RUNNING", "--signal=USR2", number], check=False)

    def _look(self) -> int | None:
        from submitit.core.utils import UncompletedJobError

        if self._job.paths.result_pickle.exists():
            try:
                return int(self._job.result())
            except UncompletedJobError as error:  # `run_in_job` itself has failed
                self._error = str(error).strip().splitlines()[-1]
                return 1
        if self.state() in (*QUEUED, *RUNNING, NOT_LISTED):
            return None
        now = time.monotonic()
        self._ended_s = self._ended_s or now
        return LOST if now - self._ended_s >= SHARED_DISK_S else None


class LocalJob(SlurmJob):
    """A job of submitit on this machine. Its number is that of a process, which forwards SIGTERM."""

    def stop(self) -> None:
        """Notify the job."""
        if self.poll() is None:
            os.kill(int(self._job.job_id), signal.SIGTERM)


def run_in_job(task: Task) -> int:
    """Run a task's process in a job, and forward notices as SIGTERM. Returns its exit code, or LOST after a notice."""
    notices: list[float] = []
    process: subprocess.Popen[bytes] | None = None

    def forward(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not notices or now - notices[0] > SAME_NOTICE_S:
            notices.append(now)
            if process is not None:
                process.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, forward)
    # SLURM sends SIGUSR2 to the run too, which would end at once. The run inherits that the signal is blocked.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR2,))
    process = open_process(task)
    if notices:
        process.send_signal(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGUSR2,))
    while process.poll() is None:  # `wait` would delay the handler if a thread of numpy gets the signal
        time.sleep(POLL_S)
    code = process.returncode
    return LOST if notices and code else code
