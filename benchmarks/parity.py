"""Do bf16 products learn as well as float32 ones? The same runs with both, whatever the processor.

python -m mawm.benchmarks.parity --map 3m --seeds 20 21 22 --env-steps 8000

Processors with bf16 units round the inputs of a product and accumulate in float32 (`--precision bf16`). Here the
rounding is done by hand around every matrix product, forward and backward, so that it can be compared anywhere, slowly.
"""

import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mawm import train
from mawm.benchmarks.learning import load_rows
from mawm.cli import parse

PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.bmm.default)


class RoundedProducts(TorchDispatchMode):
    """Rounds both factors of every matrix product to bf16; sums stay float32, as in the processor's units."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operation."""
        if func in PRODUCTS:
            factors = [a.bfloat16().float() if a.dtype == torch.float32 else a for a in args[-2:]]
            args = (*args[:-2], *factors)
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    map: str = "3m"
    seeds: tuple[int, ...] = (20, 21, 22)
    env_steps: int = 8000
    runs: Path = Path("runs/parity")


def main() -> int:
    """Train every seed both ways, inline, and print the win-rate curves side by side."""
    arguments = parse(Arguments, prog="python -m mawm.benchmarks.parity", description=__doc__ or "")
    for name, mode in (("float32", contextlib.nullcontext), ("bf16", RoundedProducts)):
        for seed in arguments.seeds:
            folder = arguments.runs / f"{name}_s{seed}"
            if not (folder / "metrics.jsonl").exists():
                flags = ["--map", arguments.map, "--seed", str(seed), "--env-steps", str(arguments.env_steps)]
                with mode():
                    train.main(
                        [*flags, "--schedule.eval-every", "1000", "--placement", "inline", "--run-dir", str(folder)]
                    )
    for name in ("float32", "bf16"):
        rates = []
        for seed in arguments.seeds:
            rows = load_rows(arguments.runs / f"{name}_s{seed}")
            rates.append([row["eval/win_rate"] for row in rows if "eval/win_rate" in row])
        shortest = min(map(len, rates))
        means = np.mean([r[:shortest] for r in rates], 0)
        shown = f"{np.round(means, 2).tolist()}, area {float(np.mean(means)):.3f}"
        print(f"{name:8} win rate by evaluation, mean of {len(rates)} seeds: {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
