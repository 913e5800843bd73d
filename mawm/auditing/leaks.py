"""Leaks, wired in on purpose: the audit must see every one of them.

Each takes a run and its explorers (None in the run that it is compared with) and gives what happens before every round.
The channels are those of the reference list that can exist here; those that cannot are named in `CLOSED`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch

from mawm.agents.agent import Agent
from mawm.agents.returns import ReturnScale
from mawm.gating.explorers import Explorers
from mawm.loop import Run
from mawm.seeds import named_generator
from mawm.sharing.provenance import Gate
from mawm.team import InlineTeam
from mawm.types import ROLES, Role, Segment

Tick = Callable[[], None]


@contextmanager
def untouched_globals() -> Iterator[None]:
    """Gives torch's and numpy's global generators back as they were: some leaks are about those."""
    before = np.random.get_state()  # noqa: NPY002 - what is kept is the global one
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002


def _agents(run: Run) -> list[Agent]:
    return cast(InlineTeam, run.team).learners


def _handed(explorers: Explorers | None, agent: Agent) -> list[Segment]:
    """A few segments of explorers that this agent would see."""
    if explorers is None:
        return []
    return [s for s in explorers.explore(4) if s.origin.agent in agent.members][:2]


def rows(run: Run, explorers: Explorers | None) -> Tick:
    """Explorers' rows enter the world model's replay, past an open gate."""
    agent = _agents(run)[0]
    agent.replay.received.gate = agent.replay.own.gate = agent.replay.gate = Gate(*ROLES)
    return lambda: agent.replay.admit(_handed(explorers, agent))


def eviction(run: Run, explorers: Explorers | None) -> Tick:
    """Explorers' rows take room in a ring that the primary's are in."""
    ring = _agents(run)[0].replay.own

    def tick() -> None:
        if explorers is not None and len(ring) == ring.depth * ring.lanes:
            ring.depth -= 1
            ring._data = {name: data[:, : ring.depth] for name, data in ring._data.items()}

    return tick


def global_torch(run: Run, explorers: Explorers | None) -> Tick:
    """Latents are drawn from torch's global generator, and explorers draw from it too."""
    trainer = _agents(run)[0].model_trainer
    torch.manual_seed(0)
    trainer._noise = lambda rng, *shape: torch.rand(*shape, trainer.model.config.groups)  # type: ignore[method-assign]

    def tick() -> None:
        if explorers is not None:
            torch.rand(1)

    return tick


def global_numpy(run: Run, explorers: Explorers | None) -> Tick:
    """What is sampled hangs on numpy's global state, and explorers move it."""
    agent = _agents(run)[0]
    np.random.seed(0)  # noqa: NPY002 - the leak itself

    def tick() -> None:
        if explorers is not None:
            np.random.rand()  # noqa: NPY002 - the leak itself
        agent.model_trainer.rng = np.random.default_rng(np.random.randint(2**31))  # noqa: NPY002 - the leak itself

    return tick


def sampler(run: Run, explorers: Explorers | None) -> Tick:
    """Primary and explorers draw from one generator."""
    shared = named_generator(0, "shared")
    _agents(run)[0].model_trainer.rng = shared

    def tick() -> None:
        if explorers is not None:
            shared.random()

    return tick


def construction(run: Run, explorers: Explorers | None) -> Tick:
    """The first weights come from a generator that explorers, built first, have drawn from."""
    generator = torch.Generator().manual_seed(0)
    if explorers is not None:
        torch.rand(1, generator=generator)
    with torch.no_grad():
        for parameter in _agents(run)[0].model_trainer.model.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    return lambda: None


def positions(run: Run, explorers: Explorers | None) -> Tick:
    """Seeds are a base and a position, and explorers stand before the primary."""
    place = 0 if explorers is None else len(explorers.psi)
    _agents(run)[0].model_trainer.rng = np.random.default_rng(100 + place)
    return lambda: None


def normaliser(run: Run, explorers: Explorers | None) -> Tick:
    """The scale of returns takes in explorers' rewards."""
    scale = _agents(run)[0].actor_critic.advantages
    assert isinstance(scale, ReturnScale)

    def tick() -> None:
        if explorers is not None:
            scale.spread += 1e-3 * abs(float(explorers.collector._returns.mean())) + 1e-6

    return tick


