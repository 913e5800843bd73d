"""One actor of Ray for each learner. The numbers are the same as in one process."""

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from mawm.cluster.node_facts import Facts, differences, facts_here
from mawm.team import LearnerFailed, MakeLearner, Team, WorkerDied

ROOM_S = 60.0
"""Seconds within which the cluster must have a free CPU for each learner."""
BUILD_S = 600.0
"""Seconds within which all learners must be built. A node that is busy imports torch slowly."""
REASONS = {
    "ActorDiedError": "its process ended",
    "ActorUnavailableError": "its node gives no answer",
    "NodeDiedError": "its node died",
    "OutOfMemoryError": "Ray ended its process, because the memory of its node is full",
}
"""What Ray's errors mean for a learner."""
T = TypeVar("T")
Answer = tuple[bool, Any]
"""Whether a call succeeded; its result, or the traceback."""


class NoRoom(RuntimeError):
    """The cluster has too few free CPUs for the learners."""


class LearnerActor:
    """Holds one learner in a process of a node, and calls its methods."""

    learner: Any

    def build(self, make: MakeLearner, index: int, prepare: Callable[[], None]) -> Answer:
        """Build learner `index`; the result is the identity of the node and its facts."""
        return _answer(lambda: self._build(make, index, prepare))

    def call(self, method: str, row: tuple[Any, ...], shared: dict[str, Any]) -> Answer:
        """Call a method of the learner. Arrays in the arguments may be read-only: Ray shares their memory."""
        return _answer(lambda: getattr(self.learner, method)(*row, **shared))

    def _build(self, make: MakeLearner, index: int, prepare: Callable[[], None]) -> tuple[str, Facts]:
        import ray

        prepare()
        self.learner = make(index)
        return str(ray.get_runtime_context().get_node_id()), facts_here()


def _answer(call: Callable[[], Any]) -> Answer:
    try:
        return True, call()
    except Exception:
        return False, traceback.format_exc()


class RayTeam(Team):
    """One actor with a CPU of its own for each learner, on as many nodes as possible. Ray must be connected.

    An actor works on one call at a time, and results are collected in the order of the learners. So the numbers do not
    depend on the order in which answers arrive. Ray restarts no actor and repeats no call: a restarted actor would have
    forgotten what it learned, and a repeated call could apply an update twice.
    """

    def __init__(self, make: MakeLearner, members: tuple[tuple[int, ...], ...], prepare: Callable[[], None]) -> None:
        """Raise NoRoom, WorkerDied or LearnerFailed if the learners cannot be built."""
        super().__init__(members)
        import ray
        from ray.util.placement_group import remove_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        self._ray: Any = ray
        with contextlib.ExitStack() as cleanup_on_failure:
            group = _reserved(len(members))
            self._remove_group: Callable[[], Any] = partial(remove_placement_group, group)
            self._actors: list[Any] = []
            cleanup_on_failure.callback(self.close, at_once=True)
            for i in range(len(members)):
                actor = ray.remote(LearnerActor).options(
                    num_cpus=1, max_restarts=0, max_task_retries=0, max_concurrency=1, runtime_env=_variables(),
                    scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=i),
                )  # fmt: skip
                self._actors.append(actor.remote())
            self.build(make, prepare)
            cleanup_on_failure.pop_all()

    def build(self, make: MakeLearner, prepare: Callable[[], None]) -> None:
        """Let each actor build its learner, in place of the one it had."""
        refs = [actor.build.remote(make, i, prepare) for i, actor in enumerate(self._actors)]
        built = [self._receive(i, ref, BUILD_S) for i, ref in enumerate(refs)]
        addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in self._ray.nodes()}
        self.places = tuple(f"{addresses.get(node, 'unknown')} ({node[:8]})" for node, _ in built)
        here = facts_here()
        self.differences = tuple(
            line for i, (_, there) in enumerate(built) for line in differences(self._name(i), there, here)
        )

    def call(self, method: Callable[..., T], *lists: Sequence[Any], **shared: Any) -> list[T]:
        """Send the calls to all actors, then collect the results: learners work in parallel."""
        rows = list(zip(*lists, strict=True)) if lists else [()] * len(self.members)
        refs = [actor.call.remote(method.__name__, row, shared) for actor, row in zip(self._actors, rows, strict=True)]
        return [self._receive(i, ref) for i, ref in enumerate(refs)]

    def _receive(self, learner: int, ref: Any, limit_s: float | None = None) -> Any:
        errors = self._ray.exceptions
        try:
            fine, result = self._ray.get(ref, timeout=limit_s)
        except errors.GetTimeoutError:
            raise WorkerDied(f"{self._name(learner)} was not built within {limit_s:.0f} s") from None
        except errors.RayTaskError as error:  # say, its result cannot be sent
            raise LearnerFailed(f"{self._name(learner)} failed in its actor:\n{error}") from None
        except errors.RayError as error:
            raise WorkerDied(f"{self._name(learner)} was lost ({_reason(error)})") from None
        if not fine:
            raise LearnerFailed(f"{self._name(learner)} failed in its actor:\n{result}")
        return result

    def _name(self, learner: int) -> str:
        agents = "agent " + ", ".join(map(str, self.members[learner]))
        return f"{agents} on node {self.places[learner]}" if self.places else agents

    def close(self, *, at_once: bool = False) -> None:
        """Kill all actors, and free their CPUs."""
        for actor in self._actors:
            with contextlib.suppress(Exception):  # the cluster may be lost
                self._ray.kill(actor, no_restart=True)
        with contextlib.suppress(Exception):
            self._remove_group()


def _reserved(learners: int) -> Any:
    """A placement group with a CPU for each learner: all of them at once, so that two runs do not wait for each other.

    NoRoom if the cluster does not have them within `ROOM_S`.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    group = placement_group([{"CPU": 1.0}] * learners, strategy="SPREAD")
    end = time.monotonic() + ROOM_S
    while not group.wait(1.0):
        if time.monotonic() > end:
            remove_placement_group(group)
            resources: list[dict[str, float]] = [ray.available_resources(), ray.cluster_resources()]
            free, all_cpus = (of.get("CPU", 0.0) for of in resources)
            raise NoRoom(
                f"the Ray cluster has no room for {learners} learner(s) with a CPU each: {free:g} of {all_cpus:g} CPUs "
                f"are free after {ROOM_S:.0f} s; add a node (`ray start --address=HOST:PORT`), or wait for other runs"
            )
    return group


def _variables() -> dict[str, Any]:
    """Environment variables of the actors: modules that every process of mawm imports (`mawm.plugins`)."""
    names = os.environ.get("MAWM_PLUGINS")
    return {"env_vars": {"MAWM_PLUGINS": names}} if names else {}


def _reason(error: Exception) -> str:
    """Ray's reason in a few words; the first line of its message for a rare one."""
    kind = "NodeDiedError" if "node has died" in str(error) else type(error).__name__
    return REASONS.get(kind, f"{kind}: {str(error).splitlines()[0]}")
