"""Checks of a complete configuration. Each error message names the setting, its value and the rule in one line."""

import math
import re
from importlib.util import find_spec
from operator import attrgetter

import numpy as np

from mawm.configs.settings import nearest, shown, valid
from mawm.configs.train import SharingConfig, TrainConfig
from mawm.envs.registry import is_own
from mawm.envs.success import REPORTED, flag_of
from mawm.runtime.import_user_code import load_factory
from mawm.sharing.linked_learner import LONGEST_KEY, SHORTEST_KEY, read_secret
from mawm.sharing.selectors import SELECTORS
from mawm.sharing.topology import TOPOLOGIES, is_file, named_edges

PRODUCTS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("agent.world_model.groups", "agent.world_model.classes"), 8192),
    (("agent.world_model.batch", "agent.world_model.seq_len"), 10**6),
    (("agent.behaviour.starts", "agent.behaviour.horizon"), 10**6),
    (("agent.information.observations", "agent.information.others"), 10**6),
    (("schedule.battles", "schedule.round_steps"), 10**6),
    (("schedule.battles", "agent.ppo.rollout"), 10**7),
    (("gating.search.population", "gating.search.probes"), 10**6),
    (("gating.search.population", "gating.search.dimension"), 10**7),
    (("schedule.battles", "market.steps", "market.traders"), 10**8),
    (("schedule.eval_battles", "market.steps", "market.traders"), 10**8),
    (("gating.explorers", "market.steps", "market.traders"), 10**8),
)
"""Settings whose product is the size of an array, with the largest allowed product."""


def check(config: TrainConfig) -> None:
    """Raise ValueError for the first setting, or combination of settings, that is not allowed."""
    valid(config, lambda setting: setting.path)
    for paths, most in PRODUCTS:
        _check_product(config, paths, most)
    if is_own(config.map):
        load_factory("map", config.map)
    _check_success(config)
    if config.placement == "stack" and config.precision == "bf16":
        raise ValueError(
            "placement stack does not work with precision bf16: stacked learners do not round the factors of products; "
            "use --placement inline, or --precision auto (TF32 on a GPU) or float32"
        )
    _check_ray(config)
    _check_selector(config.sharing)
    _check_topology(config.link.topology)
    _check_transport(config)
    _check_elite(config)
    _check_updates(config)


def _check_ray(config: TrainConfig) -> None:
    if not re.fullmatch(r"auto|local|[\w.-]+(:\d{1,5})?|\[[\da-fA-F:.]+\](:\d{1,5})?", config.ray_address):
        raise ValueError(f"ray_address is {shown(config.ray_address)}; it must be auto, local, HOST or HOST:PORT")
    if config.placement == "ray" and config.device not in ("auto", "cpu"):
        raise ValueError(
            f"device is {shown(config.device)}; with placement ray it must be cpu or auto: a learner on a cluster has "
            "one CPU and no GPU (--placement stack uses a GPU)"
        )


def _check_success(config: TrainConfig) -> None:
    flag = flag_of(config.success)
    if flag != REPORTED and not is_own(config.map):
        raise ValueError(
            f"success is {flag!r}, a flag in the infos of an environment of your own; --map {config.map} reports "
            "battle_won only: leave it out, or use return>=NUMBER"
        )


def _check_product(config: TrainConfig, paths: tuple[str, ...], most: int) -> None:
    sides = attrgetter(*paths)(config)
    if math.prod(sides) > most:
        raise ValueError(
            f"{' x '.join(paths)} is {' x '.join(map(str, sides))} = {math.prod(sides)}; it must be at most {most}: "
            "more would not fit into memory"
        )


def _check_selector(sharing: SharingConfig) -> None:
    selector = sharing.selector
    if ":" in selector:
        _check_own(sharing)
    elif selector not in SELECTORS:
        raise ValueError(
            f"sharing.selector is {shown(selector)}; it must be one of {', '.join(SELECTORS)}, or module:factory of "
            f"your own selector{nearest(selector, SELECTORS)}"
        )


def _check_topology(topology: str) -> None:
    if topology in TOPOLOGIES:
        return
    if not is_file(topology):
        raise ValueError(
            f"link.topology is {shown(topology)}; it must be one of {', '.join(TOPOLOGIES)}, or the path of a file "
            f"with lines SENDER,RECEIVER{nearest(topology, TOPOLOGIES)}"
        )
    named_edges(topology)


def _check_transport(config: TrainConfig) -> None:
    link, channel = config.link, config.sharing.channel
    try:
        read_secret(link.key_file)
    except ValueError as error:
        raise ValueError(
            f"link.key_file {shown(link.key_file)} must be a file of {SHORTEST_KEY} to {LONGEST_KEY} bytes; {error}"
        ) from None
    if link.transport == "driver":
        return
    if config.placement not in ("auto", "process"):
        raise ValueError(
            f"link.transport tcp does not work with placement {config.placement}: messages travel from process to "
            "process; use --placement process, or --link.transport driver"
        )
    if link.delay or channel not in ("real", "random"):
        flag = f"--link.delay {link.delay}" if link.delay else f"--channel {channel}"
        raise ValueError(
            f"link.transport tcp does not work with {flag}: the driver would have to hold or rewrite messages that it "
            "does not have; use --link.transport driver, which gives the same numbers"
        )
    if find_spec("zmq") is None:
        raise ValueError(
            "link.transport tcp needs the package pyzmq: pip install -c constraints.txt -e '.[link]', or use "
            "--link.transport driver"
        )


def _check_own(sharing: SharingConfig) -> None:
    """Construct the user's selector once, so that its errors appear before the learners are built."""
    factory = load_factory("sharing.selector", sharing.selector)
    try:
        factory(sharing.bandwidth, ("critic",), sharing.rollout_window, np.random.default_rng(0))
    except Exception as error:  # the user's code may raise anything
        raise ValueError(
            f"sharing.selector is {shown(sharing.selector)}; it must be callable with bandwidth, components, window "
            f"and rng, and raised {type(error).__name__}: {error}"
        ) from None


def _check_elite(config: TrainConfig) -> None:
    search, explorers = config.gating.search, config.gating.explorers
    elites = round(search.elite * search.population)
    if elites < max(2, explorers):
        raise ValueError(
            f"gating.search.elite {shown(search.elite)} of gating.search.population {search.population} keeps "
            f"{elites}; it must be at least 2, and one for each of gating.explorers {explorers}"
        )


def _check_updates(config: TrainConfig) -> None:
    """Limit the imagined states of a round, which are in memory at the same time."""
    plan, behaviour = config.schedule, config.agent.behaviour
    updates = plan.battles * plan.round_steps * plan.updates_per_step / plan.updates_per_behaviour
    rows = updates * behaviour.starts * behaviour.horizon
    if rows > 10**7:
        raise ValueError(
            f"schedule.battles {plan.battles} x schedule.round_steps {plan.round_steps} x schedule.updates_per_step "
            f"{shown(plan.updates_per_step)} / schedule.updates_per_behaviour {shown(plan.updates_per_behaviour)} x "
            f"agent.behaviour.starts {behaviour.starts} x agent.behaviour.horizon {behaviour.horizon} is {rows:g} "
            "imagined states a round; it must be at most 10000000: more would not fit into memory"
        )
