"""The team of learners, in this process or in worker processes. The numbers are the same in both.

`mawm.cluster.ray_team` has a third kind: on the nodes of a cluster.
"""

import contextlib
import multiprocessing
import os
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import numpy as np

from mawm.agents.agent import Agent
from mawm.agents.learner import Incidents, Learner, State
from mawm.agents.stacked.learners import StackedLearners
from mawm.runtime.processes import ignore_signals, start
from mawm.sharing.broadcast import Outbox
from mawm.sharing.linked_learner import LinkedLearner
from mawm.types import Bools, Floats, Ints, Metrics, Segment, Since

CLOSE_S = 5.0
"""Seconds in which workers must end after a request; then they are killed."""
T = TypeVar("T")
MakeLearner = Callable[[int], Any]
"""Builds learner i; picklable, because it is built where it will run."""


class WorkerDied(RuntimeError):
    """The process of a learner, or its node, ended without being asked to. The message names the agents."""


class LearnerFailed(RuntimeError):
    """A learner raised an exception in its worker; the message carries its traceback."""


class Actors:
    """Acts in battles: a team of learners, or explorers. By default without memory."""

    members: tuple[tuple[int, ...], ...]
    """The environment agents that each actor acts for."""

    def begin(self, slot: str, batch: int) -> None:
        """Forget what `slot` ("train" or "eval") remembers and prepare it for `batch` battles."""

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (B, N) for observations (B, N, O), masks (B, N, A) and battle starts (B,)."""
        raise NotImplementedError


class Team(Actors, ABC):
    """Learners i = 0..L-1; learner i acts for the environment agents `members[i]`.

    Each method calls the learners' method of that name. A list has an entry for each learner, and so have the results.
    """

    places: tuple[str, ...] = ()
    """The node of each learner; empty if all of them learn on this machine."""
    differences: tuple[str, ...] = ()
    """How the nodes differ from this machine in facts on which numbers depend, one line each."""

    def __init__(self, members: tuple[tuple[int, ...], ...]) -> None:
        self.members = members

    @abstractmethod
    def call(self, method: Callable[..., T], *lists: Sequence[Any], **shared: Any) -> list[T]:
        """Call a method (say `Learner.remember`) on every learner, with its entry of each list and with `shared`."""

    def close(self, *, at_once: bool = False) -> None:
        """Close the learners; `at_once`: without waiting for their current call."""

    def begin(self, slot: str, batch: int) -> None:
        """Forget what `slot` remembers and prepare it for `batch` battles."""
        self.call(Learner.begin, [slot] * len(self.members), [batch * len(m) for m in self.members])

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (B, N) for observations (B, N, O), masks (B, N, A) and battle starts (B,).

        Each learner sees the rows of its own members, lane after lane, and nothing else.
        """
        rows = self.rows_of_learners(obs, avail, is_first)
        return self.joined_actions(self.call(Learner.act, *rows, slot=slot, mode=mode), obs.shape[:2])

    def played(self, actions: Ints, *, slot: str) -> None:
        """The actions (B, N) that were played in the last step, if others replaced some of those of `act`."""
        self.call(Learner.played, [actions[:, list(m)].T.reshape(-1) for m in self.members], slot=slot)

    def rows_of_learners(
        self, obs: Floats, avail: Bools, is_first: Bools
    ) -> tuple[list[Floats], list[Bools], list[Bools]]:
        """Each learner's observations (L, O), masks (L, A) and battle starts (L,): its members' lanes in order."""
        lanes = [list(m) for m in self.members]
        own_obs = [obs[:, m].swapaxes(0, 1).reshape(-1, obs.shape[-1]) for m in lanes]
        own_avail = [avail[:, m].swapaxes(0, 1).reshape(-1, avail.shape[-1]) for m in lanes]
        return own_obs, own_avail, [np.tile(is_first, len(m)) for m in lanes]

    def joined_actions(self, chosen: Sequence[Ints], shape: tuple[int, ...]) -> Ints:
        """Actions (B, N) from each learner's actions (L,)."""
        actions = np.zeros(shape, np.int64)
        for members, own in zip(self.members, chosen, strict=True):
            actions[:, list(members)] = own.reshape(len(members), -1).T
        return actions

    def remember(self, segments: Sequence[list[Segment]]) -> None:
        """Let each learner keep its own experience."""
        self.call(Learner.remember, segments)

    def offer_segments(self, segments: Sequence[list[Segment]], *, env_steps: int) -> list[Outbox]:
        """The segments of this experience that each learner broadcasts."""
        return self.call(Learner.offer_segments, segments, env_steps=env_steps)

    def admit(self, messages: Sequence[list[bytes]]) -> list[Metrics]:
        """Let each learner keep the experience that it received."""
        return self.call(Learner.admit, messages)

    def fit_world_model(self, updates: int) -> list[Metrics]:
        """Gradient steps on each world model."""
        return self.call(Learner.fit_world_model, [updates] * len(self.members))

    def imagine(self, updates: int) -> None:
        """Let each learner imagine rollouts for `updates` behaviour updates."""
        self.call(Learner.imagine, [updates] * len(self.members))

    def offer_rollouts(self, *, env_steps: int) -> list[Outbox]:
        """The imagined rollouts that each learner broadcasts."""
        return self.call(Learner.offer_rollouts, env_steps=env_steps)

    def fit_behaviour(
        self, messages: Sequence[list[bytes]], *, env_steps: int, share_won: float = 0.0
    ) -> list[Metrics]:
        """Gradient steps on each actor and critic."""
        return self.call(Learner.fit_behaviour, messages, env_steps=env_steps, share_won=share_won)

    def incidents(self) -> list[Incidents]:
        """Updates of each learner since the last call that were not finite."""
        return self.call(Learner.incidents)

    def model_errors(self, segments: Sequence[list[Segment]]) -> list[Metrics]:
        """Errors of each world model on its segments."""
        return self.call(Learner.model_error, segments)

    def states(self, since: Sequence[Since | None] | None = None) -> list[State]:
        """The state of each learner."""
        return self.call(Learner.state, since or [None] * len(self.members))

    def load_states(self, states: Sequence[State]) -> None:
        """Continue from `states`."""
        self.call(Learner.load_state, [arrays for arrays, _ in states], [values for _, values in states])


