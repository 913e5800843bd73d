"""Save an agent's complete state as arrays by name and values for JSON, and load it."""

from typing import TYPE_CHECKING, Any

from torch import nn

from mawm.agents.optimiser import Optimiser
from mawm.agents.snapshot_weights import Arrays, load_weights, save_weights, under
from mawm.sharing.provenance import ProvenanceError
from mawm.types import Role, Since

if TYPE_CHECKING:
    from mawm.agents.agent import Agent


def _modules(agent: "Agent") -> dict[str, nn.Module]:
    actor_critic = agent.actor_critic
    return {
        "world_model": agent.model_trainer.model,
        "actor": actor_critic.actor,
        "critic": actor_critic.critic,
        "slow_critic": actor_critic.slow_critic,
    }


def _averages(agent: "Agent") -> dict[str, nn.Module]:
    """The networks that the agent acts by, where they are not those that it learns."""
    acting = agent.acting
    return {"acting_world_model": acting.model, "acting_actor": acting.actor} if acting.decay else {}


def optimisers(agent: "Agent") -> dict[str, Optimiser]:
    """The optimisers of an agent's networks by name."""
    actor_critic = agent.actor_critic
    return {
        "world_model": agent.model_trainer.optimiser,
        "actor": actor_critic.actor_opt,
        "critic": actor_critic.critic_opt,
    }


def save(agent: "Agent", since: Since) -> tuple[Arrays, dict[str, Any]]:
    """Arrays: weights, optimisers, replay, acting memories. Values for JSON: generators, selectors, budgets, counters.

    The replay's tables contain only the rows appended after `since`.
    """
    arrays = save_weights(_modules(agent) | _averages(agent))
    for name, optimiser in optimisers(agent).items():
        arrays |= {f"optimiser/{name}/{key}": value for key, value in optimiser.state().items()}
    arrays |= agent.replay.state(since)
    for slot, memory in agent.memories.items():
        arrays |= {f"memory/{slot}/{key}": value for key, value in memory.arrays().items()}
    intrinsic_arrays, intrinsic_values = agent.intrinsic.state()
    arrays |= {f"intrinsic/{key}": value for key, value in intrinsic_arrays.items()}
    values = {
        "generators": {purpose: rng.bit_generator.state for purpose, rng in agent.rngs.items()},
        "experience": agent.experience.state(),
        "rollouts": agent.rollouts.state(),
        "advantages": agent.actor_critic.advantages.state(),
        "reward_unit": agent.reward_unit.state(),
        "exploration": agent.actor_critic.exploration.state(),
        "intrinsic": intrinsic_values,
        "round": agent.behaviour_trainer.round,
        "model_updates": agent.model_trainer.updates,
        "averaged_updates": agent.acting.updates,
        "learned_from": sorted(agent.learned_from),
        "skipped": {name: optimiser.counters() for name, optimiser in optimisers(agent).items()},
    }
    return arrays, values


def load(agent: "Agent", arrays: Arrays, values: dict[str, Any]) -> None:
    """Continue from `save`. ValueError if a weight is missing or has another shape.

    ProvenanceError if the saved model has learned from data that this agent's gate refuses.
    """
    roles = {Role(name) for name in values["learned_from"]}
    foreign = [role for role in roles if not agent.replay.gate.admits(role)]
    if foreign:
        raise ProvenanceError(
            f"{agent.name}: the saved world model has learned from {foreign[0]} data; the gate refuses it"
        )
    agent.learned_from = roles
    load_weights(agent.name, _modules(agent), arrays)
    for name, optimiser in optimisers(agent).items():
        optimiser.load_state(under(arrays, f"optimiser/{name}/"))
        optimiser.load_counters(values["skipped"][name])
    agent.replay.load_state(arrays)
    for slot in {key.split("/")[1] for key in arrays if key.startswith("memory/")}:
        saved = under(arrays, f"memory/{slot}/")
        agent.begin(slot, len(saved["prev_action"]))
        agent.memories[slot].load(saved)
    for purpose, rng in agent.rngs.items():
        rng.bit_generator.state = values["generators"][purpose]
    agent.experience.load_state(values["experience"])
    agent.rollouts.load_state(values["rollouts"])
    agent.actor_critic.advantages.load_state(values["advantages"])
    agent.reward_unit.load_state(values["reward_unit"])
    agent.apply_reward_unit()
    agent.actor_critic.exploration.load_state(values["exploration"])
    agent.intrinsic.load_state(under(arrays, "intrinsic/"), values["intrinsic"])
    agent.behaviour_trainer.round = int(values["round"])
    agent.model_trainer.updates = int(values["model_updates"])
    if "averaged_updates" in values:
        load_weights(agent.name, _averages(agent), arrays)
        agent.acting.updates = int(values["averaged_updates"])
    else:  # a checkpoint from before agents acted by averages
        agent.acting.restart(agent.model_trainer.updates)
