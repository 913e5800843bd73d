"""Replay: ring buffers of steps, one for each stream, from which sequences are sampled."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mawm.sharing.provenance import Gate
from mawm.types import ROLES, Bools, Floats, Ints, Segment, Spaces

COPIED = ("obs", "prev_action", "reward", "terminal", "is_first")
"""Fields of a segment that are stored as they are."""


class Sequences(NamedTuple):
    """Sampled sequences, time first: obs (T, B, O), avail (T, B, A), all others (T, B).

    `is_first`: a battle begins here. `reset`: the memory must be reset here, because a battle begins or because the
    previous row belongs to another stream (then the past is unknown).
    """

    obs: Floats
    prev_action: Ints
    reward: Floats
    terminal: Bools
    is_first: Bools
    reset: Bools
    avail: Bools


class Replay:
    """`lanes` ring buffers with a total of `capacity` steps. A lane is one stream in temporal order.

    A sampled sequence may contain several battles: `reset` marks where the memory must be reset. Masks are stored as
    bits. A segment whose sizes differ from the environment's raises ValueError. Every row stores its origin, and the
    gate checks it when the row is added and when it is sampled.
    """

    def __init__(self, spaces: Spaces, capacity: int, lanes: int, gate: Gate, recent_steps: int = 1) -> None:
        if capacity < lanes:
            raise ValueError(f"replay capacity is {capacity} steps; {lanes} lanes need at least one step each")
        self.spaces = spaces
        self.gate = gate
        self.depth = capacity // lanes
        self.recent = max(1, recent_steps // lanes)
        """Number of a lane's newest rows that count as recent."""
        rows = (lanes, 0)  # it grows up to `depth`, which most runs never reach
        self._data: dict[str, NDArray[np.generic]] = {
            "obs": np.zeros((*rows, spaces.obs_size), np.float32),
            "prev_action": np.zeros(rows, np.int16),
            "reward": np.zeros(rows, np.float32),
            "terminal": np.zeros(rows, np.bool_),
            "is_first": np.zeros(rows, np.bool_),
            "reset": np.zeros(rows, np.bool_),
            "avail": np.zeros((*rows, (spaces.n_actions + 7) // 8), np.uint8),
            "agent": np.zeros(rows, np.int16),
            "role": np.zeros(rows, np.uint8),
            "episode": np.zeros(rows, np.int64),
        }
        self._written = np.zeros(lanes, np.int64)

    def __len__(self) -> int:
        return int(np.minimum(self._written, self.depth).sum())

    @property
    def lanes(self) -> int:
        """Number of streams."""
        return len(self._written)

    def add(self, segments: Iterable[Segment], *, joined: bool = True) -> None:
        """Append segments to their lanes; with `joined=False` the memory is reset at the start of each segment.

        This does not change `is_first`: a received segment may start in the middle of a battle. ProvenanceError for an
        origin that the gate refuses; then no segment of this call is appended.
        """
        segments = list(segments)
        for segment in segments:
            self.gate.check(segment.origin)
            self._check(segment)
        for segment in segments:
            lane = segment.lane if joined else int(np.argmin(self._written))
            reset = segment.is_first.copy()
            reset[0] |= not joined
            self._append(lane, segment, reset)

    def _check(self, segment: Segment) -> None:
        steps = len(segment)
        shapes = {"obs": (steps, self.spaces.obs_size), "avail": (steps, self.spaces.n_actions)}
        for name, expected in shapes.items():
            got = getattr(segment, name).shape
            if got != expected or steps == 0:
                raise ValueError(
                    f"a segment of agent {segment.origin.agent} has {name} of shape {got}; "
                    f"expected {expected}, steps >= 1"
                )

    def _append(self, lane: int, segment: Segment, reset: Bools) -> None:
        start, steps = int(self._written[lane]), len(segment)
        self._grow(start + steps)
        at = np.arange(start, start + steps) % self.depth
        values: dict[str, NDArray[Any] | int] = {
            **{name: getattr(segment, name) for name in COPIED},
            "reset": reset,
            "avail": np.packbits(segment.avail, axis=-1),
            "agent": segment.origin.agent,
            "role": ROLES.index(segment.origin.role),
            "episode": segment.origin.episode,
        }
        for name, value in values.items():
            self._data[name][lane, at] = value
        self._written[lane] += steps

    def _grow(self, steps: int) -> None:
        have = self._data["reward"].shape[1]
        if steps <= have or have == self.depth:
            return
        room = min(self.depth, max(steps, 2 * have, 1024))
        for name, old in self._data.items():
            new = np.zeros((old.shape[0], room, *old.shape[2:]), old.dtype)
            new[:, :have] = old
            self._data[name] = new

    @property
    def written(self) -> int:
        """Rows ever appended, over all lanes."""
        return int(self._written.sum())

    def places(self, length: int) -> int:
        """Number of different sequences of `length` steps that can be sampled."""
        return int(np.maximum(np.minimum(self._written, self.depth) - length + 1, 0).sum())

    def sample(self, batch: int, length: int, rng: np.random.Generator, recent: float = 0.0) -> Sequences:
        """`batch` sequences of `length` steps; ValueError if there is none.

        Each is drawn uniformly, with probability `recent` from those that begin in recent rows, else from all. Recent
        rows show the present policies of the team; old rows show other behaviour. ProvenanceError if a sampled row has
        a role that the gate refuses.
        """
        held = np.minimum(self._written, self.depth)
        starts = np.maximum(held - length + 1, 0)
        if not starts.any():
            raise ValueError(f"no lane of the replay holds {length} steps yet: the longest has {int(held.max())}")
        lane, place = self._places(starts, batch, rng)
        if recent > 0.0:
            newest = np.minimum(starts, self.recent)
            new_lane, new_place = self._places(newest, batch, rng)
            new_place += (starts - newest)[new_lane]
            is_new = rng.random(batch) < recent
            lane, place = np.where(is_new, new_lane, lane), np.where(is_new, new_place, place)
        number = (self._written - held)[lane] + place + np.arange(length)[:, None]
        at = number % self.depth
        picked: dict[str, Any] = {name: data[lane, at] for name, data in self._data.items()}
        self.gate.check_rows(*(picked[name] for name in ("agent", "role", "episode")))
        picked["prev_action"] = picked["prev_action"].astype(np.int64)
        return Sequences(
            **{name: picked[name] for name in (*COPIED, "reset")},
            avail=np.unpackbits(picked["avail"], axis=-1, count=self.spaces.n_actions).astype(np.bool_),
        )

    @staticmethod
    def _places(starts: Ints, batch: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """`batch` pairs of a lane and a place in [0, starts[lane]), uniform over all places."""
        ends = np.cumsum(starts)
        place = rng.integers(0, ends[-1], size=batch)
        lane = np.searchsorted(ends, place, side="right")
        return lane, place - (ends - starts)[lane]

    def state(self, since: Sequence[int] | None = None) -> dict[str, NDArray[np.generic]]:
        """The stored rows (R, ...) that were appended after `since` (an earlier `end`), as columns.

        Additional columns are a row's `lane` and its number in that lane (`at`). `start` and `end` (lanes,) are the
        number of each lane's oldest stored row, and one more than that of its newest.
        """
        end = self._written.copy()
        start = np.maximum(end - self.depth, 0)
        first = start if since is None else np.maximum(start, np.asarray(since, np.int64))
        lane = np.repeat(np.arange(self.lanes, dtype=np.int32), end - first)
        at = np.concatenate([np.arange(a, b, dtype=np.int64) for a, b in zip(first, end, strict=True)])
        rows = {name: data[lane, at % self.depth] for name, data in self._data.items()}
        return {**rows, "lane": lane, "at": at, "start": start, "end": end}

    def load_state(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a complete `state`. ValueError if lanes or sizes differ, or a row is missing."""
        start, end = (arrays[name].astype(np.int64) for name in ("start", "end"))
        lane, at = arrays["lane"], arrays["at"]
        if end.shape != self._written.shape or (end - start != np.minimum(end, self.depth)).any():
            raise ValueError(
                f"the replay was saved with {len(end)} lane(s) of {(end - start).max(initial=0)} steps; this run needs "
                f"{self.lanes} of {self.depth}"
            )
        expected = np.concatenate([np.arange(a, b) for a, b in zip(start, end, strict=True)])
        if not np.array_equal(at, expected) or not np.array_equal(lane, np.repeat(np.arange(len(end)), end - start)):
            raise ValueError(f"the replay was saved with {len(expected)} rows; some of them are missing")
        for name, own in self._data.items():
            saved = arrays[name]
            if saved.shape != (len(at), *own.shape[2:]) or saved.dtype != own.dtype:
                raise ValueError(
                    f"replay field {name} was saved as {saved.shape} {saved.dtype}; this run needs "
                    f"{(len(at), *own.shape[2:])} {own.dtype}"
                )
        self._written[:] = end
        self._grow(int(end.max()))
        for name, own in self._data.items():
            own[lane, at % self.depth] = arrays[name]
