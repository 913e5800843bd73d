"""Seconds of one learning iteration of stacked learners on a device, compared with the plain learner on that device."""

import time
import timeit
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mawm.agents import dense
from mawm.agents.compute import on_device
from mawm.agents.config import AgentConfig
from mawm.agents.stacked.learners import StackedLearners
from mawm.agents.stacked.program import WARM_UP
from mawm.benchmarks.learner import (
    SPACES,
    Call,
    Units,
    comparable,
    iteration,
    medians,
    operations,
    plain_units,
    random_battles,
)
from mawm.build import make_learner
from mawm.configs.train import TrainConfig


def stacked_units(config: AgentConfig, agents: int, device: str) -> Units:
    """The units of an iteration for all agents at once."""
    settings = replace(TrainConfig(), method="independent", agent=config)
    spaces = replace(SPACES, n_agents=agents)
    team: Any = [make_learner(i, config=settings, spaces=spaces, device=device) for i in range(agents)]
    rng = np.random.default_rng(0)
    for agent in team:
        agent.remember(random_battles(rng, spaces, agent.replay.own.lanes))
    learners = StackedLearners(team)
    return {
        "world_model_update": lambda: learners.fit_world_models(1),
        "rollout": lambda: learners.imagine(1),
        "policy_epoch": lambda: learners.fit_behaviours([[]] * agents, 0),
    }


def product_rate(device: str) -> float:
    """Floating-point operations per second of a matrix product with the learner's shapes."""
    a, b = torch.randn(2000, 1280, device=device), torch.randn(1280, 256, device=device)
    many = 50

    def products() -> None:
        for _ in range(many):
            a @ b

    products()
    return 2.0 * 2000 * 1280 * 256 * many / min(_timed(products, device) for _ in range(5))


def _timed(call: Call, device: str) -> float:
    """Wall seconds of a call, until the device has finished."""

    def now() -> float:
        if device != "cpu":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return timeit.timeit(call, number=1, timer=now)


def measure(config: AgentConfig, agents: int, device: str, repeats: int) -> dict[str, float]:
    """Medians over `repeats` interleaved timings of the stacked learners and of one plain learner, in wall seconds.

    `seconds_per_iteration` is of all agents. `plain_seconds_per_iteration` is of the plain learner for all agents, one
    after the other: the measured seconds of one agent times their number. `floor_seconds` is the arithmetic of the
    stacked products at the rate of a product on this device. Plain products have the precision of stacked ones.
    """
    config = comparable(config)
    ours, plain = stacked_units(config, agents, device), plain_units(config, 0, device)
    floor_operations = operations(ours)  # the first calls are not recorded as graphs, so the counter sees all products
    for _ in range(WARM_UP):
        for call in (*ours.values(), *plain.values()):
            call()
    calls = {(who, name): [call] for who, units in (("ours", ours), ("plain", plain)) for name, call in units.items()}
    found = medians(calls, repeats, lambda unit, call: _timed(call, device))
    our_s, plain_s = ({name: found[who, name] for name in ours} for who in ("ours", "plain"))
    seconds, plain_seconds = iteration(our_s), agents * iteration(plain_s)
    return {
        **{f"{name}_s": value for name, value in our_s.items()},
        "seconds_per_iteration": seconds,
        "plain_seconds_per_iteration": plain_seconds,
        "floor_seconds": floor_operations / product_rate(device),
        "speedup_over_plain": plain_seconds / seconds,
    }


def compiled(config: AgentConfig, repeats: int) -> dict[str, float]:
    """Seconds that `torch.compile` needs on a CPU for the plain formulas of a world-model update, and their speed.

    `compile_s` is the time of the first forward and backward pass. `compiled_s` and `formulas_s` are medians of later
    passes, compiled and not; `ours_s` is of the operations that the package uses on a CPU. One thread, wall seconds.
    """
    config = comparable(config)
    settings = replace(TrainConfig(), method="independent", agent=config)
    learner: Any = make_learner(0, config=settings, spaces=SPACES, device="cpu")
    rng = np.random.default_rng(0)
    learner.remember(random_battles(rng, SPACES, 8))
    trainer = learner.model_trainer
    batch, noise = on_device(trainer.draw(), "cpu")

    def formulas() -> torch.Tensor:
        with dense.formulas():
            objective: torch.Tensor = trainer.model.fitted(batch, noise).objective
        return objective

    fast = torch.compile(formulas)
    first = _timed(lambda: fast().backward(), "cpu")
    calls: dict[str, list[Call]] = {
        "compiled_s": [lambda: fast().backward()],
        "formulas_s": [lambda: formulas().backward()],
        "ours_s": [lambda: trainer.model.fitted(batch, noise).objective.backward()],
    }
    return {"compile_s": first, **medians(calls, repeats, lambda name, call: _timed(call, "cpu"))}
