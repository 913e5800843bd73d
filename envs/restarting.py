"""Keeps an environment going that is not ours: a fresh one takes the place of one that misbehaves."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mawm.envs.checked import EnvFault, told
from mawm.runtime.console import print_stderr
from mawm.types import Ints, Step, VectorEnv

MOST = 3
"""Restarts within WITHIN environment steps; the next fault is the last."""
WITHIN = 1000
KEEP_EVERY = 100
"""Steps of every battle between two snapshots: as many are played again at most."""
T = TypeVar("T")


class NotRepeating(EnvFault):
    """A fresh environment, played as the one before, answers otherwise; the message names what differs."""


class RestartingEnv:
    """A vector environment that outlives its faults, if it repeats itself under one seed.

    `make` gives a guarded environment (`mawm.envs.checked`), fresh each time. After an EnvFault the old one is closed;
    a fresh one continues from the last snapshot, the actions since are played again, and the failed call is repeated.
    The caller notices nothing, and nothing of a faulty answer is used. The answer to the last repeated action must
    equal the earlier one, bit for bit; else NotRepeating.

    Every fault is told. EnvFault, with the last fault, at the fourth within 1000 environment steps (a step of each of B
    battles counts B, as everywhere); faults while it is made, reset, kept or continued count, too.
    """

    def __init__(self, make: Callable[[], VectorEnv], name: str) -> None:
        self._make, self.name = make, name
        self._env: VectorEnv | None = None
        self._env_steps = 0
        self._restarts: list[int] = []
        """Where in environment steps they were."""
        self._kept: dict[str, NDArray[Any]] | None = None
        self._since: list[Ints | None] = []
        """Actions since the last snapshot; None is a reset."""
        self._last: Step | None = None
        """The answer to the last of them."""
        self._fault: EnvFault | None = None
        """The last."""
        self._sizes: tuple[Any, ...] | None = None
        self.spaces, self.batch = self._sizes = self._asked(lambda env: (env.spaces, env.batch))

    def reset(self) -> Step:
        """Begin B fresh battles, as the environment does."""
        return self._play(None)

    def step(self, actions: Ints) -> Step:
        """Play one step in every battle, as the environment does."""
        step = self._play(np.array(actions))
        self._env_steps += self.batch
        return step

    def _play(self, actions: Ints | None) -> Step:
        # What is kept takes effect after the call alone: there is always an answer that a fresh environment can be
        # compared by.
        kept = self.snapshot() if len(self._since) >= KEEP_EVERY else None
        step = self._asked(lambda env: _played(env, actions))
        if kept is not None:
            self._kept, self._since = kept, []
        self._since.append(actions)
        self._last = step
        return step

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The environment's."""
        return self._asked(lambda env: env.snapshot())

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """Continue from a snapshot."""
        self._asked(lambda env: env.restore(snapshot))
        self._kept, self._since, self._last = snapshot, [], None

    def close(self) -> None:
        """Let the environment go."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _asked(self, call: Callable[[VectorEnv], T]) -> T:
        """The environment's answer, or that of a fresh one, or a fresh one's after that."""
        while True:
            try:
                if self._env is None:
                    self._env = self._begun()
                    self._continue(self._env)
                return call(self._env)
            except NotRepeating:
                self.close()
                raise
            except EnvFault as fault:
                self._fault = fault
            self.close()
            self._count(self._fault)

    def _begun(self) -> VectorEnv:
        try:
            return self._make()
        except (EnvFault, ValueError):  # the latter is a user's mistake
            raise
        except Exception as error:
            raise EnvFault(f"environment {self.name}: {told('construction', error)}") from None

    def _continue(self, env: VectorEnv) -> None:
        """Bring a fresh environment to where the one before stood."""
        if self._sizes is not None and (env.spaces, env.batch) != self._sizes:
            self._refuse(f"its sizes are {env.spaces}, before they were {self.spaces}")
        answer: Step | None = None
        try:
            if self._kept is not None:
                env.restore(self._kept)
            for actions in self._since:
                answer = _played(env, actions)
        except ValueError as error:  # what could be done before cannot be done now
            self._refuse(f"{error}")
        if answer is None or self._last is None:
            return
        before = vars(self._last)
        for field, value in vars(answer).items():
            if value.tobytes() != before[field].tobytes():
                self._refuse(f"its {field} is not what it was at the last step")

    def _refuse(self, why: str) -> None:
        raise NotRepeating(
            f"environment {self.name} does not repeat itself under one seed: played again after a fault, {why}, "
            f"so its battles cannot be continued. The fault was: {self._fault}"
        )

    def _count(self, fault: EnvFault) -> None:
        """Tell a fault, or raise it where there were too many."""
        recent = [at for at in self._restarts if self._env_steps - at < WITHIN]
        if len(recent) >= MOST:
            raise EnvFault(
                f"{fault} (it was restarted {MOST} times within {WITHIN} environment steps, and is given up)"
            )
        self._restarts = [*recent, self._env_steps]
        print_stderr(f"{fault}; a fresh one takes its place and goes on from there ({len(recent) + 1} of {MOST})")


def _played(env: VectorEnv, actions: Ints | None) -> Step:
    return env.reset() if actions is None else env.step(actions)