def clipping(run: Run, explorers: Explorers | None) -> Tick:
    """One norm over the gradients of primary and explorers together."""
    optimiser = _agents(run)[0].model_trainer.optimiser
    optimiser.clip = 1e-2

    def tick() -> None:
        if explorers is not None:
            optimiser.clip = 1e-2 / (1.0 + float(np.abs(explorers.psi).mean()))

    return tick


def aliasing(run: Run, explorers: Explorers | None) -> Tick:
    """Explorers hold an array of the primary's and write into it: too little for any KL to show."""
    ring = _agents(run)[0].replay.own

    def tick() -> None:
        if explorers is not None and len(ring):
            ring._data["obs"][0, 0, 0] += np.float32(1e-7)

    return tick


def rates(run: Run, explorers: Explorers | None) -> Tick:
    """The learning rate follows a metric that explorers have a part in."""
    optimiser = _agents(run)[0].model_trainer.optimiser

    def tick() -> None:
        if explorers is not None:
            optimiser.lr *= 1.0 - 1e-3 * min(1.0, len(explorers.replay) / 1000)

    return tick


def counters(run: Run, explorers: Explorers | None) -> Tick:
    """Updates are owed for explorers' steps too."""
    due = run.schedule.due

    def inflated(env_steps: int) -> Any:
        return due(env_steps + (0 if explorers is None else explorers.collector.env_steps))

    run.schedule.due = inflated  # type: ignore[method-assign]
    return lambda: None


def windows(run: Run, explorers: Explorers | None) -> Tick:
    """The budget of what is broadcast is fed by explorers."""
    budget = _agents(run)[0].experience.budget
    return lambda: None if explorers is None else budget.produce(1)


def laundering(run: Run, explorers: Explorers | None) -> Tick:
    """A peer learns from explorers and broadcasts under the primary's name; the first agent listens to it."""
    peer = _agents(run)[1]
    peer.replay.received.gate = peer.replay.own.gate = peer.replay.gate = Gate(*ROLES)

    def tick() -> None:
        peer.replay.admit(_handed(explorers, peer))
        peer.learned_from = {Role.PRIMARY}

    return tick


def relabelled(run: Run, explorers: Explorers | None) -> Tick:
    """Explorers' rows come through the channel with a forged origin."""
    agent = _agents(run)[0]

    def tick() -> None:
        forged = [replace(s, origin=replace(s.origin, role=Role.PRIMARY)) for s in _handed(explorers, agent)]
        agent.replay.admit(forged)

    return tick


def checkpoints(run: Run, explorers: Explorers | None) -> Tick:
    """The model starts from a checkpoint of a run that has learned from explorers."""
    agent = _agents(run)[0]
    if explorers is not None:
        arrays, rest = agent.state()
        agent.load_state(arrays, {**rest, "learned_from": ["explorer"]})
    return lambda: None


LEAKS = {
    "rows in the replay": rows,
    "shared eviction": eviction,
    "torch's global generator": global_torch,
    "numpy's global generator": global_numpy,
    "a shared sampler": sampler,
    "order of construction": construction,
    "seeds by position": positions,
    "a shared normaliser": normaliser,
    "joint gradient clipping": clipping,
    "an aliased array": aliasing,
    "a learning rate on mixed metrics": rates,
    "counters fed by explorers": counters,
    "a shared budget": windows,
    "laundering through a peer": laundering,
    "a forged origin": relabelled,
    "a mixed checkpoint": checkpoints,
}
"""What the audit wires in, by the name in its table."""
CLOSED = {
    "left-over gradients": "every step clears the gradient before it differentiates",
    "BatchNorm statistics": "no world model has any",
    "a shared gradient scaler": "no loss is scaled",
    "a shared environment": "explorers have instances of their own; not claimed where they are shared",
    "thread count, versions, GPU kernels": "fixed by the claim: same code, same machine",
}
"""Channels of the reference list that cannot be wired in here, and why."""
