"""Runs in the JSON layout of marl-eval (Gorsane et al., 2022): environment, task, algorithm, run, step, metrics."""

import math
from collections.abc import Sequence
from typing import Any

from mawm.results.cells import Cell
from mawm.results.record import SAMPLED, WIN_RATE, RunRecord

METRICS = {
    "win_rate": WIN_RATE,
    "return": "eval/return",
    "win_rate_sampled": SAMPLED,
    "return_sampled": "eval/return_sampled",
}
"""marl-eval's names for the metrics and our tags; each is logged as one mean over the battles of an evaluation."""
Layout = dict[str, Any]


def layout(cells: Sequence[Cell]) -> tuple[Layout, list[str]]:
    """The whole document, and a warning for each run or rule that marl-eval will reject."""
    document: Layout = {}
    warnings = []
    for cell in cells:
        for run in cell.runs:
            content = _run(run)
            if content is None:
                warnings.append(f"{run.folder}: no evaluation was logged; left out")
                continue
            tasks = document.setdefault(str(run.config.get("env", "skirmish")), {})
            tasks.setdefault(run.map, {}).setdefault(cell.label, {})[f"seed_{run.seed}"] = content
    return document, warnings + _uneven(document)


def _run(run: RunRecord) -> Layout | None:
    rows = [row for row in run.rows if WIN_RATE in row]
    if not rows:
        return None
    shared = [name for name, tag in METRICS.items() if all(tag in row for row in rows)]
    content: Layout = {
        f"step_{i}": {
            "step_count": int(row["env_steps"]),
            "elapsed_time": row.get("wall_s", 0.0),
            **{name: [row[METRICS[name]]] for name in shared},
        }
        for i, row in enumerate(rows)
    }
    final = {name: run.final(name) for name in METRICS}
    content["absolute_metrics"] = {
        name: [final[name] if math.isfinite(final[name]) else rows[-1][METRICS[name]]] for name in shared
    }
    return content


def _uneven(document: Layout) -> list[str]:
    warnings = []
    for environment, tasks in document.items():
        algorithms = {frozenset(task) for task in tasks.values()}
        seeds = {frozenset(runs) for task in tasks.values() for runs in task.values()}
        lengths = {len(run) - 1 for task in tasks.values() for runs in task.values() for run in runs.values()}
        rules = (
            (algorithms, "the same algorithms on every task"),
            (seeds, "the same seeds of every algorithm"),
            (lengths, "the same number of evaluations in every run"),
        )
        warnings += [
            f"{environment}: marl-eval wants {rule}; export a part of the runs"
            for found, rule in rules
            if len(found) > 1
        ]
    return warnings
