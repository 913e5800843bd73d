"""Reads run folders: `config.json`, `metrics.jsonl` and, where a run was evaluated, `evaluation.json`."""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mawm.results.names import ALL_SHARED, SHARING

WIN_RATE = "eval/win_rate"
SAMPLED = "eval/win_rate_sampled"
"""Logged since 0.2: older runs have greedy evaluations only."""
USUAL: dict[str, Any] = {
    "selector": "adaptive",
    "channel": "real",
    "wire": "float32",
    "budget": "enforce",
    "budget_bytes_per_step": 0.0,
    "precision": "float32",
}
"""What a run's label does not mention."""
LAMBDA = 0.3
"""The usual weight of the information term."""
GREEDY = "greedy"


@dataclass(frozen=True)
class RunRecord:
    """One run: what was asked for and what came out."""

    folder: Path
    config: dict[str, Any]
    rows: tuple[dict[str, float], ...]
    """Rows of the log in the order of their steps; a value that is no finite number is left out."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else config.json says: version, machine, command."""
    evaluation: dict[str, float] | None = None
    """Battles of the last policy that training never saw."""

    @property
    def map(self) -> str:
        """The map's name; of a map file its name without the folder, so that it is told from the built-in map."""
        return Path(self.config["map"]).name

    @property
    def engine(self) -> str:
        """What played its battles, with the unit data's version; empty for StarCraft II itself."""
        if self.config.get("env", "skirmish") == "smac":
            return ""
        version = self.config.get("rules", {}).get("version")
        return f"embedded engine, rules {version}" if version else "embedded engine of mawm 0.1"

    @property
    def method(self) -> str:
        """What is shared."""
        return str(self.config["method"])

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.config["seed"])

    @property
    def bandwidth(self) -> float:
        """The nominal bandwidth; methods that share nothing carry one, too."""
        return float(self.config["sharing"]["bandwidth"])

    @property
    def shares(self) -> bool:
        """Whether bandwidth, selector and the like make a difference to the method."""
        return self.method in SHARING

    @property
    def variant(self) -> str:
        """What is unusual about it, bandwidth aside, in one phrase: `selector random`, say; empty where nothing is."""
        found = {"precision": self.config.get("precision", USUAL["precision"])}
        if self.shares:
            found |= {name: value for name, value in self.config["sharing"].items() if name in USUAL}
        elif self.method == ALL_SHARED:
            found["wire"] = self.config["sharing"].get("wire", USUAL["wire"])
        told = [f"{k.replace('_', ' ')} {v}" for k, v in found.items() if v != USUAL[k]]
        return ", ".join(told + self._gating())

    def _gating(self) -> list[str]:
        """What is unusual about explorers and the information term."""
        gating, information = self.config.get("gating", {}), self.config.get("agent", {}).get("information", {})
        gate = gating.get("gate", "off")
        told = [] if gate == "off" else [f"gate {gate}"]
        if told and gating.get("explorer", "cem") != "cem":
            told.append(f"{gating['explorer']} explorers")
        kind, weight = information.get("kind", "auto"), information.get("weight", LAMBDA)
        if kind != "auto":
            told.append(str(kind))
        if weight != LAMBDA and (told or kind != "auto"):
            told.append(f"lambda {weight:g}")
        return told

    @property
    def env_steps(self) -> int:
        """Environment steps so far."""
        return int(self.rows[-1]["env_steps"])

    @property
    def finished(self) -> bool:
        """Whether the run has all the steps that were asked for."""
        return self.env_steps >= int(self.config.get("env_steps", 0))

    def curve(self, tag: str) -> tuple[np.ndarray, np.ndarray]:
        """Environment steps and values of a tag, where it was logged."""
        points = [(row["env_steps"], row[tag]) for row in self.rows if tag in row]
        steps, values = zip(*points, strict=True) if points else ((), ())
        return np.array(steps, float), np.array(values, float)

    def last(self, tag: str) -> float:
        """The last value of a tag; nan where it was never logged."""
        return next((row[tag] for row in reversed(self.rows) if tag in row), math.nan)

    def bytes_sent(self) -> tuple[np.ndarray, np.ndarray]:
        """Environment steps and bytes sent since the run began."""
        steps, total = self.curve("channel/sent_bytes")
        if len(steps):
            return steps, total
        steps, rate = self.curve("channel/bytes_per_env_step")
        return steps, rate * steps

    def final(self, name: str) -> float:
        """A number of the last policy, say `win_rate_sampled` or `return`; nan where it was not written down.

        It comes from the evaluation after training, or from the last one in training if there is none.
        """
        return self.evaluation.get(name, math.nan) if self.evaluation else self.last(f"eval/{name}")

    @property
    def final_win_rate(self) -> float:
        """Win rate of the last policy with greedy actions, as `final`."""
        return self.final("win_rate")

    @property
    def final_return(self) -> float:
        """Mean return of the last policy with greedy actions, as `final`."""
        return self.final("return")

    def final_interval(self, name: str) -> tuple[float, float]:
        """Low and high end of the interval of `win_rate` or `win_rate_sampled`, as `final`."""
        low, high = self.final(f"{name}_low"), self.final(f"{name}_high")
        if name == "win_rate" and math.isnan(low) and self.evaluation:  # mawm 0.1: one interval, without a name
            return self.evaluation.get("low", math.nan), self.evaluation.get("high", math.nan)
        return low, high

    @property
    def final_battles(self) -> int:
        """Battles behind the final win rate; 0 where the run does not say."""
        battles = self.final("episodes")
        return int(battles) if math.isfinite(battles) else 0


