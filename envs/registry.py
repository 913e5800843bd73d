"""The environments by map name: one row each. To add an environment, add a row."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Protocol

from annotated_types import Interval

from mawm.envs.market.rules import MarketRules
from mawm.envs.skirmish.rules import Rules
from mawm.seeds import named_seed
from mawm.types import VectorEnv

EXPLORER = "explorer"
"""The purpose of environments that exploratory strategies take part in: some change when they do."""


@dataclass(frozen=True)
class OwnEnvConfig:
    """How an environment of your own is played, `--map module:factory`."""

    episode_limit: Annotated[int, Interval(ge=1, le=10**6)] = 200
    """Steps after which a battle of it is cut off."""
    timeout_s: Annotated[float, Interval(ge=0.1, le=1e6)] = 60.0
    """Seconds that it may take for one answer: to be made, to reset, to step in all battles side by side, or to play
    the running battles again up to where they stand. Then it hangs, and a fresh one takes its place."""


class EnvSettings(Protocol):
    """The settings of a run that concern its environment (`mawm.configs.train.TrainConfig` has them)."""

    @property
    def map(self) -> str:
        """Which environment, and which map of it."""

    @property
    def seed(self) -> int:
        """Seed of the run."""

    @property
    def rules(self) -> Rules:
        """Rules of the embedded engine."""

    @property
    def market(self) -> MarketRules:
        """Rules of the market."""

    @property
    def own(self) -> OwnEnvConfig:
        """How an environment of the user's is played."""


@dataclass(frozen=True)
class Environment:
    """One kind of environment."""

    plays: Callable[[str], bool]
    """Whether a map's name means this one."""
    make: Callable[[EnvSettings, str, int, int], VectorEnv]
    """Battles side by side, of settings, purpose ("train", "eval", "test", EXPLORER), number of battles and seed."""
    about: Callable[[EnvSettings], str]
    """What a run's first line says of it."""
    has_rules: bool = False
    """Whether `--rules.NAME` changes it."""


def _own(settings: EnvSettings, purpose: str, batch: int, seed: int) -> VectorEnv:
    """A user's environment in a process of its own, which may fail."""
    from mawm.envs.checked import CheckedEnv
    from mawm.envs.pettingzoo import own_parallel_env
    from mawm.envs.process import ProcessEnv
    from mawm.envs.restarting import RestartingEnv

    name = f"{settings.map} ({purpose})"
    make = partial(own_parallel_env, settings.map, batch, seed, settings.own.episode_limit)
    return RestartingEnv(lambda: CheckedEnv(ProcessEnv(make, settings.own.timeout_s), name), name)


def _market(settings: EnvSettings, purpose: str, batch: int, seed: int) -> VectorEnv:
    from mawm.envs.checked import CheckedEnv
    from mawm.envs.market.vector import MarketVectorEnv

    env = MarketVectorEnv(batch, seed, settings.market, explored=purpose == EXPLORER)
    return CheckedEnv(env, f"{short_name(settings.map)} ({purpose})")


def _skirmish(settings: EnvSettings, purpose: str, batch: int, seed: int) -> VectorEnv:
    from mawm.envs.checked import CheckedEnv
    from mawm.envs.skirmish.vector import SkirmishVectorEnv  # numba loads only where battles are played

    env = SkirmishVectorEnv(settings.map, batch, seed, settings.rules)
    return CheckedEnv(env, f"{short_name(settings.map)} ({purpose})")


def is_own(map_name: str) -> bool:
    """Whether a map is an environment of the user's, `module:factory` (docs/own_environment.md)."""
    return ":" in map_name and not map_name.endswith(".toml")


def short_name(map_name: str) -> str:
    """A map's name in those of folders: without path, ending or colon."""
    return map_name.replace(":", ".") if is_own(map_name) else Path(map_name).stem


ENVIRONMENTS = {
    "skirmish": Environment(
        lambda name: True,
        _skirmish,
        lambda settings: (
            f"map {settings.map}, engine skirmish with rules {settings.rules.version} (embedded; not StarCraft II)"
        ),
        has_rules=True,
    ),
    "market": Environment(
        lambda name: name == "market",
        _market,
        lambda settings: "the market of docs/market.md; `won` is a session with a profit",
    ),
    "own": Environment(
        is_own,
        _own,
        lambda settings: f"environment {settings.map}, your own (docs/own_environment.md), in a process of its own",
    ),
}
"""The last row that plays a map is its environment; the first one plays all maps that no other row does."""


def environment_of(map_name: str) -> Environment:
    """The environment that plays a map."""
    return next(row for row in reversed(ENVIRONMENTS.values()) if row.plays(map_name))


def make_env(settings: EnvSettings, purpose: str, batch: int) -> VectorEnv:
    """Battles for one purpose ("train", "eval", "test", EXPLORER): streams of their own, keyed by name.

    To be closed: an environment of the user's has a process.
    """
    seed = named_seed(settings.seed, f"battles/{purpose}")
    return environment_of(settings.map).make(settings, purpose, batch, seed)
