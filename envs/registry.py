"""The table of environments. To add an environment, add a row."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from mawm.envs.success import AUTO, with_success
from mawm.seeds import named_seed
from mawm.types import VectorEnv

if TYPE_CHECKING:
    from mawm.configs.train import TrainConfig

EXPLORER = "explorer"
"""The purpose of explorers' battles; some environments change when explorers take part."""


@dataclass(frozen=True)
class OwnEnvConfig:
    """Settings for an environment of your own, `--map module:factory`."""

    episode_limit: Annotated[int, Interval(ge=1, le=10**6)] = 200
    """Number of steps after which a battle is truncated."""
    timeout_s: Annotated[float, Interval(ge=0.1, le=1e6)] = 60.0
    """Largest time in seconds for one answer: construction, reset, one step in all parallel battles, or one step of the
    replay of a battle. After it the environment is killed and restarted."""
    agents: tuple[str, ...] = ()
    """Names of all agents in the order of the learners (default: the order of possible_agents). A run records them, so
    that it gives each agent its own learner when it goes on, even if the environment lists them in another order."""


@dataclass(frozen=True)
class Environment:
    """One kind of environment."""

    plays: Callable[["TrainConfig"], bool]
    """Whether the settings choose this environment."""
    make: Callable[["TrainConfig", str, int, int], VectorEnv]
    """Parallel battles from settings, purpose ("train", "eval", "test", EXPLORER), number of battles and seed."""
    about: Callable[["TrainConfig"], str]
    """Its description in the first line of a run."""
    has_rules: bool = False
    """Whether it uses `--rules.NAME`."""
    compiles: bool = False
    """Whether its first step compiles code. A run plays such a step in a battle of its own before its clock starts."""


def _own(settings: "TrainConfig", purpose: str, batch: int, seed: int) -> VectorEnv:
    """A user's environment in a separate process, which is restarted after a fault."""
    from mawm.envs.checked import CheckedEnv
    from mawm.envs.pettingzoo import own_parallel_env
    from mawm.envs.process import ProcessEnv
    from mawm.envs.restarting import RestartingEnv

    name, own = f"{settings.map} ({purpose})", settings.own
    rows = min(batch, settings.schedule.battles) if purpose == "test" else batch
    agents = own.agents

    def make() -> VectorEnv:
        nonlocal agents
        build = partial(
            own_parallel_env, settings.map, rows, seed, own.episode_limit, agents, warn=purpose == "train",
            success=settings.success,
        )  # fmt: skip
        env = ProcessEnv(build, own.timeout_s)
        agents = env.spaces.agents  # a restarted process may list them in another order
        return CheckedEnv(env, name)

    return RestartingEnv(make, name)


def _market(settings: "TrainConfig", purpose: str, batch: int, seed: int) -> VectorEnv:
    from mawm.envs.market.vector import MarketVectorEnv

    return MarketVectorEnv(batch, seed, settings.market, explored=purpose == EXPLORER)


def _skirmish(settings: "TrainConfig", purpose: str, batch: int, seed: int) -> VectorEnv:
    from mawm.envs.skirmish.battles import make_battles  # numba loads slowly, so only if battles are played

    return make_battles(settings.map, batch, seed, settings.rules)


def _games(package: str, settings: "TrainConfig", purpose: str, batch: int, seed: int) -> VectorEnv:
    """Games of StarCraft II, each in a process. There are at most as many for an evaluation as for training."""
    from mawm.envs.checked import CheckedEnv
    from mawm.envs.process import ProcessEnv
    from mawm.envs.starcraft.game import make_game
    from mawm.envs.starcraft.games import Games

    name = f"{settings.map} ({package}, {purpose})"
    rows = batch if purpose in ("train", EXPLORER) else min(batch, settings.schedule.battles)

    def make(first: int) -> VectorEnv:
        game = partial(make_game, package, settings.map, seed, first, rows)
        return CheckedEnv(ProcessEnv(game, settings.own.timeout_s), name, first_battle=first, stride=rows)

    return Games(make, rows, name)


def _about_game(package: str, settings: "TrainConfig") -> str:
    from mawm.envs.starcraft.packages import game_name

    return f"map {settings.map}, the package {package} with the game {game_name()}"


def _original(package: str) -> Environment:
    """The row of one of the original packages."""
    return Environment(
        lambda settings: settings.env == package, partial(_games, package), partial(_about_game, package)
    )


def is_own(map_name: str) -> bool:
    """Whether a map name is a user's environment, `module:factory` (docs/own_environment.md)."""
    return ":" in map_name and not map_name.endswith(".toml")


def names_success(settings: "TrainConfig") -> bool:
    """Whether it is known that battles can be won. An environment of one's own may never report `battle_won`."""
    return not is_own(settings.map) or settings.success != AUTO


def short_name(map_name: str) -> str:
    """A map's name for use in folder names: without path, suffix or colon."""
    return map_name.replace(":", ".") if is_own(map_name) else Path(map_name).stem


ENVIRONMENTS = {
    "skirmish": Environment(
        lambda settings: True,
        _skirmish,
        lambda settings: (
            f"map {settings.map}, engine skirmish with rules {settings.rules.version} (embedded; not StarCraft II)"
        ),
        has_rules=True,
        compiles=True,
    ),
    "market": Environment(
        lambda settings: settings.map == "market",
        _market,
        lambda settings: "the market of docs/market.md; a session with a profit counts as won",
    ),
    "own": Environment(
        lambda settings: is_own(settings.map),
        _own,
        lambda settings: (
            f"environment {settings.map}, your own (docs/own_environment.md), in a separate process; battles are cut "
            f"after {settings.own.episode_limit} steps (--own.episode-limit)"
        ),
    ),
    "smac": _original("smac"),
    "smacv2": _original("smacv2"),
}
"""The last row that plays the map of the settings is its environment; the first row plays all other maps."""


def environment_of(settings: "TrainConfig") -> Environment:
    """The environment of a run."""
    return next(row for row in reversed(ENVIRONMENTS.values()) if row.plays(settings))


def with_agents(settings: "TrainConfig", agents: tuple[str, ...]) -> "TrainConfig":
    """The settings with the names of the agents, so that every environment of a run has them in this order."""
    return replace(settings, own=replace(settings.own, agents=agents)) if agents and is_own(settings.map) else settings


def make_env(settings: "TrainConfig", purpose: str, batch: int) -> VectorEnv:
    """Parallel battles for one purpose ("train", "eval", "test", EXPLORER), with a random stream of its own.

    Its answers are checked (`CheckedEnv`). The caller must close the environment, because a user's environment has a
    process.
    """
    from mawm.envs.checked import CheckedEnv
    from mawm.envs.restarting import RestartingEnv
    from mawm.envs.starcraft.games import Games

    seed = named_seed(settings.seed, f"battles/{purpose}")
    env = environment_of(settings).make(settings, purpose, batch, seed)
    checks_itself = isinstance(env, RestartingEnv | Games)
    checked = env if checks_itself else CheckedEnv(env, f"{short_name(settings.map)} ({purpose})")
    return with_success(checked, settings.success)
