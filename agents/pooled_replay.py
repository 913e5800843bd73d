"""The pooled replay of one agent: own and received experience in separate rings, sampled together."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.agents.compute import to_tensor
from mawm.agents.config import ReplayConfig
from mawm.agents.replay import Replay, Sequences
from mawm.agents.snapshot_weights import under
from mawm.agents.world_model import Batch
from mawm.sharing.provenance import Gate
from mawm.types import TABLES, Role, Segment, Since, Spaces


class PooledReplay:
    """Z's IndividualReplay (`own`) and SharedReplay (`own` and `received` together) of one agent.

    With two rings, peers cannot evict the agent's own experience. A pooled batch draws each row from one of the rings,
    in proportion to their sizes and at least half from the own ring. It marks own rows: Eq. 1 is fitted on them, Eqs.
    2-3 on all. Explorers' experience (`explorers`, in policy mode) is in a third ring, which the model is never fitted
    on. Batches are on the CPU.
    """

    def __init__(self, spaces: Spaces, config: ReplayConfig, lanes: int, gate: Gate) -> None:
        self.config = config
        self.own = Replay(spaces, config.capacity, lanes, gate, config.recent_steps)
        self.received = Replay(spaces, config.capacity, 1, gate, config.recent_steps)
        self.explorers = Replay(spaces, config.capacity, 1, Gate(Role.EXPLORER), config.recent_steps)
        self.gate = gate

    def like(self, segments: Sequence[Segment]) -> "PooledReplay":
        """A new replay with these segments of the agent, for measuring only."""
        lanes = 1 + max(segment.lane for segment in segments)
        steps = sum(len(segment) for segment in segments)
        config = replace(self.config, capacity=steps * lanes)
        replay = PooledReplay(self.own.spaces, config, lanes, self.gate)
        replay.remember(segments)
        return replay

    def remember(self, segments: Sequence[Segment]) -> None:
        """Append the agent's own segments to their lanes."""
        self.own.add(segments)

    def admit(self, segments: Sequence[Segment]) -> None:
        """Append received segments, without joining them. ProvenanceError for an origin that the gate refuses."""
        self.received.add(segments, joined=False)

    def remember_explorers(self, segments: Sequence[Segment]) -> None:
        """Append explorers' segments to their ring. ProvenanceError for other origins.

        Segments with non-finite observations are skipped, because no rollout can start there.
        """
        self.explorers.add([s for s in segments if np.isfinite(s.obs).all()], joined=False)

    def sample_pooled(self, batch: int, length: int, rng: np.random.Generator) -> Batch:
        """`batch` sequences from both rings, time first; at most half of them are received ones.

        Algorithm 1 uses a whole batch of own rows for Eq. 1. Without this limit, an agent of a large team that shares
        everything would fit its decoders on very few rows.
        """
        own, received = self.own.places(length), self.received.places(length)
        # The random numbers are drawn even if nothing was received, so that the channel does not affect the generator.
        n_received = min(batch // 2, int((rng.random(batch) < received / (own + received)).sum()))
        recent = self.config.recent_share
        self.received.recent = self._recent_of(self.received)
        rows = [self.own.sample(batch - n_received, length, rng, recent)]
        if n_received:
            rows.append(self.received.sample(n_received, length, rng, recent))
        return self._batch(rows, n_received)

    def sample_own(self, batch: int, length: int, rng: np.random.Generator) -> Batch:
        """`batch` own sequences, time first, as start states of rollouts."""
        return self._batch([self.own.sample(batch, length, rng, self.config.recent_starts)], 0)

    def sample_explorers(self, batch: int, length: int, rng: np.random.Generator) -> Batch:
        """`batch` explorers' sequences, time first, as start states of rollouts; the model is never fitted on them."""
        self.explorers.recent = self._recent_of(self.explorers)
        return self._batch([self.explorers.sample(batch, length, rng, self.config.recent_starts)], 0)

    def _recent_of(self, ring: Replay) -> int:
        """Number of recent rows of another ring, which may have more or fewer rows per step than the own ring.

        The same period is recent in all rings: a ring's share of recent rows is that of the own ring.
        """
        return max(1, round(ring.written * min(1.0, self.config.recent_steps / max(1, self.own.written))))

    def ready(self, length: int) -> bool:
        """Whether at least one own sequence can be sampled."""
        return self.own.places(length) > 0

    def _batch(self, rows: list[Sequences], n_received: int) -> Batch:
        fields = [np.concatenate(parts, 1) if len(parts) > 1 else parts[0] for parts in zip(*rows, strict=True)]
        size = fields[0].shape[1]
        own = np.arange(size) < size - n_received
        return Batch(*(to_tensor(x) for x in (*fields, own)))

    def state(self, since: Since) -> dict[str, NDArray[np.generic]]:
        """Each ring as a table, with the rows appended after `since`."""
        return {
            f"{TABLES}{ring}/{name}": array
            for ring, replay in self._rings()
            for name, array in replay.state(since.get(ring)).items()
        }

    def load_state(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from the tables of a checkpoint."""
        for ring, replay in self._rings():
            replay.load_state(under(arrays, f"{TABLES}{ring}/"))

    # "considered" is the third ring's name in checkpoints, which older ones have too.
    def _rings(self) -> tuple[tuple[str, Replay], ...]:
        return ("own", self.own), ("received", self.received), ("considered", self.explorers)
