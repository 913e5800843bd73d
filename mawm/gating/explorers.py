"""The explorers: auxiliary teams with their own battles and their own replay."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.agents.replay import Replay
from mawm.agents.snapshot_weights import under
from mawm.collect import Collector
from mawm.configs.train import SearchConfig
from mawm.gating.fitness import distance, diversity
from mawm.gating.policy import ExplorerPolicy, log_softmax
from mawm.gating.search import Search
from mawm.gating.view import PolicyView
from mawm.seeds import named_generator
from mawm.sharing.provenance import Gate
from mawm.team import Actors
from mawm.types import TABLES, Bools, Floats, Ints, Metrics, Role, Segment, Since, VectorEnv

Weights = dict[str, NDArray[Any]]
KEPT = f"{TABLES}kept/"
"""The table of the explorers' replay."""


class Explorers(Actors):
    """E teams with one battle each. All members of a team use the same parameters psi. The collector sees one team.

    All generators have names that begin with `explorer`: no draw, counter or seed of the primary depends on them.
    """

    def __init__(
        self, env: VectorEnv, policy: ExplorerPolicy, search: Search, view: PolicyView, config: SearchConfig, *,
        seed: int, seq_len: int, discount: float,
    ) -> None:  # fmt: skip
        agents = env.spaces.n_agents
        self.members: tuple[tuple[int, ...], ...] = (tuple(range(agents)),)
        self.policy, self.search, self.view, self.config = policy, search, view, config
        self.rngs = {purpose: named_generator(seed, f"explorer/{purpose}") for purpose in ("act", "probe")}
        self.psi = search.propose()[: env.batch]
        self.replay = Replay(env.spaces, config.keeps, agents * env.batch, Gate(Role.EXPLORER))
        self.collector = Collector(env, self, seq_len=seq_len, discount=discount, role=Role.EXPLORER)
        self.metrics: Metrics = {}

    def explore(self, vector_steps: int) -> list[Segment]:
        """Play `vector_steps` steps in every battle; returns the finished segments, after adding them to the replay."""
        segments = self.collector.collect(vector_steps, "sample")[0]
        self.replay.add(segments)
        return segments

    def evolve(self, primary: list[tuple[str, Weights]]) -> None:
        """One generation of A Algorithm 1; `primary` has the names and policy weights of the primary's learners.

        The fitness uses observations of the explorers: diversity and distance in nats, b in 1/nat.
        """
        if not self.replay.places(1):
            return
        probes = self.replay.sample(self.config.probes, 1, self.rngs["probe"])
        obs, avail = probes.obs[0], probes.avail[0]
        candidates = self.search.propose()
        log_probs = log_softmax(self.policy.logits(candidates, obs, avail))
        diversities = diversity(log_probs)
        distances = np.zeros(len(candidates))
        for owner, weights in primary:
            self.view.show(owner, weights)
            distances += distance(log_probs, self.view.log_probs(obs, avail)) / len(primary)
        fitness = diversities - self.config.closeness * distances
        self.psi = self.search.follow(candidates, fitness)[: len(self.psi)]
        self.metrics = {
            "diversity": float(diversities.mean()),
            "distance": float(distances.mean()),
            "fitness": float(fitness.mean()),
            "generation": float(self.search.generation),
        }

    def act(self, obs: Floats, avail: Bools, is_first: Bools, *, slot: str, mode: str) -> Ints:
        """Sampled actions (E, N) for observations (E, N, O) and masks (E, N, A); each row uses its own psi."""
        logits = self.policy.logits(self.psi, obs, avail)
        chosen: Ints = (logits + self.rngs["act"].gumbel(size=logits.shape)).argmax(-1)
        return chosen

    def state(self, since: Since) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays by name and JSON-able values; the replay's tables contain the rows after `since`."""
        arrays, collector = self.collector.state()
        arrays = {f"collector/{name}": array for name, array in arrays.items()}
        arrays |= {f"{KEPT}{name}": array for name, array in self.replay.state(since.get("kept")).items()}
        generators = {purpose: rng.bit_generator.state for purpose, rng in self.rngs.items()}
        return arrays | {"psi": self.psi}, {
            "collector": collector, "search": self.search.state(), "generators": generators, "metrics": self.metrics,
        }  # fmt: skip

    def load_state(self, arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.collector.load_state(under(arrays, "collector/"), values["collector"])
        self.replay.load_state(under(arrays, KEPT))
        self.psi = arrays["psi"].copy()
        self.search.load_state(values["search"])
        self.metrics = dict(values["metrics"])
        for purpose, rng in self.rngs.items():
            rng.bit_generator.state = values["generators"][purpose]
