"""A condensed study: one compressed file with a line per run. A line has the curves that tables and figures need.

A run folder has checkpoints and needs megabytes. A condensed study needs about ten kilobytes per run and fits into a
repository. `load_runs` reads it like the folders of the runs.
"""

import gzip
import json
import re
import zlib
from pathlib import Path
from typing import Any

from mawm.results.record import RunRecord, checked_config, is_number

ENDING = ".jsonl.gz"
KEPT = re.compile(
    r"env_steps|wall_s|eval/.+|train/.+"
    r"|channel/(\w+/)?(realised_bandwidth|offered_bandwidth|sent_bytes|bytes_per_env_step)"
    r"|\w+/world_model/(\w+_loss|loss|kl)"
    r"|\w+/(actor|critic)/loss|\w+/actor/entropy_share|\w+/channel/\w+"
)
"""Pattern of the tags that are kept."""
DIGITS = 5
"""Significant digits of a number that is not an integer."""


def write_condensed(runs: list[RunRecord], path: Path) -> None:
    """Write runs to `path`. The same runs give the same bytes."""
    lines = "".join(json.dumps(_condensed(run), separators=(",", ":")) + "\n" for run in runs)
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))


def _condensed(run: RunRecord) -> dict[str, Any]:
    tags = sorted({tag for row in run.rows for tag in row if KEPT.fullmatch(tag)})
    return {
        "run": run.folder.name,
        "saved": run.facts | {"config": run.config},
        "evaluation": run.evaluation,
        "tags": {tag: [_short(row[tag]) if tag in row else None for row in run.rows] for tag in tags},
    }


def _short(value: float) -> float:
    return int(value) if value == int(value) else float(f"{value:.{DIGITS}g}")


def read_condensed(path: Path, warnings: list[str]) -> list[RunRecord]:
    """The runs of a condensed study. A line that cannot be read is omitted, and a message is added to `warnings`.

    ValueError if the file cannot be decompressed to text.
    """
    try:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"it cannot be read ({error})") from None
    runs = []
    for number, line in enumerate(lines, start=1):
        try:
            runs.append(_run(json.loads(line), path))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            warnings.append(f"{path}: line {number} is no run ({error}); left out")
    return runs


def _run(line: dict[str, Any], path: Path) -> RunRecord:
    facts = dict(line["saved"])
    config = checked_config(facts)
    tags = line["tags"]
    rows = tuple(
        {tag: float(values[i]) for tag, values in tags.items() if is_number(values[i])}
        for i in range(len(tags["env_steps"]))
    )
    if not rows:
        raise ValueError("it holds no row")
    return RunRecord(path / line["run"], config, rows, facts, line["evaluation"])
