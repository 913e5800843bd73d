"""Builds the explorers of a run from its settings."""

from mawm.agents.agent import Agent
from mawm.configs.train import TrainConfig
from mawm.envs.registry import EXPLORER, make_env
from mawm.gating.explorer_hook import ExplorerHook
from mawm.gating.explorers import Explorers
from mawm.gating.gated import GatedExplorers
from mawm.gating.policy import ExplorerPolicy
from mawm.gating.search import Cem, RandomSearch
from mawm.gating.view import PolicyView
from mawm.methods import METHODS, learner_names, members_of
from mawm.seeds import named_generator
from mawm.types import Spaces

HANDOVER = {"strict": None, "policy": Agent.add_explorer_starts, "open": Agent.learn_from_explorers}
"""For each mode of the gate, the learners' method that receives the explorers' segments."""


def make_explorer_hook(config: TrainConfig, spaces: Spaces) -> ExplorerHook:
    """The explorers of a run, or a hook without effect. ValueError for a method without a world model to protect."""
    gating, search = config.gating, config.gating.search
    if gating.gate == "off":
        return ExplorerHook()
    members = members_of(config, spaces)
    if not METHODS[config.method].world_model:
        raise ValueError(
            f"--gate {gating.gate} protects a world model, and --method {config.method} has none; use --gate off"
        )
    sharing = config.sharing
    if gating.gate == "policy" and (sharing.budget_bytes_per_step > 0.0 or sharing.channel == "shuffled"):
        flag = "--channel shuffled" if sharing.channel == "shuffled" else "--budget-bytes-per-step"
        raise ValueError(
            f"--gate policy does not work with {flag}: experience and rollouts would share a budget or a generator, "
            "and rollouts depend on explorers; use --gate strict, or another budget and channel"
        )
    search_rng = named_generator(config.seed, "explorer/search")
    explorers = Explorers(
        make_env(config, EXPLORER, gating.explorers),
        ExplorerPolicy(spaces, search.dimension, named_generator(config.seed, "explorer/policy")),
        Cem(search.dimension, search.population, search.elite, search.floor, search_rng)
        if gating.explorer == "cem"
        else RandomSearch(search.dimension, search.population, search_rng),
        PolicyView(spaces, config.agent),
        search,
        seed=config.seed,
        seq_len=config.agent.world_model.seq_len,
        discount=config.agent.behaviour.discount,
    )
    return GatedExplorers(explorers, learner_names(members), HANDOVER[gating.gate])
