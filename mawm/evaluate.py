"""`python -m mawm.evaluate RUN`: the win rates of a run's last checkpoint, also with other rules of battle."""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from annotated_types import Interval

from mawm.configs.check import check
from mawm.configs.command_line import fail, parse
from mawm.configs.settings import shown
from mawm.configs.train import TrainConfig
from mawm.envs.registry import environment_of, names_success
from mawm.envs.skirmish.rules import Rules
from mawm.runtime.console import print_stderr

if TYPE_CHECKING:
    from mawm.evaluation import TeamEvaluation
    from mawm.types import Metrics, VectorEnv

DESCRIPTION = """Play battles with the last checkpoint of a run and print its win rates with 95 % intervals (Wilson).

The team plays the same battles twice: with greedy actions (the mode of each policy) and with sampled actions. The
battles are the same for every run on a map, and training uses none of them. Battles with the same sequence of joint
actions count as one in an interval (docs/studies.md).

  python -m mawm.evaluate RUN                            rules as trained: one row
  python -m mawm.evaluate RUN --rules.spawn-jitter 0.5   a second row: start positions move at random by 0.5 cells

A rule that is not named is the same as in the training; the defaults shown here are not used. The evaluation takes
seconds on a small map."""
PRINT_EVERY_S = 10.0
RULES = "--rules."
"""The prefix of the options for rules."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    episodes: Annotated[int, Interval(ge=1, le=10**6)] = 320
    """Battles to play with greedy actions, and again with sampled actions. They are played twice if a rule is named."""
    json: bool = False
    """Print one JSON line instead of a table: win_rate, win_rate_sampled (each also with _low and _high), return,
    length, distinct_battles (each also with _sampled), episodes; the same under `shifted` if a rule is named;
    with --env smac or smacv2 also game."""
    rules: Rules = field(default_factory=Rules)
    """Rules of the embedded engine for a second row; the first row has the rules of the training."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, play, print. Exit codes: 0 done, 1 the environment failed, 2 a user error."""
    args = sys.argv[1:] if args is None else args
    command = parse(Command, prog="python -m mawm.evaluate", description=DESCRIPTION, args=args)
    if not (command.run / "config.json").is_file():
        fail(f"{command.run} is not a run's folder: it holds no config.json; give the folder that mawm.train printed")
    from mawm.envs.checked import EnvFault

    try:
        with contextlib.ExitStack() as at_end:
            return _play(command, _named_rules(command, args), at_end)
    except EnvFault as error:
        print_stderr(str(error))
        return 1


def _named_rules(command: Command, args: list[str]) -> dict[str, Any]:
    """The rules that the command line names, with their values."""
    flags = [arg.partition("=")[0] for arg in args if arg.startswith(RULES)]
    names = [flag.removeprefix(RULES).replace("-", "_") for flag in flags]
    return {name: getattr(command.rules, name) for name in names}


def shift(config: TrainConfig, named: dict[str, Any]) -> TrainConfig:
    """A run's settings with other rules. ValueError if its environment has no rules, or a value is out of range."""
    flag = f"{RULES}{next(iter(named)).replace('_', '-')}"
    if not environment_of(config).has_rules:
        raise ValueError(
            f"{flag} is a rule of the embedded engine's battles, and the run's environment {shown(config.map)} has no "
            f"such rules; leave {flag} out"
        )
    shifted = replace(config, rules=replace(config.rules, **named))
    check(shifted)
    return shifted


