"""An agent's whole state as arrays by name and a JSON-able rest, and back."""

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import nn

from mawm.agents.optimiser import Optimiser
from mawm.agents.snapshot_weights import load_weights, save_weights, under
from mawm.gate import ProvenanceError
from mawm.types import Role, Since

if TYPE_CHECKING:
    from mawm.agents.agent import Agent

Arrays = dict[str, NDArray[Any]]


def _modules(agent: "Agent") -> dict[str, nn.Module]:
    behaviour = agent.behaviour
    return {
        "world_model": agent.modelling.model,
        "actor": behaviour.actor,
        "critic": behaviour.critic,
        "slow_critic": behaviour.slow_critic,
    }


def _averages(agent: "Agent") -> dict[str, nn.Module]:
    """The networks that the agent acts by, where they are not those that it learns."""
    acting = agent.acting
    return {"acting_world_model": acting.model, "acting_actor": acting.actor} if acting.decay else {}


def optimisers(agent: "Agent") -> dict[str, Optimiser]:
    """The optimisers of an agent's networks by name."""
    behaviour = agent.behaviour
    return {
        "world_model": agent.modelling.optimiser,
        "actor": behaviour.actor_opt,
        "critic": behaviour.critic_opt,
    }


def save(agent: "Agent", since: Since) -> tuple[Arrays, dict[str, Any]]:
    """Weights, optimisers, replay, acting memories as arrays; generators, selectors, budgets, counters as the rest.

    Of the replay's tables: what came after `since`.
    """
    arrays = save_weights(_modules(agent) | _averages(agent))
    for name, optimiser in optimisers(agent).items():
        arrays |= {f"optimiser/{name}/{key}": value for key, value in optimiser.state().items()}
    arrays |= agent.replay.state(since)
    for slot, memory in agent.memories.items():
        arrays |= {f"memory/{slot}/{key}": value for key, value in memory.arrays().items()}
    information, about_information = agent.intrinsic.state()
    arrays |= {f"intrinsic/{key}": value for key, value in information.items()}
    rest = {
        "generators": {purpose: rng.bit_generator.state for purpose, rng in agent.rngs.items()},
        "experience": agent.experience.state(),
        "rollouts": agent.rollouts.state(),
        "advantages": agent.behaviour.advantages.state(),
        "reward_unit": agent.reward_unit.state(),
        "exploration": agent.behaviour.exploration.state(),
        "intrinsic": about_information,
        "round": agent.behaving.round,
        "model_updates": agent.modelling.updates,
        "averaged_updates": agent.acting.updates,
        "learned_from": sorted(agent.learned_from),
        "skipped": {name: optimiser.counters() for name, optimiser in optimisers(agent).items()},
    }
    return arrays, rest


def load(agent: "Agent", arrays: Arrays, rest: dict[str, Any]) -> None:
    """Continue from `save`. ValueError where a weight is missing or has another shape.

    ProvenanceError if the saved model has learned from data that this agent's gate refuses.
    """
    roles = {Role(name) for name in rest["learned_from"]}
    foreign = [role for role in roles if not agent.replay.gate.admits(role)]
    if foreign:
        raise ProvenanceError(
            f"{agent.name}: the saved world model has learned from {foreign[0]} data; the gate refuses it"
        )
    agent.learned_from = roles
    load_weights(agent.name, _modules(agent), arrays)
    for name, optimiser in optimisers(agent).items():
        optimiser.load_state(under(arrays, f"optimiser/{name}/"))
        optimiser.load_counters(rest["skipped"][name])
    agent.replay.load_state(arrays)
    for slot in {key.split("/")[1] for key in arrays if key.startswith("memory/")}:
        saved = under(arrays, f"memory/{slot}/")
        agent.begin(slot, len(saved["prev_action"]))
        agent.memories[slot].load(saved)
    for purpose, rng in agent.rngs.items():
        rng.bit_generator.state = rest["generators"][purpose]
    agent.experience.load_state(rest["experience"])
    agent.rollouts.load_state(rest["rollouts"])
    agent.behaviour.advantages.load_state(rest["advantages"])
    agent.reward_unit.load_state(rest["reward_unit"])
    agent.count_in_unit()
    agent.behaviour.exploration.load_state(rest["exploration"])
    agent.intrinsic.load_state(under(arrays, "intrinsic/"), rest["intrinsic"])
    agent.behaving.round = int(rest["round"])
    agent.modelling.updates = int(rest["model_updates"])
    if "averaged_updates" in rest:
        load_weights(agent.name, _averages(agent), arrays)
        agent.acting.updates = int(rest["averaged_updates"])
    else:  # a checkpoint from before agents acted by averages
        agent.acting.restart(agent.modelling.updates)
