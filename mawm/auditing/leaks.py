"""Deliberate leaks from explorers to the primary: the audit must detect every one of them.

Each leak takes a run and its explorers (None in the run for comparison), prepares, and returns a function that is
called before every round. The channels come from a reference list; `CLOSED` names those that cannot occur here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
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
    """Restores torch's and numpy's global generators, which some leaks change."""
    before = np.random.get_state()  # noqa: NPY002 - the global generator is what is restored
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002


def _agents(run: Run) -> list[Agent]:
    return cast(InlineTeam, run.team).learners


def _tick(explorers: Explorers | None, leak: Callable[[Explorers], object]) -> Tick:
    """Calls `leak` before every round if there are explorers."""

    def tick() -> None:
        if explorers is not None:
            leak(explorers)

    return tick


def _every_round(leak: Callable[[Agent, Explorers], object]) -> Callable[[Run, Explorers | None], Tick]:
    """A leak to the first agent before every round, without preparation."""
    return lambda run, explorers: _tick(explorers, partial(leak, _agents(run)[0]))


def _segments_for(explorers: Explorers, agent: Agent) -> list[Segment]:
    """Two segments of explorers that this agent would receive."""
    return [s for s in explorers.explore(4) if s.origin.agent in agent.members][:2]


def _open_gate(agent: Agent) -> None:
    agent.replay.received.gate = agent.replay.own.gate = agent.replay.gate = Gate(*ROLES)


@_every_round
def _rows(agent: Agent, explorers: Explorers) -> None:
    """Explorers' rows enter the world model's replay through an open gate."""
    _open_gate(agent)
    agent.replay.admit(_segments_for(explorers, agent))


@_every_round
def _eviction(agent: Agent, explorers: Explorers) -> None:
    """Explorers' rows use capacity of the ring that holds the primary's rows."""
    ring = agent.replay.own
    if len(ring) == ring.depth * ring.lanes:
        ring.depth -= 1
        ring._data = {name: data[:, : ring.depth] for name, data in ring._data.items()}


def _global_torch(run: Run, explorers: Explorers | None) -> Tick:
    """Latents are drawn from torch's global generator, and explorers draw from it, too."""
    trainer = _agents(run)[0].model_trainer
    torch.manual_seed(0)
    trainer._noise = lambda rng, *shape: torch.rand(*shape, trainer.model.config.groups)  # type: ignore[method-assign]
    return _tick(explorers, lambda e: torch.rand(1))


def _global_numpy(run: Run, explorers: Explorers | None) -> Tick:
    """Sampling depends on numpy's global generator, and explorers draw from it."""
    agent = _agents(run)[0]
    np.random.seed(0)  # noqa: NPY002 - the leak itself

    def tick() -> None:
        if explorers is not None:
            np.random.rand()  # noqa: NPY002 - the leak itself
        agent.model_trainer.rng = np.random.default_rng(np.random.randint(2**31))  # noqa: NPY002 - the leak itself

    return tick


def _sampler(run: Run, explorers: Explorers | None) -> Tick:
    """Primary and explorers draw from one generator."""
    shared = named_generator(0, "shared")
    _agents(run)[0].model_trainer.rng = shared
    return _tick(explorers, lambda e: shared.random())


def _construction(run: Run, explorers: Explorers | None) -> Tick:
    """The initial weights come from a generator from which the explorers drew before."""
    generator = torch.Generator().manual_seed(0)
    if explorers is not None:
        torch.rand(1, generator=generator)
    with torch.no_grad():
        for parameter in _agents(run)[0].model_trainer.model.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    return lambda: None


def _positions(run: Run, explorers: Explorers | None) -> Tick:
    """Seeds are a base plus a position, and explorers come before the primary."""
    position = 0 if explorers is None else len(explorers.psi)
    _agents(run)[0].model_trainer.rng = np.random.default_rng(100 + position)
    return lambda: None


