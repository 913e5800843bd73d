"""Explorers beside the primary, of which a stated part reaches it."""

import threading
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from mawm.agents.learner import GatedLearner
from mawm.envs.checked import EnvFault
from mawm.gating.explorer_hook import ExplorerHook, State
from mawm.gating.explorers import Explorers
from mawm.runtime.console import print_stderr
from mawm.sharing.provenance import Gate
from mawm.team import Team
from mawm.types import Metrics, Role, Segment, Since

Arrays = dict[str, NDArray[Any]]


class GatedExplorers(ExplorerHook):
    """Explorers beside the primary. The primary's weights are read, by copy; of theirs `handover` alone comes back.

    handover: None in `strict` mode, nothing of theirs reaches the primary; `GatedLearner.consider` in `policy` mode:
    some of its imagination starts in their segments, and its model is never fitted on them; `GatedLearner.mix` in
    `open` mode, the ablation: their segments enter the replay of its world model. In both,
    `policy_mi` compares with their policies.

    Explorers that raise, that take longer than `patience_s` for one round, or that hand over what is not theirs, are
    out for the rest of the run; the primary goes on.
    """

    def __init__(
        self,
        explorers: Explorers,
        names: tuple[str, ...],
        handover: Callable[[GatedLearner, list[Segment]], None] | None,
        patience_s: float = 300.0,
    ) -> None:
        self.explorers = explorers
        self.names = names
        self.handover = handover
        self.patience_s = patience_s
        self.gate = Gate(Role.EXPLORER)
        self.evolved_at = 0
        self.failure = ""
        """Why explorers are out, if they are."""
        self.told: Metrics = {}
        """What was logged of them last: all that is left of explorers that are out."""

    def round(self, team: Team, vector_steps: int, env_steps: int) -> Metrics:
        """Explorers play as many steps as the primary did, evolve when due, and hand over what the mode allows."""
        if self.failure:
            return {**self.told, "out": 1.0}
        weights: list[tuple[str, Arrays]] = []
        if env_steps - self.evolved_at >= self.explorers.config.evolve_every:
            self.evolved_at = env_steps
            weights = list(zip(self.names, team.call(GatedLearner.policy_weights), strict=True))
        new = not self.explorers.collector.env_steps or bool(weights)
        segments, policies = self._guarded(lambda: self._explore(vector_steps, weights))
        if self.handover is not None and segments:
            team.call(self.handover, [[s for s in segments if s.origin.agent in members] for members in team.members])
        if self.handover is not None and policies and new:
            team.call(GatedLearner.compare_with, [policies] * len(team.members))
        if not self.failure:
            self.told = {
                **self.explorers.metrics,
                "env_steps": float(self.explorers.collector.env_steps),
                "replay_steps": float(len(self.explorers.replay)),
            }
        return {**self.told, "out": float(bool(self.failure))}

    def _explore(self, vector_steps: int, weights: list[tuple[str, Arrays]]) -> tuple[list[Segment], Arrays]:
        segments = self.explorers.explore(vector_steps)
        for segment in segments:
            self.gate.check(segment.origin)
        if weights:
            self.explorers.evolve(weights)
        return segments, self.explorers.policies()

    def _guarded(self, call: Callable[[], tuple[list[Segment], Arrays]]) -> tuple[list[Segment], Arrays]:
        """What explorers hand over, or nothing and a note of why they are out."""
        answers: list[tuple[list[Segment], Arrays]] = []
        errors: list[str] = []

        def ask() -> None:
            try:
                answers.append(call())
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(self.patience_s)
        if answers:
            return answers[0]
        self._out(errors[0] if errors else f"no answer within {self.patience_s:g} s")
        return [], {}

    def _out(self, why: str) -> None:
        """From now on nobody asks explorers, or their environment, for anything."""
        self.failure = why
        print_stderr(f"explorers are out for the rest of the run ({why}); the primary goes on")

    def state(self, since: Since) -> State | None:
        """The explorers' state, when they last evolved, and whether they are out: then nothing else."""
        arrays, rest = ({}, {}) if self.failure else self._state(since)
        return arrays, {**rest, "evolved_at": self.evolved_at, "failure": self.failure, "told": self.told}

    def _state(self, since: Since) -> State:
        try:
            return self.explorers.state(since)
        except EnvFault as error:  # their environment cannot say where it stands
            self._out(str(error))
            return {}, {}

    def load_state(self, state: State) -> None:
        """Continue from `state`."""
        arrays, rest = state
        self.evolved_at, self.failure, self.told = int(rest["evolved_at"]), str(rest["failure"]), dict(rest["told"])
        if not self.failure:
            self.explorers.load_state(arrays, rest)

    def close(self) -> None:
        """Let the explorers' environment go."""
        self.explorers.collector.env.close()
