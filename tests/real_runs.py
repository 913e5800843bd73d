"""Runs as a user starts them, in processes of their own, and what they leave behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mawm.checkpoint import newest

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
Figure = Callable[[str, str], None]
"""The fixture `figure`: what was tried, and what came of it."""
SHORT = (
    "--preset", "debug", "--placement", "inline", "--env-steps", "700", "--bandwidth", "1",
    "--schedule.save-every", "60",
)  # fmt: skip


def train(folder: Path, *more: str, before: Callable[[], None] | None = None, **env: str) -> subprocess.Popen[str]:
    """The same short run in a folder, with what is changed in it and its environment; `before` is called there."""
    command = [sys.executable, "-m", "mawm.train", *SHORT, "--run-dir", str(folder), *more]
    return subprocess.Popen(
        command,
        env={**ENVIRONMENT, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, and what it said on both channels."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def rows(folder: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith(("wall_s", "time/"))} for line in lines]


def differences(one: Path, other: Path) -> list[str]:
    """What of two runs' last checkpoints differs in a bit, arrays and rest, and whether their logs do."""
    a, b = newest(one), newest(other)
    found = [] if a.env_steps == b.env_steps and a.parts.keys() == b.parts.keys() else ["checkpoints"]
    for part in a.parts.keys() & b.parts.keys():
        arrays, others = a.parts[part][0], b.parts[part][0]
        names = sorted(arrays.keys() | others.keys())
        found += [f"{part}/{n}" for n in names if n not in arrays or arrays[n].tobytes() != others[n].tobytes()]
        rest, other_rest = ({**state.parts[part][1], "wall_s": 0} for state in (a, b))
        found += [f"{part}: {key}" for key in rest if json.dumps(rest[key]) != json.dumps(other_rest.get(key))]
    return found if rows(one) == rows(other) else [*found, "metrics.jsonl"]