def _play(command: Command, named: dict[str, Any], at_end: contextlib.ExitStack) -> int:
    from mawm.build import make_team  # torch and numba load only once the command line is right
    from mawm.envs.registry import make_env
    from mawm.envs.starcraft.packages import game_name
    from mawm.evaluation import evaluate_both, model_errors
    from mawm.methods import learner_names
    from mawm.run_folder.checkpoint import newest
    from mawm.run_folder.manifest import read_config
    from mawm.run_folder.run_state import load_team

    def play(settings: TrainConfig) -> Callable[[], "VectorEnv"]:
        return partial(make_env, replace(settings, seed=0), "test", command.episodes)

    try:
        config = replace(read_config(command.run), device="cpu")
        shifted = shift(config, named) if named else None
        checkpoint = newest(command.run)
        env = at_end.enter_context(contextlib.closing(play(config)()))
        if shifted is not None:
            play(shifted)().close()  # if the map does not fit a rule, this fails before the battles of the first row
        team = make_team(config, env.spaces, "cpu", "inline")
        load = partial(load_team, team, learner_names(team.members), checkpoint.parts)
        load()
    except (OSError, ValueError) as error:
        fail(f"{command.run}: {error}")
    except (KeyError, IndexError, TypeError) as error:
        fail(f"{command.run}: its checkpoint lacks {error}: it was saved by another version")
    watch = _Progress(command.episodes)
    rows = {"as trained": evaluate_both(play(config), team, command.episodes, watch)}
    agent = config.agent
    errors = model_errors(env, team, "greedy", seq_len=agent.world_model.seq_len, discount=agent.behaviour.discount)
    if shifted is not None:
        load()  # this also resets the generators, so that the second row does not depend on the first
        rows[_label(named)] = evaluate_both(play(shifted), team, command.episodes, watch)
    game = {} if config.env == "skirmish" else {"game": game_name()}
    if command.json:
        print(json.dumps(_facts(rows, named) | {"env_steps": checkpoint.env_steps} | game | errors))
        return 0
    about = f"{config.map} (the package {config.env} with the game {game['game']})" if game else config.map
    print(f"{about}, {checkpoint.env_steps} environment steps; {command.episodes} battles greedy, the same sampled")
    print("\n".join(_table(rows, wins=names_success(config))))
    if errors:
        print(_error_text(errors))
    return 0


class _Progress:
    """Prints the number of ended battles on stderr, every ten seconds: a short evaluation prints nothing."""

    def __init__(self, battles: int) -> None:
        self._battles, self._printed_s = battles, time.monotonic()

    def __call__(self, mode: str, ended: int) -> None:
        """Print, if the last line is old enough."""
        now = time.monotonic()
        if now - self._printed_s >= PRINT_EVERY_S:
            self._printed_s = now
            words = "greedy" if mode == "greedy" else "sampled"
            print_stderr(f"{ended} of {self._battles} battles with {words} actions")


def _label(named: dict[str, Any]) -> str:
    """The name of a row: `spawn-jitter 0.5, missiles 0`."""
    return ", ".join(
        f"{name.replace('_', '-')} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in named.items()
    )


def _facts(rows: "dict[str, TeamEvaluation]", named: dict[str, Any]) -> dict[str, Any]:
    """The values that --json prints: the first row at the top level, the second row under `shifted`."""
    first, *others = (row.metrics() for row in rows.values())
    facts: dict[str, Any] = {**_with_integers(first), "low": first["win_rate_low"], "high": first["win_rate_high"]}
    for shifted in others:
        facts["shifted"] = {"rules": named, **_with_integers(shifted)}
    return facts


def _with_integers(metrics: "Metrics") -> dict[str, float]:
    """The same metrics, with numbers of battles as integers."""
    return {name: int(value) if name.startswith(("distinct", "episodes")) else value for name, value in metrics.items()}


def _table(rows: "dict[str, TeamEvaluation]", *, wins: bool = True) -> list[str]:
    """The lines of the table: a header, then one row for each set of rules.

    Without `wins`, because the environment may have none, it has no win rates unless a battle was won.
    """
    wins = wins or any(each.wins for row in rows.values() for each in (row.greedy, row.sampled))
    rates_too = ("win rate, greedy", "win rate, sampled") if wins else ()
    header = ("rules", *rates_too, "return, greedy / sampled", "distinct battles")
    lines = [header]
    for label, row in rows.items():
        both = (row.greedy, row.sampled)
        rates = [
            f"{100 * each.win_rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
            for each in both
            for low, high in (each.interval(),)
        ]
        returns, distinct = (f"{a.mean_return:.2f}" for a in both), (str(each.distinct) for each in both)
        lines.append((label, *(rates if wins else ()), " / ".join(returns), " / ".join(distinct)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _error_text(errors: "Metrics") -> str:
    """The errors of the world models, as text."""
    return (
        "world model, mean squared error a step ahead (in these battles / in its replay): observations "
        f"{errors['deployed/obs_error']:.4g} / {errors['trained/obs_error']:.4g}, rewards "
        f"{errors['deployed/reward_error']:.4g} / {errors['trained/reward_error']:.4g}"
    )


if __name__ == "__main__":
    sys.exit(main())
