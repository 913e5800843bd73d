"""Arrivals that an agent keeps: rings of steps, one a stream, from which whole stretches are sampled."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mawm.sharing.provenance import Gate
from mawm.types import ROLES, Bools, Floats, Ints, Segment, Spaces


class Stretches(NamedTuple):
    """Sampled stretches, time first: obs (T, B, O), avail (T, B, A), all others (T, B).

    `is_first`: a battle begins here. `reset`: memory must be reset here, because a battle begins or because the row
    before it is of another stream. Only where a battle begins is the past known. `stale`: the reward was written at an
    agent's death (`Segment.death`), and the row is not among the recent ones any more.
    """

    obs: Floats
    prev_action: Ints
    reward: Floats
    terminal: Bools
    is_first: Bools
    reset: Bools
    stale: Bools
    avail: Bools


class Replay:
    """`lanes` rings of steps with `capacity` steps together. A lane is one stream: what follows in it followed in time.

    A sampled stretch may run from one battle into the next: `reset` says where memory must be reset. Masks are kept as
    bits. A segment whose sizes differ from the environment's raises ValueError; nothing is ever emptied silently.
    Every row says whose it is, and the gate looks at it on its way in and again on its way out.
    """

    def __init__(self, spaces: Spaces, capacity: int, lanes: int, gate: Gate, recent_steps: int = 1) -> None:
        if capacity < lanes:
            raise ValueError(f"replay capacity is {capacity} steps; {lanes} lanes need at least one step each")
        self.spaces = spaces
        self.gate = gate
        self.depth = capacity // lanes
        self.recent = max(1, recent_steps // lanes)
        """How many of a lane's newest rows count as recent."""
        rows = (lanes, 0)  # grows up to `depth`: most runs never fill it
        self._data: dict[str, NDArray[np.generic]] = {
            "obs": np.zeros((*rows, spaces.obs_size), np.float32),
            "prev_action": np.zeros(rows, np.int16),
            "reward": np.zeros(rows, np.float32),
            "terminal": np.zeros(rows, np.bool_),
            "is_first": np.zeros(rows, np.bool_),
            "reset": np.zeros(rows, np.bool_),
            "death": np.zeros(rows, np.bool_),
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
        """Append segments to their lanes; with `joined=False` a segment continues nothing: memory is reset there.

        Its `is_first` stays as it is: a received piece from the middle of a battle is no beginning of a battle.
        ProvenanceError for an origin that the gate refuses, before anything of this call is appended.
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
        death = np.zeros(steps, np.bool_)
        death[-1] = segment.death
        self._grow(start + steps)
        at = np.arange(start, start + steps) % self.depth
        values: dict[str, NDArray[Any] | int] = {
            "obs": segment.obs,
            "prev_action": segment.prev_action,
            "reward": segment.reward,
            "terminal": segment.terminal,
            "is_first": segment.is_first,
            "reset": reset,
            "death": death,
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

    def places(self, length: int) -> int:
        """How many different stretches of `length` steps there are to sample."""
        return int(np.maximum(np.minimum(self._written, self.depth) - length + 1, 0).sum())

    def sample(self, batch: int, length: int, rng: np.random.Generator, recent: float = 0.0) -> Stretches:
        """`batch` stretches of `length` steps; ValueError if there is none.

        Each is drawn, with chance `recent`, uniformly from those that begin in recent rows, else from all. Policies
        change while agents learn: recent experience shows the team of today, old experience what else may happen.
        ProvenanceError if one of their rows is of a role that the gate refuses.
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
        picked = {name: data[lane, at] for name, data in self._data.items()}
        self.gate.check_rows(*(np.asarray(picked[name]) for name in ("agent", "role", "episode")))
        avail = np.unpackbits(np.asarray(picked["avail"], np.uint8), axis=-1, count=self.spaces.n_actions).astype(
            np.bool_
        )
        return Stretches(
            np.asarray(picked["obs"], np.float32),
            picked["prev_action"].astype(np.int64),
            np.asarray(picked["reward"], np.float32),
            np.asarray(picked["terminal"], np.bool_),
            np.asarray(picked["is_first"], np.bool_),
            np.asarray(picked["reset"], np.bool_),
            np.asarray(picked["death"], np.bool_) & (number < (self._written - self.recent)[lane]),
            avail,
        )

    @staticmethod
    def _places(starts: Ints, batch: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """`batch` pairs of a lane and a place in [0, starts[lane]), uniform over all places."""
        ends = np.cumsum(starts)
        place = rng.integers(0, ends[-1], size=batch)
        lane = np.searchsorted(ends, place, side="right")
        return lane, place - (ends - starts)[lane]

    def state(self, since: Sequence[int] | None = None) -> dict[str, NDArray[np.generic]]:
        """The rows held (R, ...) that were appended after `since` (an earlier `end`), as columns.

        Beside what a row holds: its `lane` and its number there (`at`). `start` and `end` (lanes,) bound what is held:
        for each lane, the rows ever appended before the oldest one, and all of them.
        """
        end = self._written.copy()
        start = np.maximum(end - self.depth, 0)
        first = start if since is None else np.maximum(start, np.asarray(since, np.int64))
        lane = np.repeat(np.arange(self.lanes, dtype=np.int32), end - first)
        at = np.concatenate([np.arange(a, b, dtype=np.int64) for a, b in zip(first, end, strict=True)])
        rows = {name: data[lane, at % self.depth] for name, data in self._data.items()}
        return {**rows, "lane": lane, "at": at, "start": start, "end": end}

    def load_state(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a whole `state`. ValueError where lanes or sizes are not this replay's, or a row is missing."""
        start, end = (arrays[name].astype(np.int64) for name in ("start", "end"))
        lane, at = arrays["lane"], arrays["at"]
        if end.shape != self._written.shape or (end - start != np.minimum(end, self.depth)).any():
            raise ValueError(
                f"the replay was saved with {len(end)} lane(s) of {(end - start).max(initial=0)} steps; this run needs "
                f"{self.lanes} of {self.depth}"
            )
        expected = np.concatenate([np.arange(a, b) for a, b in zip(start, end, strict=True)])
        if not np.array_equal(at, expected) or not np.array_equal(lane, np.repeat(np.arange(len(end)), end - start)):
            raise ValueError(f"the replay was saved with {len(expected)} rows; not all of them are there")
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
