"""The roster of learners and where they run: in this process, or one process each. Same numbers either way."""

import contextlib
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from mawm.processes import ignore_signals, start
from mawm.types import Bools, Floats, Ints

FAREWELL_S = 5.0
MakeLearner = Callable[[int], Any]
"""Builds learner i; picklable, because it is built where it will run."""


class WorkerDied(RuntimeError):
    """A worker process ended without being asked to."""


class LearnerFailed(RuntimeError):
    """A learner raised an exception in its worker; the message carries its traceback."""


class Team(Protocol):
    """Learners i = 0..L-1; learner i acts for the environment agents `members[i]`."""

    members: tuple[tuple[int, ...], ...]

    def map(self, method: str, *arguments: Sequence[Any], **shared: Any) -> list[Any]:
        """Call `method` on every learner with its own entry of each argument list; results in order of learner."""

    def begin(self, slot: str, batch: int) -> None:
        """Forget what `slot` remembers and prepare it for `batch` battles."""

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (B, N) for observations (B, N, O), masks (B, N, A) and battle starts (B,)."""

    def close(self, *, at_once: bool = False) -> None:
        """Let the learners go; `at_once`: without waiting for what they are doing."""


class _Roster:
    """How agents' rows become lanes of learners: shared by both placements."""

    def __init__(self, members: tuple[tuple[int, ...], ...]) -> None:
        self.members = members

    def map(self, method: str, *arguments: Sequence[Any], **shared: Any) -> list[Any]:
        raise NotImplementedError

    def begin(self, slot: str, batch: int) -> None:
        """Forget what `slot` remembers and prepare it for `batch` battles."""
        self.map("begin", [slot] * len(self.members), [batch * len(m) for m in self.members])

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (B, N): each learner sees the rows of its own members, lane after lane, and nothing else."""
        lanes = [list(m) for m in self.members]
        own_obs = [obs[:, m].swapaxes(0, 1).reshape(-1, obs.shape[-1]) for m in lanes]
        own_avail = [avail[:, m].swapaxes(0, 1).reshape(-1, avail.shape[-1]) for m in lanes]
        firsts = [np.tile(is_first, len(m)) for m in lanes]
        chosen = self.map("act", own_obs, own_avail, firsts, slot=slot, mode=mode)
        actions = np.zeros(obs.shape[:2], np.int64)
        for m, own in zip(lanes, chosen, strict=True):
            actions[:, m] = own.reshape(len(m), -1).T
        return actions


class InlineTeam(_Roster):
    """All learners in this process, one after the other: the reference."""

    def __init__(self, make: MakeLearner, members: tuple[tuple[int, ...], ...]) -> None:
        super().__init__(members)
        self.learners = [make(i) for i in range(len(members))]

    def map(self, method: str, *arguments: Sequence[Any], **shared: Any) -> list[Any]:
        """Call `method` on every learner in order."""
        rows = zip(*arguments, strict=True) if arguments else [()] * len(self.learners)
        return [getattr(learner, method)(*row, **shared) for learner, row in zip(self.learners, rows, strict=True)]

    def close(self, *, at_once: bool = False) -> None:
        """Nothing to let go."""


def _serve(pipe: Connection, make: MakeLearner, indices: list[int], prepare: Callable[[], None]) -> None:
    """A worker's whole life: build its learners, answer calls until told to stop."""
    # Being stopped is the main process's affair: it saves through the workers before it lets them go, and what stops it
    # (Ctrl-C, `timeout`, a service manager) often tells all its processes at once.
    ignore_signals()
    try:
        prepare()
        learners = {i: make(i) for i in indices}
        pipe.send((True, None))
        while True:
            call = pipe.recv()
            if call is None:
                return
            method, rows, shared = call
            pipe.send(
                (True, [getattr(learners[i], method)(*row, **shared) for i, row in zip(indices, rows, strict=True)])
            )
    except (EOFError, ConnectionResetError, BrokenPipeError):  # the main process is gone
        return
    except Exception:
        with contextlib.suppress(OSError):
            pipe.send((False, traceback.format_exc()))


class ProcessTeam(_Roster):
    """One process, one thread a learner; beyond 1.5 learners a core, one process a core with several learners each.

    A real information barrier: a learner sees its own state and what comes through its pipe.
    """

    def __init__(self, make: MakeLearner, members: tuple[tuple[int, ...], ...], prepare: Callable[[], None]) -> None:
        super().__init__(members)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        count = len(members)
        workers = count if count <= 1.5 * cores else cores
        self._indices = [list(range(w, count, workers)) for w in range(workers)]
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for w, indices in enumerate(self._indices):
            here, there = context.Pipe()
            process = context.Process(
                target=_serve, args=(there, make, indices, prepare), name=f"mawm-worker-{w}", daemon=True
            )
            start(process)
            there.close()
            self._pipes.append(here)
            self._processes.append(process)
        for w in range(workers):
            self._receive(w)

    def map(self, method: str, *arguments: Sequence[Any], **shared: Any) -> list[Any]:
        """Send every worker its share, then gather: all workers work at the same time."""
        rows = list(zip(*arguments, strict=True)) if arguments else [()] * len(self.members)
        for w, indices in enumerate(self._indices):
            try:
                self._pipes[w].send((method, [rows[i] for i in indices], shared))
            except (BrokenPipeError, ConnectionResetError):
                self._report_death(w)
        results: list[Any] = [None] * len(self.members)
        for w, indices in enumerate(self._indices):
            for i, result in zip(indices, self._receive(w), strict=True):
                results[i] = result
        return results

    def _receive(self, worker: int) -> Any:
        try:
            fine, result = self._pipes[worker].recv()
        except (EOFError, ConnectionResetError):
            self._report_death(worker)
        if not fine:
            raise LearnerFailed(f"{self._names(worker)} failed in its process:\n{result}")
        return result

    def _names(self, worker: int) -> str:
        agents = [a for i in self._indices[worker] for a in self.members[i]]
        return "agent " + ", ".join(map(str, agents))

    def _report_death(self, worker: int) -> None:
        process = self._processes[worker]
        process.join(timeout=5)
        raise WorkerDied(
            f"the process of {self._names(worker)} died (exit code {process.exitcode}); "
            "checkpoints already written are intact: go on with --resume"
        )

    def close(self, *, at_once: bool = False) -> None:
        """Stop all workers: asked to, they have five seconds together; then, or `at_once`, they are killed."""
        deadline = time.monotonic() + (0.0 if at_once else FAREWELL_S)
        for pipe in () if at_once else self._pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
        for process in self._processes:
            process.join(timeout=max(0.0, deadline - time.monotonic()))
            process.kill()
            process.join()
