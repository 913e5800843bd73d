"""Running statistics over the last K values of a stream."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGMA_FLOOR = 1e-9
"""A window whose deviation is below this share of its mean is constant up to rounding."""


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
        self._moments: tuple[float, float] | None = None

    def __len__(self) -> int:
        return min(self._count, len(self._values))

    def push(self, value: float) -> bool:
        """Enter a value; says whether it was finite and entered."""
        if not math.isfinite(value):
            return False
        self._values[self._count % len(self._values)] = value
        self._count += 1
        self._moments = None
        return True

    def values(self) -> NDArray[np.float64]:
        """What the window holds, in no particular order; not to be written to."""
        held: NDArray[np.float64] = self._values[: len(self)]
        return held

    def moments(self) -> tuple[float, float]:
        """Mean and (population) standard deviation of what the window holds; (0, 0) while it is empty."""
        if self._moments is None:
            held = self.values()
            mean = float(held.mean()) if len(held) else 0.0
            self._moments = mean, math.sqrt(float(np.square(held - mean).mean())) if len(held) else 0.0
        return self._moments

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        return {"values": self._values[: len(self)].tolist(), "count": self._count}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._values[: len(state["values"])] = state["values"]
        self._count = int(state["count"])
        self._moments = None
