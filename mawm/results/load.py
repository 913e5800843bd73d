"""Loads runs from their folders (`config.json`, `metrics.jsonl`, `evaluation.json`) and from condensed studies."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from mawm.results.condensed import ENDING, read_condensed
from mawm.results.record import RunRecord, checked_config, is_number

GREEDY = "greedy"


def load_runs(paths: list[Path]) -> tuple[list[RunRecord], list[str]]:
    """All runs at or below some paths, and a warning for each path, file or line that could not be read.

    A path is a folder that holds runs or condensed studies, or the file of a condensed study.
    """
    warnings: list[str] = []
    found = [place for path in paths for place in _places(path, warnings)]
    runs = []
    for folder in dict.fromkeys(found):
        try:
            runs += read_condensed(folder, warnings) if folder.is_file() else [_read(folder, warnings)]
        except ValueError as error:
            warnings.append(f"{folder}: {error}; left out")
    return _with_distinct_maps(runs), warnings


def _with_distinct_maps(runs: list[RunRecord]) -> list[RunRecord]:
    """The runs, with the names of map files that are not the same file made distinct by their folders."""
    files: dict[str, set[tuple[str, str]]] = {}
    for run in runs:
        files.setdefault(run.map, set()).add(run.map_file)
    paths = {name: {path for path, _ in found} for name, found in files.items() if len({d for _, d in found}) > 1}
    return [
        replace(run, map_label=run.map_file[0] if len(paths[run.map]) > 1 else f"{run.map}, {run.map_file[1][:8]}")
        if run.map in paths else run
        for run in runs
    ]  # fmt: skip


def _places(path: Path, warnings: list[str]) -> list[Path]:
    """Run folders, and files of condensed studies, at or below `path`."""
    if path.is_file() and path.name.endswith(ENDING):
        return [path]
    if not path.is_dir():
        warnings.append(f"{path}: no such folder")
        return []
    found: list[Path] = []
    seen: set[str] = set()
    for name, folders, files in os.walk(path, followlinks=True):
        real = os.path.realpath(name)
        if real in seen:  # a link to a folder that was visited before, perhaps one above
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        if "config.json" in files or "metrics.jsonl" in files:
            folders.clear()  # checkpoints lie below
            found.append(Path(name))
        elif not files and not folders:
            warnings.append(f"{name}: an empty folder; left out")
        found += [Path(name) / file for file in sorted(files) if file.endswith(ENDING)]
    return found


def _read(folder: Path, warnings: list[str]) -> RunRecord:
    saved = _json(folder / "config.json")
    config = checked_config(saved)
    rows = _rows(folder / "metrics.jsonl", warnings)
    return RunRecord(folder, config, rows, saved, _evaluation(folder, int(rows[-1]["env_steps"]), warnings))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise ValueError(f"there is no {path.name}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be read ({error})") from None


def _json(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is not an object")
    return value


def _rows(path: Path, warnings: list[str]) -> tuple[dict[str, float], ...]:
    rows: dict[float, dict[str, float]] = {}
    broken = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        row = _row(line)
        if row is None:
            broken.append(number)
        else:
            rows[row["env_steps"]] = rows.get(row["env_steps"], {}) | row
    if broken:
        warnings.append(
            f"{path}: {len(broken)} line(s) cannot be read, the first is line {broken[0]}; read without them"
        )
    if not rows:
        raise ValueError("metrics.jsonl holds no row")
    return tuple(rows[steps] for steps in sorted(rows))


def _row(line: str) -> dict[str, float] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or not is_number(row.get("env_steps")):
        return None
    return {tag: float(value) for tag, value in row.items() if is_number(value)}


def _numbers(found: dict[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in found.items() if is_number(value)}


def _evaluation(folder: Path, env_steps: int, warnings: list[str]) -> dict[str, float] | None:
    path = folder / "evaluation.json"
    if not path.exists():
        return None
    try:
        found = _json(path)
        values = _numbers(found)
        for row in found.get("rows", []):  # the same numbers under other conditions: other rules, maps or members
            values |= {f"{row['label']}/{key}": value for key, value in _numbers(row).items()}
        if "win_rate" not in values:
            raise ValueError("evaluation.json holds no win_rate")
        if (mode := found.get("mode", GREEDY)) != GREEDY:
            raise ValueError(f"evaluation.json is of battles in mode {mode!r}, not {GREEDY}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        warnings.append(f"{folder}: {error}; the last evaluation in training stands in for it")
        return None
    if values.get("env_steps", env_steps) < env_steps:
        warnings.append(
            f"{folder}: evaluation.json is of an earlier policy than the log; the log's last evaluation is used"
        )
        return None
    return values
