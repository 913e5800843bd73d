"""Explorers beside the primary team; the mode of the gate decides which of their data reaches the team."""

import threading
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from mawm.agents.agent import Agent
from mawm.envs.checked import EnvFault
from mawm.gating.explorer_hook import ExplorerHook, State
from mawm.gating.explorers import Explorers
from mawm.runtime.console import print_stderr
from mawm.sharing.provenance import Gate
from mawm.team import Team
from mawm.types import Metrics, Role, Segment, Since

Arrays = dict[str, NDArray[Any]]


class GatedExplorers(ExplorerHook):
    """Explorers read copies of the primary's weights; only `handover` sends their data to the primary.

    handover: None in mode `strict`: no data reaches the primary. `Agent.add_explorer_starts` in mode `policy`: a
    part of the imagination starts in explorers' segments, and the world model is never fitted on them.
    `Agent.learn_from_explorers` in mode `open` (the ablation): their segments enter the replay of the world
    model. In the last two modes, `policy_mi` uses their policies.

    If explorers raise an error, need more than `patience_s` for a round, or return segments of a foreign origin, they
    are disabled for the rest of the run. The primary continues.
    """

    def __init__(
        self,
        explorers: Explorers,
        names: tuple[str, ...],
        handover: Callable[[Agent, list[Segment]], None] | None,
        patience_s: float = 300.0,
    ) -> None:
        self.explorers = explorers
        self.names = names
        self.handover = handover
        self.patience_s = patience_s
        self.gate = Gate(Role.EXPLORER)
        self.evolved_at = 0
        self.failure = ""
        """The reason why explorers are disabled; empty while they play."""
        self.last_metrics: Metrics = {}
        """The last logged metrics; the log repeats them after explorers are disabled."""

    def round(self, team: Team, vector_steps: int, env_steps: int) -> Metrics:
        """Explorers play as many steps as the primary, evolve when due, and hand over the data that the mode allows."""
        if self.failure:
            return {**self.last_metrics, "out": 1.0}
        weights: list[tuple[str, Arrays]] = []
        if env_steps - self.evolved_at >= self.explorers.config.evolve_every:
            self.evolved_at = env_steps
            weights = list(zip(self.names, team.call(Agent.policy_weights), strict=True))
        new = not self.explorers.collector.env_steps or bool(weights)
        segments, policies = self._guarded(lambda: self._explore(vector_steps, weights))
        if self.handover is not None and segments:
            team.call(self.handover, [[s for s in segments if s.origin.agent in members] for members in team.members])
        if self.handover is not None and policies and new:
            team.call(Agent.compare_with, [policies] * len(team.members))
        if not self.failure:
            self.last_metrics = {
                **self.explorers.metrics,
                "env_steps": float(self.explorers.collector.env_steps),
                "replay_steps": float(len(self.explorers.replay)),
            }
        return {**self.last_metrics, "out": float(bool(self.failure))}

    def _explore(self, vector_steps: int, weights: list[tuple[str, Arrays]]) -> tuple[list[Segment], Arrays]:
        segments = self.explorers.explore(vector_steps)
        for segment in segments:
            self.gate.check(segment.origin)
        if weights:
            self.explorers.evolve(weights)
        # The explorers' policies are for the primary's `policy_mi`; no observation is among these arrays.
        return segments, self.explorers.policy.arrays(self.explorers.psi)

    def _guarded(self, call: Callable[[], tuple[list[Segment], Arrays]]) -> tuple[list[Segment], Arrays]:
        """The result of `call`, or nothing if it fails; then explorers are disabled."""
        results: list[tuple[list[Segment], Arrays]] = []
        errors: list[str] = []

        def run_call() -> None:
            try:
                results.append(call())
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=run_call, daemon=True)
        thread.start()
        thread.join(self.patience_s)
        if results:
            return results[0]
        self._disable(errors[0] if errors else f"no answer within {self.patience_s:g} s")
        return [], {}

    def _disable(self, reason: str) -> None:
        self.failure = reason
        print_stderr(f"explorers are out for the rest of the run ({reason}); the primary goes on")

    def state(self, since: Since) -> State | None:
        """The explorers' state and the step of their last evolution; only the reason if they are disabled."""
        arrays: Arrays = {}
        values: dict[str, Any] = {}
        if not self.failure:
            try:
                arrays, values = self.explorers.state(since)
            except EnvFault as error:  # their environment cannot give a snapshot
                self._disable(str(error))
        own = {"evolved_at": self.evolved_at, "failure": self.failure, "told": self.last_metrics}
        return arrays, {**values, **own}

    def load_state(self, state: State) -> None:
        """Continue from `state`."""
        arrays, values = state
        self.evolved_at, self.failure = int(values["evolved_at"]), str(values["failure"])
        self.last_metrics = dict(values["told"])
        if not self.failure:
            self.explorers.load_state(arrays, values)

    def close(self) -> None:
        """Close the explorers' environment."""
        self.explorers.collector.env.close()
