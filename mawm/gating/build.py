"""Makes the explorers of a run from its settings."""

from mawm.agents.learner import GatedLearner
from mawm.configs.train import TrainConfig
from mawm.envs.registry import EXPLORER, make_env
from mawm.gating.cem import Cem
from mawm.gating.explorer_hook import ExplorerHook
from mawm.gating.explorers import Explorers
from mawm.gating.gated import GatedExplorers
from mawm.gating.policy import ExplorerPolicy
from mawm.gating.search import RandomSearch
from mawm.gating.view import PolicyView
from mawm.methods import METHODS, learner_names, members_of
from mawm.seeds import named_generator
from mawm.types import Spaces

HANDOVER = {"strict": None, "policy": GatedLearner.consider, "open": GatedLearner.mix}
"""By mode: the learners' method that takes in explorers' segments."""


def make_explorer_hook(config: TrainConfig, spaces: Spaces) -> ExplorerHook:
    """The explorers that play beside the primary, if any. ValueError for a method without a world model to guard."""
    gating, search = config.gating, config.gating.search
    if gating.gate == "off":
        return ExplorerHook()
    members = members_of(config, spaces)
    if not METHODS[config.method].imagines:
        raise ValueError(
            f"--gate {gating.gate} guards a world model, and --method {config.method} has none; use --gate off"
        )
    sharing = config.sharing
    if gating.gate == "policy" and (sharing.budget_bytes_per_step > 0.0 or sharing.channel == "shuffled"):
        what = "--channel shuffled" if sharing.channel == "shuffled" else "--budget-bytes-per-step"
        raise ValueError(
            f"--gate policy with {what}: experience and rollouts would share a purse or a generator there, and "
            "rollouts depend on explorers; use --gate strict, or another budget and channel"
        )
    searched = named_generator(config.seed, "explorer/search")
    explorers = Explorers(
        make_env(config, EXPLORER, gating.explorers),
        ExplorerPolicy(spaces, search.dimension, named_generator(config.seed, "explorer/policy")),
        Cem(search.dimension, search.population, search.elite, search.floor, searched)
        if gating.explorer == "cem"
        else RandomSearch(search.dimension, search.population, searched),
        PolicyView(spaces, config.agent),
        search,
        seed=config.seed,
        seq_len=config.agent.world_model.seq_len,
        discount=config.agent.behaviour.discount,
    )
    return GatedExplorers(explorers, learner_names(members), HANDOVER[gating.gate])
