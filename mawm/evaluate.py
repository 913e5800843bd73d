"""`python -m mawm.evaluate RUN`: results of a run's team, also under other conditions than those of its training."""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from annotated_types import Interval

from mawm.configs.command_line import environment_faults, fail, parse, user_errors
from mawm.runtime.console import print_stderr
from mawm.types import Share

if TYPE_CHECKING:
    from mawm.configs.train import TrainConfig
    from mawm.evaluation import TeamEvaluation
    from mawm.trained.conditions import Condition
    from mawm.trained.run import TrainedRun
    from mawm.types import Metrics, VectorEnv

DESCRIPTION = """Play battles with the last checkpoint of a run and print its win rates with 95 % intervals (Wilson).

The team plays the same battles twice: with greedy actions (the mode of each policy) and with sampled actions. The
battles are the same for every run on a map, and training uses none of them. Battles with the same sequence of joint
actions count as one in an interval (docs/studies.md).

The first row of the table has the conditions of the training. Each further row differs from it in one thing:

  python -m mawm.evaluate RUN --rules spawn-jitter=0.5 spawn-jitter=1   two rows: start positions vary more
  python -m mawm.evaluate RUN --rules spawn-jitter=1,missiles=0         one row with two other rules
  python -m mawm.evaluate RUN --rules.spawn-jitter 1 --rules.missiles 0 the same row, as mawm.train writes it
  python -m mawm.evaluate RUN --map my_map.toml                         another map, with equal sizes
  python -m mawm.evaluate RUN --replace agent_1:random --share 0.25 1   agent_1 is taken over in 25 % and all steps

Rules that are not named stay as in the training. The evaluation takes seconds on a small map. docs/evaluating.md
describes the rows, the numbers of --json and the published win rates that are printed below the table."""
PRINT_EVERY_S = 10.0
ONE_RULE = "--rules."
"""The prefix of an option of mawm.train that sets one rule."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    episodes: Annotated[int, Interval(ge=1, le=10**6)] = 320
    """Battles to play with greedy actions, and again with sampled actions, for each row."""
    json: bool = False
    """Print one JSON line instead of a table (docs/evaluating.md lists its values)."""
    rules: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction] = ()
    """Other rules of the embedded engine: one row for each NAME=VALUE, or NAME=VALUE,NAME=VALUE. The names and ranges
    are those of the options --rules.NAME of mawm.train."""
    map: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction] = ()
    """Other maps, one row each. Sizes of observations and numbers of actions and agents must be those of the run."""
    replace: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction] = ()
    """Agents that are taken over: AGENT:random (any allowed action), AGENT:noop (the lowest allowed action: "stop" on
    SMAC's maps), or AGENT:RUN2 (the agent of this name from the checkpoint of another run)."""
    share: tuple[Share, ...] = ()
    """Probability with which a replaced agent is taken over at each step; one row for each value (default: 1)."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, play, print. Exit codes: 0 done, 1 the environment failed, 2 a user error."""
    command = _parsed(sys.argv[1:] if args is None else args)
    if command.share and not command.replace:
        fail("--share is the share of steps in which agents are taken over; name them with --replace AGENT:random")
    with environment_faults(), contextlib.ExitStack() as cleanup:
        return _play(command, cleanup)


def _parsed(args: list[str]) -> Command:
    return parse(Command, prog="python -m mawm.evaluate", description=DESCRIPTION, args=_join_rules(args))


def check_arguments(args: list[str], config: "TrainConfig") -> None:
    """Check arguments for a run with these settings that does not exist yet. ValueError, or exit code 2, for a mistake.

    Sizes of other maps and agents to replace are not checked.
    """
    from mawm.trained.conditions import with_rules

    command = _parsed(["RUN", *args])
    for word in (word for words in command.rules for word in words):
        with_rules(config, word)


def _join_rules(args: list[str]) -> list[str]:
    """The arguments with `--rules.NAME VALUE`, as mawm.train writes a rule, as a word of `--rules`: one row for all."""
    kept, named, rest = [], [], iter(args)
    for arg in rest:
        if arg.startswith(ONE_RULE):
            name, equals, value = arg.removeprefix(ONE_RULE).partition("=")
            named.append(f"{name}={value}" if equals else f"{name}={next(rest, '')}")
        else:
            kept.append(arg)
    return [*kept, "--rules", ",".join(named)] if named else kept


def _environment(settings: "TrainConfig", battles: int) -> Callable[[], "VectorEnv"]:
    """Makes the battles of an evaluation: the same for every seed of the training."""
    from mawm.envs.registry import make_env

    return partial(make_env, replace(settings, seed=0), "test", battles)


def _conditions(command: Command, run: "TrainedRun") -> "list[Condition]":
    """All rows, checked: each environment was made once. ValueError for a mistake of the user."""
    from mawm.trained.conditions import AS_TRAINED, Condition, check_sizes, on_map, taken_over, with_rules

    shifted = [with_rules(run.config, word) for words in command.rules for word in words]
    maps = [on_map(run.config, name) for names in command.map for name in names]
    for condition in shifted + maps:
        with contextlib.closing(_environment(condition.config, command.episodes)()) as env:
            check_sizes(f"the map {condition.config.map}", env.spaces, f"the run's map {run.config.map}", run.spaces)
    words = [word for words in command.replace for word in words]
    replaced = taken_over(run, words, command.share or (1.0,)) if words else []
    return [Condition(AS_TRAINED, run.config), *shifted, *maps, *replaced]


def _play(command: Command, cleanup: contextlib.ExitStack) -> int:
    # torch and numba load only once the command line is right
    from mawm.envs.registry import environment_of, names_success
    from mawm.envs.starcraft.packages import game_name
    from mawm.run_folder.manifest import check_folder, read_config
    from mawm.trained.published import card_for
    from mawm.trained.run import load_run
    from mawm.trained.tables import action_names, agent_lines, error_text, facts_of, lines_of

    with user_errors():
        check_folder(command.run)
    with user_errors(f"{command.run}: "):
        env = cleanup.enter_context(contextlib.closing(_environment(read_config(command.run), command.episodes)()))
        run = load_run(command.run, env.spaces)
    with user_errors():
        conditions = _conditions(command, run)
    rows, errors = _battles(command, run, conditions, env)
    agents, config = run.agents, run.config
    game = None if config.env == "skirmish" else game_name()
    card = card_for(config.map, run.checkpoint.env_steps, game or "the embedded engine")
    if command.json:
        more = {"env_steps": run.checkpoint.env_steps, "published": card.facts() if card else None}
        print(json.dumps(facts_of(rows, agents) | more | ({"game": game} if game else {}) | errors))
        return 0
    about = f"{config.map} (the package {config.env} with the game {game})" if game else config.map
    steps = f"{run.checkpoint.env_steps} environment steps"
    actions = action_names(run.spaces.n_actions, environment_of(config).has_rules or game is not None)
    table = lines_of(rows, wins=names_success(config))
    blocks = [
        [f"{about}, {steps}; {command.episodes} battles greedy, the same sampled", *table],
        agent_lines(rows[0][1], agents, actions),
        [error_text(errors)] if errors else [],
        card.lines() if card else [],
    ]
    print("\n\n".join("\n".join(block) for block in blocks if block))
    return 0


def _battles(
    command: Command, run: "TrainedRun", conditions: "list[Condition]", env: "VectorEnv"
) -> "tuple[list[tuple[Condition, TeamEvaluation]], Metrics]":
    """The outcome of each row, and the errors of the world models in battles of `env`, the training's."""
    from mawm.evaluation import evaluate_both, model_errors
    from mawm.trained.takeover import TakenOver

    watch, agent = _Progress(command.episodes), run.config.agent
    rows: list[tuple[Condition, TeamEvaluation]] = []
    errors: Metrics = {}
    for number, condition in enumerate(conditions, 1):
        watch.label = f"row {number} of {len(conditions)} ({condition.label}): " if len(conditions) > 1 else ""
        if rows:
            run.reload()  # this also resets the generators, so that a row does not depend on the rows before it
        substitutes = {each.agent: each.substitute() for each in condition.replaced}
        team = TakenOver(run.team, substitutes, condition.share) if substitutes else run.team
        make = _environment(condition.config, command.episodes)
        rows.append((condition, evaluate_both(make, team, command.episodes, watch)))
        if condition is conditions[0]:
            length, discount = agent.world_model.seq_len, agent.behaviour.discount
            errors = model_errors(env, run.team, "greedy", seq_len=length, discount=discount)
    return rows, errors


class _Progress:
    """Prints the number of ended battles on stderr, every ten seconds: a short evaluation prints nothing."""

    def __init__(self, battles: int) -> None:
        self.battles, self.label, self._mode, self._steps = battles, "", "", 0
        self._printed_s = time.monotonic()

    def __call__(self, mode: str, ended: int) -> None:
        """Print, if the last line is old enough."""
        self._mode, self._steps = mode, self._steps + 1 if mode == self._mode else 1
        now = time.monotonic()
        if now - self._printed_s >= PRINT_EVERY_S:
            self._printed_s = now
            words = "greedy" if mode == "greedy" else "sampled"
            print_stderr(f"{self.label}{ended} of {self.battles} battles with {words} actions, step {self._steps}")


if __name__ == "__main__":
    sys.exit(main())
