"""`python -m mawm.evaluate RUN`: the win rate of a run's last checkpoint."""

import contextlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mawm.cli import fail, parse
from mawm.telling import tell

DESCRIPTION = """Play battles with the last checkpoint of a run and print its win rate with a 95 % interval (Wilson).

The battles are the same for every run on a map; none of them was seen in training. Greedy unless --mode sample."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    episodes: int = 320
    """Battles to play."""
    mode: Literal["greedy", "sample"] = "greedy"
    """How the agents act: the mode of their policies, or samples of them."""
    json: bool = False
    """Print one JSON line with win_rate, low, high and episodes instead of text."""


def main(args: list[str] | None = None) -> int:
    """Parse, load, play, print. Exit codes: 0 done, 1 the environment failed, 2 a mistake of the user's."""
    command = parse(Command, prog="python -m mawm.evaluate", description=DESCRIPTION, args=args)
    if command.episodes < 1:
        fail(f"--episodes must be at least 1; got {command.episodes}")
    if not (command.run / "config.json").is_file():
        fail(f"{command.run} is not a run's folder: it holds no config.json; give the folder that mawm.train printed")
    from mawm.guard import EnvFault

    try:
        with contextlib.ExitStack() as at_end:
            return _play(command, at_end)
    except EnvFault as error:
        tell(str(error))
        return 1


def _play(command: Command, at_end: contextlib.ExitStack) -> int:
    from mawm import build  # torch and numba load only once the command line is right
    from mawm.checkpoint import newest
    from mawm.deployment import model_errors
    from mawm.evaluation import evaluate
    from mawm.facts import read_config
    from mawm.run_state import load_team

    try:
        config = replace(read_config(command.run), device="cpu")
        checkpoint = newest(command.run)
        env = at_end.enter_context(
            contextlib.closing(build.make_env(replace(config, seed=0), "test", command.episodes))
        )
        team = build.make_team(config, env.spaces, "cpu", "inline")
        members = build.members_of(config, env.spaces)
        load_team(team, build.learner_names(members), checkpoint.parts)
    except (OSError, ValueError) as error:
        fail(f"{command.run}: {error}")
    except (KeyError, IndexError, TypeError) as error:
        fail(f"{command.run}: its checkpoint lacks {error}: it was saved by another version")
    result = evaluate(env, team, command.mode)
    errors = model_errors(env, team, config, command.mode)
    low, high = result.interval()
    facts: dict[str, float | str] = {"win_rate": result.win_rate, "low": low, "high": high, "episodes": result.episodes}
    if command.json:
        facts |= {"mode": command.mode, "env_steps": checkpoint.env_steps, "return": result.mean_return}
        print(json.dumps({**facts, **errors}))
        return 0
    print(
        f"{config.map}, {checkpoint.env_steps} environment steps: win rate {100 * result.win_rate:.1f} % "
        f"(95 % interval {100 * low:.1f}-{100 * high:.1f}), {result.episodes} {command.mode} battles, "
        f"mean return {result.mean_return:.2f}, mean length {result.mean_length:.1f}"
    )
    if errors:
        print(
            "world model, mean squared error a step ahead (in these battles / in its replay): observations "
            f"{errors['deployed/obs_error']:.4g} / {errors['trained/obs_error']:.4g}, rewards "
            f"{errors['deployed/reward_error']:.4g} / {errors['trained/reward_error']:.4g}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
