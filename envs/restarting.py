"""Restarts a user's environment after a fault, and continues its battles."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mawm.envs.checked import EnvFault, constructed, rendered
from mawm.runtime.console import print_stderr
from mawm.types import Ints, Rendered, Step, VectorEnv

MOST = 3
"""Largest number of restarts within WITHIN environment steps."""
WITHIN = 1000
SNAPSHOT_EVERY = 100
"""Steps of each battle between two snapshots: a restart replays at most this many."""
T = TypeVar("T")


class NotDeterministic(EnvFault):
    """A new environment gives other answers to the same actions; the message names the difference."""


class RestartingEnv:
    """A vector environment that is restarted after faults. It must be deterministic under a seed.

    `make` returns a new environment with checks (`mawm.envs.checked`). After an EnvFault the old environment is closed.
    A new one restores the last snapshot, replays the actions since then, and repeats the failed call. The answer to the
    last replayed action must equal the earlier one bit for bit; otherwise NotDeterministic.

    Every fault is printed. At the fourth fault within 1000 environment steps (one step of B battles counts B) it raises
    EnvFault, and at once if a restart leads to the same mistake of the environment's code at the same step. Faults in
    construction, reset, snapshot and restore count too.
    """

    def __init__(self, make: Callable[[], VectorEnv], name: str) -> None:
        self._make, self.name = make, name
        self._env: VectorEnv | None = None
        self._env_steps = 0
        self._restarts: list[int] = []
        """Environment steps at which it was restarted."""
        self._snapshot: dict[str, NDArray[Any]] | None = None
        self._actions: list[Ints | None] = []
        """Actions since the last snapshot; None is a reset."""
        self._last: Step | None = None
        """The answer to the last of these actions."""
        self._fault: EnvFault | None = None
        """The last fault."""
        self._sizes: tuple[Any, ...] | None = None
        self.spaces, self.batch = self._sizes = self._call(lambda env: (env.spaces, env.batch))

    def reset(self) -> Step:
        """Begin B new battles."""
        return self._play(None)

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle."""
        step = self._play(np.array(actions))
        self._env_steps += self.batch
        return step

    def _play(self, actions: Ints | None) -> Step:
        # A new snapshot replaces the old one only after the call: so a restart always replays at least one action,
        # whose answer it can compare.
        snapshot = self.snapshot() if len(self._actions) >= SNAPSHOT_EVERY else None
        step = self._call(lambda env: _played(env, actions))
        if snapshot is not None:
            self._snapshot, self._actions = snapshot, []
        self._actions.append(actions)
        self._last = step
        return step

    def render(self) -> Rendered:
        """The environment's pictures. After a restart in a battle's last step, the picture of this step is missing."""
        return self._call(rendered)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The environment's snapshot."""
        return self._call(lambda env: env.snapshot())

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Continue from a snapshot."""
        self._call(lambda env: env.restore(snapshot))
        self._snapshot, self._actions, self._last = snapshot, [], None

    def close(self) -> None:
        """Close the environment."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _call(self, call: Callable[[VectorEnv], T]) -> T:
        """The answer of the environment, after restarts if necessary."""
        while True:
            try:
                if self._env is None:
                    self._env = constructed(self._make, f"environment {self.name}")
                    self._replay(self._env)
                return call(self._env)
            except NotDeterministic:
                self.close()
                raise
            except EnvFault as fault:
                before, self._fault = self._fault, fault
            self.close()
            self._count(self._fault, before)

    def _replay(self, env: VectorEnv) -> None:
        """Restore the last snapshot in a new environment and replay the actions since then."""
        if self._sizes is not None and (env.spaces, env.batch) != self._sizes:
            self._refuse(f"its sizes are {env.spaces}, before they were {self.spaces}")
        answer: Step | None = None
        try:
            if self._snapshot is not None:
                env.restore(self._snapshot)
            for actions in self._actions:
                answer = _played(env, actions)
        except ValueError as error:  # an action is no longer available
            self._refuse(f"{error}")
        if answer is None or self._last is None:
            return
        before = vars(self._last)
        for field, value in vars(answer).items():
            if value.tobytes() != before[field].tobytes():
                self._refuse(f"its {field} is not what it was at the last step")

    def _refuse(self, difference: str) -> None:
        raise NotDeterministic(
            f"environment {self.name} is not deterministic under a seed: in the replay after a fault, {difference}, "
            f"so its battles cannot be continued. The fault was: {self._fault}"
        )

    def _count(self, fault: EnvFault, before: EnvFault | None) -> None:
        """Print a fault, or raise it if there were too many, or if it is a mistake that a restart led to again."""
        if fault.mistake and before is not None and str(before) == str(fault):
            raise EnvFault(f"{fault} (a restart led to the same fault, so it is not restarted again)")
        recent = [at for at in self._restarts if self._env_steps - at < WITHIN]
        if len(recent) >= MOST:
            raise EnvFault(f"{fault} (after {MOST} restarts within {WITHIN} environment steps it is not restarted)")
        self._restarts = [*recent, self._env_steps]
        print_stderr(f"{fault}; it is restarted and its battles are continued ({len(recent) + 1} of {MOST})")


def _played(env: VectorEnv, actions: Ints | None) -> Step:
    return env.reset() if actions is None else env.step(actions)
