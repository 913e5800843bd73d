"""Compares an agent's values and imagined returns with returns of real battles, which continue from the same states."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mawm.agents.acting_memory import ActingMemory
from mawm.agents.actor_critic import imagine
from mawm.agents.agent import Agent
from mawm.agents.averaged import AveragedPolicy
from mawm.agents.compute import prepare_process
from mawm.agents.rssm import Latent
from mawm.configs.train import TrainConfig
from mawm.envs.registry import environment_of
from mawm.envs.skirmish.layout import KEY
from mawm.envs.skirmish.smacv2.maps import DRAWN_MAPS
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.run_folder.manifest import read_config
from mawm.seeds import named_generator, named_seed
from mawm.trained.run import load_run
from mawm.types import Ints, Step

CHANCE = 0.05
"""The chance that a step of a battle is one of the compared states."""


@dataclass
class Battles:
    """Battles of a team side by side; `memories` has one row of lanes for each agent."""

    env: SkirmishVectorEnv
    memories: list[ActingMemory]
    step: Step
    first: NDArray[np.bool_]
    time: int = 0
    """Steps since the start of the first row's battle."""

    def play(self, rng: np.random.Generator) -> Ints:
        """Play one step with sampled actions; returns the actions (B, N)."""
        seen = zip(self.memories, self.step.obs.swapaxes(0, 1), self.step.avail.swapaxes(0, 1), strict=True)
        actions = np.stack([memory.act(obs, avail, self.first, "sample", rng) for memory, obs, avail in seen], 1)
        self.step = self.env.step(actions)
        self.first = self.step.terminated | self.step.truncated
        self.time = 0 if self.first[0] else self.time + 1
        return actions


def _copied(memory: ActingMemory, policy: AveragedPolicy, lanes: int) -> ActingMemory:
    """A memory with `lanes` copies of the only lane of another."""
    copies = ActingMemory(policy, lanes, "cpu")
    copies.state = Latent(*(x.repeat_interleave(lanes, 0) for x in memory.state))
    copies.prev_action = np.repeat(memory.prev_action, lanes)
    return copies


def real_return(battle: Battles, agents: list[Agent], copies: int, rng: np.random.Generator) -> float:
    """Mean discounted return of `copies` continuations of a battle, which differ in all random numbers."""
    env = SkirmishVectorEnv(battle.env.spec, copies, 0, battle.env.rules)
    saved = {name: np.repeat(array, copies, 0) for name, array in battle.env.snapshot().items()}
    saved["books"][:, KEY] = rng.integers(0, 2**63, copies).astype(np.uint64)
    env.restore(saved)
    memories = [_copied(m, agent.acting, copies) for m, agent in zip(battle.memories, agents, strict=True)]
    going = Battles(env, memories, env.show(), np.repeat(battle.first, copies))
    total, factor, live = np.zeros(copies), 1.0, np.ones(copies, np.bool_)
    while live.any():
        going.play(rng)
        total += np.where(live, factor * going.step.reward, 0.0)
        factor *= agents[0].config.behaviour.discount
        live &= ~going.first
    return float(total.mean())


@torch.no_grad()
def imagined_return(
    agent: Agent, memory: ActingMemory, battle: Battles, number: int, copies: int
) -> tuple[float, float]:
    """Value of agent `number`'s state, and the mean lambda-return of `copies` imagined rollouts from it."""
    model, actor_critic = agent.model_trainer.model, agent.actor_critic
    generator = torch.Generator().manual_seed(number)
    config, horizon = model.config, actor_critic.config.horizon
    held = _copied(memory, memory.policy, copies)
    obs, avail = (torch.from_numpy(np.repeat(x[:, number], copies, 0)) for x in (battle.step.obs, battle.step.avail))
    first, previous = torch.from_numpy(np.repeat(battle.first, copies)), torch.from_numpy(held.prev_action)
    noise = torch.rand(copies, config.groups, generator=generator)
    start = model.rssm.observe_step(held.state, obs, previous, first, noise)
    act_noise = torch.rand(horizon, copies, generator=generator)
    state_noise = torch.rand(horizon, copies, config.groups, generator=generator)
    noise = torch.cat([state_noise, act_noise.unsqueeze(-1)], -1)
    rollouts = imagine(model, actor_critic.actor, start, avail, actor_critic.config.discount, noise)
    valued = actor_critic.value(rollouts)
    return float(valued.value[0].mean()), float(valued.returns[0].mean())