@_every_round
def _normaliser(agent: Agent, explorers: Explorers) -> None:
    """The scale of returns depends on explorers' rewards."""
    scale = agent.actor_critic.advantages
    assert isinstance(scale, ReturnScale)
    scale.spread += 1e-3 * abs(float(explorers.collector._returns.mean())) + 1e-6


def _clipping(run: Run, explorers: Explorers | None) -> Tick:
    """One gradient norm over primary and explorers together."""
    optimiser = _agents(run)[0].model_trainer.optimiser
    optimiser.clip = 1e-2

    def clip(explorers: Explorers) -> None:
        optimiser.clip = 1e-2 / (1.0 + float(np.abs(explorers.psi).mean()))

    return _tick(explorers, clip)


@_every_round
def _aliasing(agent: Agent, explorers: Explorers) -> None:
    """Explorers write into an array of the primary: the change is too small for the KL divergence."""
    if len(agent.replay.own):
        agent.replay.own._data["obs"][0, 0, 0] += np.float32(1e-7)


@_every_round
def _rates(agent: Agent, explorers: Explorers) -> None:
    """The learning rate depends on a metric of the explorers."""
    agent.model_trainer.optimiser.lr *= 1.0 - 1e-3 * min(1.0, len(explorers.replay) / 1000)


def _counters(run: Run, explorers: Explorers | None) -> Tick:
    """Explorers' steps add to the updates that are due."""
    due = run.schedule.due

    def inflated(env_steps: int) -> Any:
        return due(env_steps + (0 if explorers is None else explorers.collector.env_steps))

    run.schedule.due = inflated  # type: ignore[method-assign]
    return lambda: None


@_every_round
def _budget(agent: Agent, explorers: Explorers) -> None:
    """Explorers' items add to the primary's budget for broadcasts."""
    agent.experience.budget.produce(1)


def _laundering(run: Run, explorers: Explorers | None) -> Tick:
    """A peer learns from explorers' rows and broadcasts with the primary's role; the first agent receives that."""
    peer = _agents(run)[1]
    _open_gate(peer)

    def tick() -> None:
        peer.replay.admit([] if explorers is None else _segments_for(explorers, peer))
        peer.learned_from = {Role.PRIMARY}

    return tick


@_every_round
def _relabelled(agent: Agent, explorers: Explorers) -> None:
    """Explorers' rows come through the channel with a forged origin."""
    segments = _segments_for(explorers, agent)
    agent.replay.admit([replace(s, origin=replace(s.origin, role=Role.PRIMARY)) for s in segments])


def _checkpoints(run: Run, explorers: Explorers | None) -> Tick:
    """The model starts from a checkpoint of a run that has learned from explorers."""
    agent = _agents(run)[0]
    if explorers is not None:
        arrays, values = agent.state()
        agent.load_state(arrays, {**values, "learned_from": ["explorer"]})
    return lambda: None


LEAKS = {
    "rows in the replay": _rows,
    "shared eviction": _eviction,
    "torch's global generator": _global_torch,
    "numpy's global generator": _global_numpy,
    "a shared sampler": _sampler,
    "order of construction": _construction,
    "seeds by position": _positions,
    "a shared normaliser": _normaliser,
    "joint gradient clipping": _clipping,
    "an aliased array": _aliasing,
    "a learning rate on mixed metrics": _rates,
    "counters fed by explorers": _counters,
    "a shared budget": _budget,
    "laundering through a peer": _laundering,
    "a forged origin": _relabelled,
    "a mixed checkpoint": _checkpoints,
}
"""The leaks by the name in the audit's table."""
CLOSED = {
    "left-over gradients": "every step clears the gradient before it differentiates",
    "BatchNorm statistics": "no world model has any",
    "a shared gradient scaler": "no loss is scaled",
    "a shared environment": "explorers have instances of their own; not claimed where they are shared",
    "thread count, versions, GPU kernels": "fixed by the claim: same code, same machine",
}
"""Channels of the reference list that cannot occur here, and why."""
