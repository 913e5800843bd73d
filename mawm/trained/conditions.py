"""The rows of an evaluation: the training's conditions, and others that differ from them in one thing each."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mawm.agents.compute import prepare_process
from mawm.configs.check import check
from mawm.configs.settings import nearest, shown, valid
from mawm.configs.train import TrainConfig
from mawm.envs.registry import environment_of, short_name
from mawm.envs.skirmish.rules import Rules
from mawm.seeds import named_generator
from mawm.trained.run import TrainedRun, load_run
from mawm.trained.takeover import LowestAction, OtherRun, RandomActions, Substitute
from mawm.types import Spaces

AS_TRAINED = "as trained"
RULE_NAMES = tuple(entry.name.replace("_", "-") for entry in fields(Rules))
"""The names of the rules on the command line."""


@dataclass(frozen=True)
class Replacement:
    """One agent that is taken over: its number and name, and by what: random, noop, or another run."""

    agent: int
    name: str
    by: str
    run: TrainedRun | None = None

    def substitute(self) -> Substitute:
        """A new substitute, with generators as at the start."""
        if self.run is not None:
            return OtherRun(self.run, self.run.agents.index(self.name))
        if self.by == "noop":
            return LowestAction()
        return RandomActions(named_generator(0, f"substitute/agent_{self.agent}"))


@dataclass(frozen=True)
class Condition:
    """One row of the table: settings of the battles, and agents that are taken over in a share of the steps."""

    label: str
    config: TrainConfig
    facts: dict[str, Any] = field(default_factory=dict)
    """What differs from the training, for JSON."""
    replaced: tuple[Replacement, ...] = ()
    share: float = 1.0


def with_rules(config: TrainConfig, word: str) -> Condition:
    """The row of one word of --rules, `NAME=VALUE[,NAME=VALUE...]`. ValueError for a mistake."""
    named: dict[str, Any] = {}
    for part in word.split(","):
        name, equals, value = part.partition("=")
        name = name.strip().replace("_", "-")
        if name not in RULE_NAMES:
            raise ValueError(
                f"--rules {word}: {shown(name)} is not the name of a rule; a row is NAME=VALUE, or "
                f"NAME=VALUE,NAME=VALUE for several rules; the rules are {', '.join(RULE_NAMES)}"
                f"{nearest(name, RULE_NAMES)}"
            )
        if not equals or name.replace("-", "_") in named:
            problem = "is named twice" if equals else "has no value"
            raise ValueError(f"--rules {word}: {name} {problem}; give each rule one value, as in {name}=0.5")
        named[name.replace("-", "_")] = value.strip() if name == "version" else _number(value)
    if not environment_of(config).has_rules:
        raise ValueError(
            f"--rules {word}: these are rules of the embedded engine's battles, and the run's environment "
            f"{shown(config.map)} has no such rules; leave --rules out"
        )
    rules = valid(replace(config.rules, **named), lambda setting: f"--rules {setting.flag.removeprefix('--')}")
    shifted = replace(config, rules=rules)
    check(shifted)
    kept = {name: getattr(rules, name) for name in named}
    label = ", ".join(
        f"{name.replace('_', '-')} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in kept.items()
    )
    return Condition(label, shifted, {"rules": kept})


def _number(text: str) -> float | str:
    """The number that a text writes; the text itself if it writes none, for the message about it."""
    try:
        return float(text)
    except ValueError:
        return text


def on_map(config: TrainConfig, name: str) -> Condition:
    """The row of another map. ValueError if there is no such environment."""
    other = replace(config, map=name)
    check(other)
    return Condition(f"map {short_name(name)}", other, {"map": name})


def check_sizes(what: str, theirs: Spaces, run: str, ours: Spaces) -> None:
    """ValueError, with both sizes, if agents of one environment cannot act in the other."""
    pairs = (
        ("observations", theirs.obs_size, ours.obs_size),
        ("actions", theirs.n_actions, ours.n_actions),
        ("agents", theirs.n_agents, ours.n_agents),
    )
    if any(a != b for _, a, b in pairs):
        one, two = (", ".join(f"{name} {pair[i]}" for name, *pair in pairs) for i in (0, 1))
        raise ValueError(
            f"{what} has {one}, and {run} has {two}: the networks fit only where all three agree; give one that agrees"
        )


def replacement(run: TrainedRun, word: str) -> Replacement:
    """The replacement of a word of --replace: `AGENT:random`, `AGENT:noop`, `AGENT:RUN2`. ValueError for a mistake."""
    # The names of an environment of one's own may hold colons.
    known = max((name for name in run.agents if word.startswith(f"{name}:")), key=len, default=word.partition(":")[0])
    name, by = known, word.removeprefix(known).removeprefix(":")
    if not by:
        raise ValueError(f"--replace {word}: give AGENT:random, AGENT:noop or AGENT:RUN2, as in {run.agents[0]}:random")
    if name not in run.agents:
        raise ValueError(
            f"--replace {word}: the team has no agent {name!r}; its agents are {', '.join(run.agents)}"
            f"{nearest(name, run.agents)}"
        )
    agent = run.agents.index(name)
    if by in ("random", "noop"):
        return Replacement(agent, name, by)
    return Replacement(agent, name, by, _other_run(run, word, name, Path(by)))


def _other_run(run: TrainedRun, word: str, name: str, folder: Path) -> TrainedRun:
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"--replace {word}: {folder} is not a run's folder (it holds no config.json); after the colon give random, "
            "noop, or the folder of a run"
        )
    try:
        other = load_run(folder)
    except (OSError, ValueError) as error:
        raise ValueError(f"--replace {word}: {error}") from None
    finally:
        prepare_process(run.config.precision)  # the precision is of the whole process, and the other run set its own
    check_sizes(f"--replace {word}: the map {other.config.map}", other.spaces, "this run's map", run.spaces)
    if name not in other.agents:
        raise ValueError(
            f"--replace {word}: that run has no agent {name!r}; its agents are {', '.join(other.agents)}; give a "
            "run whose agents have the same names"
        )
    return other


def taken_over(run: TrainedRun, words: Sequence[str], shares: Sequence[float]) -> list[Condition]:
    """One row for each share of --share, with all agents of --replace taken over. ValueError for a mistake."""
    replaced = tuple(replacement(run, word) for word in words)
    names = [each.name for each in replaced]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"--replace names {twice} twice; give each agent one replacement")
    who = ", ".join(f"{each.name} {each.by if each.run is None else Path(each.by).name}" for each in replaced)
    return [
        Condition(
            who if share == 1.0 else f"{who}, share {share:g}",
            run.config,
            {"replace": {each.name: each.by for each in replaced}, "share": share},
            replaced,
            share,
        )
        for share in shares
    ]
