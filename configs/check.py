"""What a configuration must satisfy before anything starts: rules with the value, the range and the key in one line."""

import difflib
import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from mawm.configs.ranges import PRODUCTS, RANGES, interval, number, shown
from mawm.configs.train import SharingConfig, TrainConfig
from mawm.envs.registry import is_own
from mawm.runtime.import_user_code import load_factory
from mawm.sharing.selectors import NAMES


def check(config: TrainConfig) -> None:
    """Raise ValueError for the first setting that is out of its range, naming key, value and range."""
    for path, value in _numbers(config, ""):
        _check_range(path, value)
    for paths, most in PRODUCTS:
        _check_product(config, paths, most)
    if is_own(config.map):
        load_factory("map", config.map)
    _check_selector(config.sharing)
    _check_elite(config)
    _check_updates(config)


def _numbers(node: Any, path: str) -> Iterator[tuple[str, float]]:
    for entry in fields(node):
        value, name = getattr(node, entry.name), f"{path}{entry.name}"
        if is_dataclass(value):
            yield from _numbers(value, f"{name}.")
        elif isinstance(value, (int, float)):
            yield name, value


def _check_range(path: str, value: float) -> None:
    name = path.rpartition(".")[2]
    low, high = RANGES[name]
    if not low <= value <= high:  # not a number lies nowhere
        meant = "" if value != value else f": did you mean {number(min(high, max(low, value)))}?"
        raise ValueError(f"{path} must lie in {interval(name)}; got {number(value)}{meant}")


def _check_product(config: TrainConfig, paths: tuple[str, ...], most: int) -> None:
    sides = [_setting(config, path) for path in paths]
    if math.prod(sides) > most:
        raise ValueError(
            f"{' x '.join(paths)} is {' x '.join(map(str, sides))} = {math.prod(sides)}; at most {most} are "
            "allowed: more would not fit into memory"
        )


def _setting(config: TrainConfig, path: str) -> int:
    found: Any = config
    for name in path.split("."):
        found = getattr(found, name)
    return int(found)


def _check_selector(sharing: SharingConfig) -> None:
    selector = sharing.selector
    if ":" in selector:
        _check_own(sharing)
    elif selector not in NAMES:
        near = difflib.get_close_matches(selector, NAMES, 1)
        meant = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"sharing.selector is {shown(selector)}; it must be one of {', '.join(NAMES)}, or module:factory with one "
            f"of your own{meant}"
        )


def _check_own(sharing: SharingConfig) -> None:
    """A selector of the user's is made once for nothing: else its mistake would come up where learners are built."""
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
            f"gating.search.elite {number(search.elite)} of gating.search.population {search.population} keeps "
            f"{elites}; it must be at least 2, and one for each of gating.explorers {explorers}"
        )


def _check_updates(config: TrainConfig) -> None:
    """All that is imagined in a round lies in memory at once."""
    plan, behaviour = config.schedule, config.agent.behaviour
    updates = plan.battles * plan.round_steps * plan.updates_per_step / plan.updates_per_behaviour
    rows = updates * behaviour.starts * behaviour.horizon
    if rows > 10**7:
        raise ValueError(
            f"schedule.battles {plan.battles} x schedule.round_steps {plan.round_steps} x schedule.updates_per_step "
            f"{number(plan.updates_per_step)} / schedule.updates_per_behaviour {number(plan.updates_per_behaviour)} x "
            f"agent.behaviour.starts {behaviour.starts} x agent.behaviour.horizon {behaviour.horizon} is {rows:g} "
            "imagined states a round; at most 10000000 are allowed: more would not fit into memory"
        )
