"""Faulty market environments for tests. Spawned processes import this file, so it imports little."""

import ctypes
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.envs.market.vector import MarketVectorEnv
from mawm.types import Ints, Step


def fails(error: Exception) -> None:
    raise error


def spoilt(step: Step, field: str, value: Any) -> Step:
    array = getattr(step, field).copy()
    array[0, 1] = value
    return replace(step, **{field: array})


FAULTS = {
    "raises": lambda step: fails(RuntimeError("the game is gone")),
    "raises without arguments": lambda step: fails(ConnectionError()),
    "hangs": lambda step: time.sleep(1000.0),
    "hangs in compiled code": lambda step: ctypes.PyDLL(None).sleep(1000),  # without letting go of the interpreter
    "is killed": lambda step: os.kill(os.getpid(), signal.SIGKILL),
    "ends": lambda step: os._exit(7),
    "NaN": lambda step: spoilt(step, "obs", np.nan),
    "Inf": lambda step: spoilt(step, "state", np.inf),
    "a wrong shape": lambda step: replace(step, reward=step.reward[:, None]),
    "a wrong type": lambda step: replace(step, obs=step.obs.astype(np.float64)),
    "another number of agents": lambda step: replace(step, avail=step.avail[:, :2]),
    "no action": lambda step: spoilt(step, "avail", False),
    "StarCraft's answer after a crash": lambda step: (0, True, {}),
}


class Shaky(MarketVectorEnv):
    """Has the faults of `plan` (step: fault; 0 is the reset, -1 the construction), once each if `marks` is given."""

    def __init__(self, batch: int, plan: dict[int, str], marks: Path | None = None) -> None:
        super().__init__(batch, 0)
        self.plan, self.marks, self.played = plan, marks, -1
        self._perhaps(None)

    def _perhaps(self, step: Any) -> Any:
        fault = self.plan.get(self.played)
        if fault is None:
            return step
        if self.marks is not None:
            mark = self.marks / str(self.played)
            if mark.exists():
                return step
            mark.touch()
        return FAULTS[fault](step)

    def reset(self) -> Step:
        """Reset, or have a fault."""
        self.played = 0
        return self._perhaps(super().reset())

    def step(self, actions: Ints) -> Step:
        """Step, or have a fault."""
        self.played += 1
        return self._perhaps(super().step(actions))

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """With the number of steps."""
        return {**super().snapshot(), "played": np.array(self.played)}

    def restore(self, snapshot: dict[str, NDArray[Any]]) -> None:
        """With the number of steps."""
        super().restore(snapshot)
        self.played = int(snapshot["played"])


class Moody(Shaky):
    """Is not deterministic: each instance draws other sessions."""

    def __init__(self, batch: int, plan: dict[int, str], marks: Path) -> None:
        super().__init__(batch, plan, marks)
        self._seed = time.monotonic_ns()


class WithChild(Shaky):
    """Prints a line and starts a child process."""

    def __init__(self, batch: int, plan: dict[int, str], pid_file: Path) -> None:
        super().__init__(batch, plan, pid_file.parent)
        os.write(1, b"welcome")
        pid_file.write_text(str(subprocess.Popen(["sleep", "1000"]).pid))