def load_runs(paths: list[Path]) -> tuple[list[RunRecord], list[str]]:
    """Every run at or below some paths, and one line for whatever could not be read."""
    found: list[Path] = []
    said: list[str] = []
    for path in paths:
        if not path.is_dir():
            said.append(f"{path}: no such folder")
            continue
        for name, folders, files in os.walk(path):
            folders.sort()
            if "config.json" in files or "metrics.jsonl" in files:
                folders.clear()  # checkpoints lie below
                found.append(Path(name))
            elif not files and not folders:
                said.append(f"{name}: an empty folder; left out")
    runs = []
    for folder in dict.fromkeys(found):
        try:
            runs.append(_read(folder, said))
        except ValueError as error:
            said.append(f"{folder}: {error}; left out")
    return runs, said


def _read(folder: Path, said: list[str]) -> RunRecord:
    saved = _json(folder / "config.json")
    config = saved.pop("config", None)
    if not isinstance(config, dict):
        raise ValueError("config.json holds no `config`")
    sharing = config.get("sharing")
    if not isinstance(sharing, dict) or not _number(sharing.get("bandwidth")):
        raise ValueError("config.json holds no sharing.bandwidth")
    for key, kind in (("map", str), ("method", str), ("seed", int)):
        if not isinstance(config.get(key), kind):
            raise ValueError(f"config.json holds no {key}")
    rows = _rows(folder / "metrics.jsonl", said)
    return RunRecord(folder, config, rows, saved, _evaluation(folder, int(rows[-1]["env_steps"]), said))


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"there is no {path.name}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be read ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is not an object")
    return value


def _rows(path: Path, said: list[str]) -> tuple[dict[str, float], ...]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise ValueError("there is no metrics.jsonl") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"metrics.jsonl cannot be read ({error})") from None
    rows: dict[float, dict[str, float]] = {}
    broken = []
    for number, line in enumerate(lines, start=1):
        row = _row(line)
        if row is None:
            broken.append(number)
        else:
            rows[row["env_steps"]] = rows.get(row["env_steps"], {}) | row
    if broken:
        said.append(f"{path}: {len(broken)} line(s) cannot be read, the first is line {broken[0]}; read without them")
    if not rows:
        raise ValueError("metrics.jsonl holds no row")
    return tuple(rows[steps] for steps in sorted(rows))


def _row(line: str) -> dict[str, float] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or not _number(row.get("env_steps")):
        return None
    return {tag: float(value) for tag, value in row.items() if _number(value)}


def _number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def _evaluation(folder: Path, env_steps: int, said: list[str]) -> dict[str, float] | None:
    path = folder / "evaluation.json"
    if not path.exists():
        return None
    try:
        values = {key: float(value) for key, value in _json(path).items() if _number(value)}
        if "win_rate" not in values:
            raise ValueError("evaluation.json holds no win_rate")
        if (mode := _json(path).get("mode", GREEDY)) != GREEDY:
            raise ValueError(f"evaluation.json is of battles in mode {mode!r}, not {GREEDY}")
    except ValueError as error:
        said.append(f"{folder}: {error}; the last evaluation in training stands in for it")
        return None
    if values.get("env_steps", env_steps) < env_steps:
        said.append(
            f"{folder}: evaluation.json is of an earlier policy than the log; the log's last evaluation is used"
        )
        return None
    return values
