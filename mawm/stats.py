"""Running statistics over the last K values of a stream."""

import math
from typing import Any

import numpy as np


class Window:
    """Mean and standard deviation of the last `size` finite values, in float64 and in two passes over the window.

    Two passes, because sums of squares in one pass lose everything at an offset of 1e3. A value that is not finite
    never enters, so that one NaN cannot silence the next K items.
    """

    def __init__(self, size: int) -> None:
        if size < 2:
            raise ValueError(f"a window needs at least 2 values to have a deviation; got {size}")
        self._values = np.zeros(size, np.float64)
        self._count = 0

    def __len__(self) -> int:
        return min(self._count, len(self._values))

    def push(self, value: float) -> bool:
        """Enter a value; says whether it was finite and entered."""
        if not math.isfinite(value):
            return False
        self._values[self._count % len(self._values)] = value
        self._count += 1
        return True

    def moments(self) -> tuple[float, float]:
        """Mean and (population) standard deviation of what the window holds; (0, 0) while it is empty."""
        held = self._values[: len(self)]
        if not len(held):
            return 0.0, 0.0
        mean = float(held.mean())
        return mean, math.sqrt(float(np.square(held - mean).mean()))

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        return {"values": self._values[: len(self)].tolist(), "count": self._count}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._values[: len(state["values"])] = state["values"]
        self._count = int(state["count"])
