"""`python -m mawm.benchmarks.market`: returns of fixed rules in the market, without and with explorers."""

import argparse
from collections.abc import Callable

import numpy as np

from mawm.envs.market.vector import BUY, HOLD, SELL, MarketVectorEnv
from mawm.types import Floats, Ints, Step

Rule = Callable[[Step], Floats]
"""The sign is the direction in which each trader (B, N) trades; 0: it holds."""


def rules(rng: np.random.Generator) -> dict[str, Rule]:
    """The rules of docs/market.md by name."""
    return {
        "hold": lambda step: np.zeros(step.obs.shape[:2], np.float32),
        "random actions": lambda step: rng.integers(-1, 2, step.obs.shape[:2]).astype(np.float32),
        "the sign of the own signal": lambda step: step.obs[..., 0],
        "knows the trend": lambda step: np.repeat(step.state[:, :1], step.obs.shape[1], 1),
    }


def actions(step: Step, direction: Floats) -> Ints:
    """Actions (B, N) for the directions of a rule; HOLD where the mask forbids the action."""
    action: Ints = np.where(direction > 0, BUY, np.where(direction < 0, SELL, HOLD)).astype(np.int64)
    allowed = np.take_along_axis(step.avail, action[..., None], -1)[..., 0]
    return np.where(allowed, action, HOLD)


def returns(env: MarketVectorEnv, rule: Rule) -> Floats:
    """Returns (B,) of one session in each row."""
    step, total = env.reset(), np.zeros(env.batch, np.float32)
    for _ in range(env.rules.steps):
        step = env.step(actions(step, rule(step)))
        total += step.reward
    return total


def main() -> None:
    """Print a row for each rule: mean return with a 95 % interval, without and with explorers."""
    parser = argparse.ArgumentParser(prog="python -m mawm.benchmarks.market", description=__doc__)
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{'rule':<28}{'return':>16}{'with explorers':>20}")
    for name, rule in rules(np.random.default_rng(options.seed)).items():
        cells = []
        for explored in (False, True):
            sample = returns(MarketVectorEnv(options.sessions, options.seed, explored=explored), rule)
            cells.append(f"{sample.mean():.2f} +- {1.96 * sample.std() / len(sample) ** 0.5:.2f}")
        print(f"{name:<28}{cells[0]:>16}{cells[1]:>20}")


if __name__ == "__main__":
    main()
