"""The learning study: runs of the main command on maps and seeds, their table and their curves.

python -m mawm.benchmarks.learning --maps 3m --seeds 0 1 2 3 4 --env-steps 50000 --runs runs/learning --out docs/results

Runs that are already complete in `--runs` are not run again. Needs the `plot` extra for the figure.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mawm.cli import fail, parse

LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    maps: tuple[str, ...] = ("3m",)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    env_steps: int = 50_000
    runs: Path = Path("runs/learning")
    """Folder of the runs."""
    out: Path = Path("docs/results")
    """Folder of the table and the figure."""
    name: str = "learning"
    """Name of the table and the figure."""
    jobs: int = 2
    """Runs at the same time; with more than one, each is a single process on a single thread."""
    extra: str = ""
    """Further arguments of mawm.train for every run, in one string: --extra="--precision bf16"."""


@dataclass(frozen=True)
class Result:
    """One finished run."""

    map: str
    seed: int
    steps: np.ndarray
    win_rates: np.ndarray
    minutes: float
    bandwidth: float
    final: dict[str, Any]

    def reaches(self, level: float) -> int | None:
        """Environment steps of the first evaluation at or above a win rate."""
        hits = self.steps[self.win_rates >= level]
        return int(hits[0]) if len(hits) else None


def run(arguments: Arguments, map_name: str, seed: int) -> Result:
    """Train one seed, unless its run is complete, and evaluate its last checkpoint over 320 battles."""
    folder = arguments.runs / f"{Path(map_name).stem}_s{seed}"
    placement = "inline" if arguments.jobs > 1 else "auto"
    command = [sys.executable, "-m", "mawm.train", "--map", map_name, "--bandwidth", "0.05", "--seed", str(seed)]
    command += ["--env-steps", str(arguments.env_steps), "--placement", placement]
    command += shlex.split(arguments.extra)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = folder / "evaluation.json"
    if not done.exists():
        arguments.runs.mkdir(parents=True, exist_ok=True)
        where = ["--resume", str(folder)] if any(folder.glob("ck-*")) else ["--run-dir", str(folder)]
        with (arguments.runs / f"{folder.name}.log").open("a") as log:
            subprocess.run([*command, *where], check=True, stdout=log, stderr=log, env=environment)
        test = [sys.executable, "-m", "mawm.evaluate", str(folder), "--json"]
        done.write_text(subprocess.run(test, check=True, capture_output=True, text=True, env=environment).stdout)
        print(f"{map_name} seed {seed}: {done.read_text().strip()}", flush=True)
    return read(folder, map_name, seed)


def load_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def read(folder: Path, map_name: str, seed: int) -> Result:
    """The curve and the final figures of a finished run."""
    rows = load_rows(folder)
    curve = [row for row in rows if "eval/win_rate" in row]
    return Result(
        map=map_name,
        seed=seed,
        steps=np.array([row["env_steps"] for row in curve]),
        win_rates=np.array([row["eval/win_rate"] for row in curve]),
        minutes=rows[-1]["wall_s"] / 60,
        bandwidth=rows[-1]["channel/realised_bandwidth"],
        final=json.loads((folder / "evaluation.json").read_text()),
    )


def table(results: list[Result], arguments: Arguments) -> str:
    """A Markdown table, one line a run, with what made it."""
    command = f"python -m mawm.benchmarks.learning --maps {' '.join(arguments.maps)} "
    command += f"--seeds {' '.join(map(str, arguments.seeds))} --env-steps {arguments.env_steps} "
    command += f"--jobs {arguments.jobs}"
    command += f" --name {arguments.name}" + (f' --extra="{arguments.extra}"' if arguments.extra else "")
    lines = [
        f"Made by `{command}` on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"{arguments.jobs} run(s) at a time. Steps to a win rate: first greedy evaluation (64 battles) at or above it. "
        "Final: greedy, 320 battles never seen in training, 95 % Wilson interval.",
        "",
        "| map | seed | steps to 50 % | 80 % | 90 % | minutes | realised bandwidth | final win rate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        reached = " | ".join("-" if (s := r.reaches(level)) is None else str(s) for level in LEVELS)
        final = f"{100 * r.final['win_rate']:.1f} % [{100 * r.final['low']:.1f}, {100 * r.final['high']:.1f}]"
        lines.append(f"| {r.map} | {r.seed} | {reached} | {r.minutes:.1f} | {r.bandwidth:.4f} | {final} |")
    for name in dict.fromkeys(r.map for r in results):
        rates = [r.final["win_rate"] for r in results if r.map == name]
        summary = f"{100 * float(np.median(rates)):.1f} % (worst {100 * min(rates):.1f} %)"
        lines.append(f"| **{name}** | median of {len(rates)} | | | | | | {summary} |")
    return "\n".join(lines) + "\n"


def figure(results: list[Result], path: Path) -> None:
    """Win-rate curves: each seed thin, their median thick, one panel a map; readable in grey."""
    import matplotlib  # an extra

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(r.map for r in results))
    fig, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names), 3.2), squeeze=False, sharey=True)
    for axis, name in zip(axes[0], names, strict=True):
        mine = [r for r in results if r.map == name]
        for r in mine:
            axis.plot(r.steps / 1000, 100 * r.win_rates, color="0.65", lw=0.9)
        shortest = min(len(r.steps) for r in mine)
        median = np.median([r.win_rates[:shortest] for r in mine], axis=0)
        axis.plot(
            mine[0].steps[:shortest] / 1000, 100 * median, color="black", lw=2, label=f"median of {len(mine)} seeds"
        )
        axis.set(title=f"{name} (embedded engine)", xlabel="thousand environment steps", ylim=(-3, 103))
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right", frameon=False)
    axes[0][0].set_ylabel("greedy win rate, 64 battles (%)")
    fig.tight_layout()
    fig.savefig(path, dpi=150)


def main() -> int:
    """Run what is missing, then write table and figure."""
    arguments = parse(Arguments, prog="python -m mawm.benchmarks.learning", description=__doc__ or "")
    if arguments.jobs < 1:
        fail(f"--jobs must be at least 1; got {arguments.jobs}")
    cells = [(name, seed) for name in arguments.maps for seed in arguments.seeds]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(lambda cell: run(arguments, *cell), cells))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{arguments.name}.md").write_text(table(results, arguments))
    figure(results, arguments.out / f"{arguments.name}.png")
    print(table(results, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