def _states(
    config: TrainConfig, agents: list[Agent], rng: np.random.Generator
) -> Iterator[tuple[Battles, list[ActingMemory]]]:
    """States of real battles, drawn at random, with each agent's memory under the weights that it learns.

    Agents act by averaged weights (`AveragedPolicy`), but they imagine with the learned ones.
    """
    env = SkirmishVectorEnv(config.map, 1, named_seed(config.seed, "battles/test"), config.rules)
    learned = [ActingMemory(AveragedPolicy(a.model_trainer.model, a.actor_critic.actor, 0.0), 1, "cpu") for a in agents]
    battle = Battles(env, [ActingMemory(a.acting, 1, "cpu") for a in agents], env.reset(), np.ones(1, np.bool_))
    while True:
        if rng.random() < CHANCE:
            yield battle, learned
        obs, avail, first = battle.step.obs, battle.step.avail, battle.first
        actions = battle.play(rng)
        for number, memory in enumerate(learned):
            memory.act(obs[:, number], avail[:, number], first, "sample", rng)
            memory.prev_action = actions[:, number].copy()


def compare(folder: Path, states: int, copies: int) -> list[dict[str, Any]]:
    """One row for each compared state of each agent of a run, at least `states` for each.

    A row has the agent, the step of the battle (`time`), the number of living agents, and value, imagined return and
    real return. ValueError for a run without a world model for each agent, or in another environment.
    """
    config = replace(read_config(folder), device="cpu")
    prepare_process(config.precision)
    if not environment_of(config).has_rules or config.map in DRAWN_MAPS:
        raise ValueError(
            f"{folder}: battles of --map {config.map} (--env {config.env}) cannot be continued in copies; "
            "use a run on a map of SMAC with --env skirmish"
        )
    env = SkirmishVectorEnv(config.map, 1, 0, config.rules)
    agents = load_run(folder, env.spaces).world_models
    if len(agents) < env.spaces.n_agents:
        raise ValueError(f"{folder}: --method {config.method} has no world model of its own for each agent")
    rng = named_generator(config.seed, "bench/values")
    found: list[dict[str, Any]] = []
    count = dict.fromkeys((agent.name for agent in agents), 0)
    source = _states(config, agents, rng)
    while min(count.values()) < states:
        battle, learned = next(source)
        real, alive = real_return(battle, agents, copies, rng), battle.step.alive[0]
        for number, (agent, memory) in enumerate(zip(agents, learned, strict=True)):
            if alive[number]:
                value, imagined = imagined_return(agent, memory, battle, number, copies)
                state = {"agent": agent.name, "time": battle.time, "alive": int(alive.sum())}
                found.append({**state, "value": value, "imagined": imagined, "real": real})
                count[agent.name] += 1
    order = list(count)
    return sorted(found, key=lambda row: order.index(row["agent"]))


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each agent: means of value, imagined return and real return over its states.

    `value_bias` and `imagined_bias` are the means of their differences from the real return. `correlation` is that of
    value and real return over the states; it is left out if one of the two is the same in all states.
    """
    return [
        {"agent": name, **_means([row for row in rows if row["agent"] == name])}
        for name in dict.fromkeys(row["agent"] for row in rows)
    ]


def _means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    value, imagined, real = (np.array([row[number] for row in rows]) for number in ("value", "imagined", "real"))
    means = {
        "value": value, "imagined": imagined, "real": real, "value_bias": value - real,
        "imagined_bias": imagined - real,
    }  # fmt: skip
    found = {"states": len(rows), **{name: float(numbers.mean()) for name, numbers in means.items()}}
    constant = bool(np.ptp(value) == 0.0 or np.ptp(real) == 0.0)  # then there is no correlation
    return found if constant else {**found, "correlation": float(np.corrcoef(value, real)[0, 1])}