class InlineTeam(Team):
    """All learners in this process, one after the other: the reference."""

    def __init__(self, make: MakeLearner, members: tuple[tuple[int, ...], ...]) -> None:
        super().__init__(members)
        self.learners = [make(i) for i in range(len(members))]

    def call(self, method: Callable[..., T], *lists: Sequence[Any], **shared: Any) -> list[T]:
        """Call a method on every learner in order."""
        rows = zip(*lists, strict=True) if lists else [()] * len(self.learners)
        each = zip(self.learners, rows, strict=True)
        return [getattr(learner, method.__name__)(*row, **shared) for learner, row in each]


class StackedTeam(InlineTeam):
    """All learners in this process; their gradient steps, imagination and actions run for all of them at once.

    The mathematics is that of `InlineTeam`; sums are rounded in another order.
    """

    def __init__(self, make: MakeLearner, members: tuple[tuple[int, ...], ...]) -> None:
        super().__init__(make, members)
        self.stacked = StackedLearners(self.learners)

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Actions (B, N) as in `Team.act`."""
        rows = self.rows_of_learners(obs, avail, is_first)
        return self.joined_actions(self.stacked.act(*rows, slot, mode), obs.shape[:2])

    def fit_world_model(self, updates: int) -> list[Metrics]:
        """Gradient steps on all world models."""
        return self.call(Agent.finish_fit_world_model, self.stacked.fit_world_models(updates))

    def imagine(self, updates: int) -> None:
        """Rollouts of all learners."""
        self.stacked.imagine(updates)

    def fit_behaviour(
        self, messages: Sequence[list[bytes]], *, env_steps: int, share_won: float = 0.0
    ) -> list[Metrics]:
        """Gradient steps on all actors and critics."""
        received = self.call(Agent.begin_fit_behaviour, messages, share_won=share_won)
        metrics = self.stacked.fit_behaviours(received, env_steps)
        for learner in self.learners:
            learner.acting.follow(learner.model_trainer.updates)
        return metrics

    def load_states(self, states: Sequence[State]) -> None:
        """Continue from `states`."""
        super().load_states(states)
        self.stacked.forget_graphs()


def _serve(pipe: Connection, make: MakeLearner, indices: list[int], prepare: Callable[[], None]) -> None:
    """A worker process: build its learners, then answer calls until the request to stop."""
    # Only the main process handles signals: it saves a checkpoint through the workers before it closes them. Ctrl-C,
    # `timeout` and service managers often signal all processes at once.
    ignore_signals()
    learners: dict[int, Any] = {}
    try:
        prepare()
        for i in indices:
            learners[i] = make(i)
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
    finally:
        for learner in learners.values():
            if isinstance(learner, LinkedLearner):
                learner.close()


class ProcessTeam(Team):
    """One process, one thread a learner; beyond 1.5 learners a core, one process a core with several learners each.

    An information barrier: a learner has access only to its own state and to the messages through its pipe.
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

    def call(self, method: Callable[..., T], *lists: Sequence[Any], **shared: Any) -> list[T]:
        """Send the calls to all workers, then collect the results: workers run in parallel."""
        rows = list(zip(*lists, strict=True)) if lists else [()] * len(self.members)
        for w, indices in enumerate(self._indices):
            try:
                self._pipes[w].send((method.__name__, [rows[i] for i in indices], shared))
            except (BrokenPipeError, ConnectionResetError):
                self._report_death(w)
        results: list[Any] = [None] * len(self.members)
        for w, indices in enumerate(self._indices):
            for i, result in zip(indices, self._receive(w), strict=True):
                results[i] = result
        return results

    def _receive(self, worker: int) -> Any:
        # A worker may wait for messages of another one that has died. So the first death is reported, also if it is
        # that of a worker that was not asked.
        ready = wait([self._pipes[worker], *(process.sentinel for process in self._processes)])
        if self._pipes[worker] not in ready:
            worker = next(w for w, process in enumerate(self._processes) if process.sentinel in ready)
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
        raise WorkerDied(f"the process of {self._names(worker)} died (exit code {process.exitcode})")

    def close(self, *, at_once: bool = False) -> None:
        """Stop all workers: they have five seconds to end; then, or `at_once`, they are killed."""
        deadline = time.monotonic() + (0.0 if at_once else CLOSE_S)
        for pipe in () if at_once else self._pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
        for process in self._processes:
            process.join(timeout=max(0.0, deadline - time.monotonic()))
            process.kill()
            process.join()
