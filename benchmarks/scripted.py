"""How far a fixed script gets on a map: what a learning curve there is worth.

python -m mawm.benchmarks.scripted --map 3m --jitters 0 0.5

Every agent attacks the enemy that its target rule names among those its mask allows; where none is, it walks towards
the nearest one. The scripts read the engine's positions: they are a yardstick, not agents.
"""

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mawm.cli import fail, parse
from mawm.envs.skirmish.layout import HP, X, Y
from mawm.envs.skirmish.rules import Rules
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.types import Ints, Step

TARGETS = ("nearest", "weakest", "lowest_number")


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    map: str = "3m"
    jitters: tuple[float, ...] = (0.0, 0.5)
    """Values of the engine's rule `spawn_jitter`."""
    battles: int = 600


def actions(env: SkirmishVectorEnv, step: Step, target: str) -> Ints:
    """The script's actions (B, N)."""
    bodies, agents = env.bodies, env.spaces.n_agents
    health = bodies[:, agents:, HP]
    chosen = np.zeros((env.batch, agents), np.int64)
    for i in range(agents):
        dx, dy = bodies[:, agents:, X] - bodies[:, i : i + 1, X], bodies[:, agents:, Y] - bodies[:, i : i + 1, Y]
        far = np.where(health > 0, np.hypot(dx, dy), np.inf)
        ranks = {
            "nearest": far,
            "weakest": health + 1e-3 * far,
            "lowest_number": np.arange(far.shape[1]) + 0.0 * health,
        }
        mask = step.avail[:, i, 6 : 6 + far.shape[1]]
        attack = 6 + np.where(mask, ranks[target], np.inf).argmin(-1)
        near = far.argmin(-1)[:, None]
        walk = _direction(np.take_along_axis(dx, near, 1)[:, 0], np.take_along_axis(dy, near, 1)[:, 0])
        walk = np.where(np.take_along_axis(step.avail[:, i], walk[:, None], 1)[:, 0], walk, 1)
        chosen[:, i] = np.where(step.alive[:, i], np.where(mask.any(-1), attack, walk), 0)
    return chosen


def _direction(dx: NDArray[np.float64], dy: NDArray[np.float64]) -> Ints:
    east_west, north_south = np.where(dx > 0, 4, 5), np.where(dy > 0, 2, 3)
    return np.where(np.abs(dx) > np.abs(dy), east_west, north_south)


def win_rate(map_name: str, target: str, jitter: float, battles: int) -> float:
    """Share of first battles that the script wins."""
    env = SkirmishVectorEnv(map_name, battles, 5, Rules(spawn_jitter=jitter))
    step, done, won = env.reset(), np.zeros(battles, np.bool_), np.zeros(battles, np.bool_)
    while not done.all():
        step = env.step(actions(env, step, target))
        ended = step.terminated | step.truncated
        won |= step.battle_won & ended & ~done
        done |= ended
    return float(won.mean())


def main() -> int:
    """Print one line a jitter."""
    arguments = parse(Arguments, prog="python -m mawm.benchmarks.scripted", description=__doc__ or "")
    try:
        for jitter in arguments.jitters:
            rates = {t: win_rate(arguments.map, t, jitter, arguments.battles) for t in TARGETS}
            shown = "  ".join(f"{target} {100 * rate:.0f} %" for target, rate in rates.items())
            print(f"{arguments.map}  spawn_jitter {jitter:g}  {shown}  ({arguments.battles} battles each)")
    except ValueError as error:
        fail(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
