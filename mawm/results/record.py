"""The record of one run."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from mawm.envs.registry import environment_of, is_own
from mawm.envs.success import AUTO, REPORTED
from mawm.methods import METHODS

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
"""Default settings, which a run's label does not mention."""
LAMBDA = 0.3
"""The usual weight of the information term."""


@dataclass(frozen=True)
class RunRecord:
    """One run: its settings and its results."""

    folder: Path
    config: dict[str, Any]
    rows: tuple[dict[str, float], ...]
    """Rows of the log in the order of their steps, without non-finite values."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The other content of config.json: version, machine, commands."""
    evaluation: dict[str, float] | None = None
    """Results of mawm.evaluate for the last policy; `LABEL/NAME` under other conditions, which the label names."""
    map_label: str = ""
    """The map's name where two different map files have the same name."""

    @property
    def map(self) -> str:
        """The map's name; for a map file the file's name, so that it differs from the built-in map's.

        With the packages `smac` and `smacv2` the game is a part of the name, and with a success that the user defined
        this success: so no table mixes different games, or different kinds of wins.
        """
        name = self.map_label or Path(self.config["map"]).name
        own_success = "" if self.success in (AUTO, REPORTED) else f"success {self.success}"
        inside = ", ".join(part for part in (self._game if self._original else "", own_success) if part)
        return f"{name} ({inside})" if inside else name

    @property
    def success(self) -> str:
        """The setting `success`; earlier runs had only battle_won."""
        return str(self.config.get("success", AUTO))

    @cached_property
    def wins(self) -> bool:
        """Whether the run has win rates: not if its environment may report no wins, and no battle was ever won."""
        if not self.own or self.success != AUTO:
            return True
        tags = (WIN_RATE, SAMPLED, "train/win_rate")
        logged = any(row.get(tag, 0.0) > 0.0 for row in self.rows for tag in tags)
        return logged or any((self.evaluation or {}).get(name, 0.0) > 0.0 for name in ("win_rate", "win_rate_sampled"))

    @property
    def map_file(self) -> tuple[str, str]:
        """The path of the map's file as it was given, and its digest; two empty texts for a map without a file."""
        digest = str(self.facts.get("map_sha256", ""))
        return (str(self.config["map"]), digest) if digest else ("", "")

    @property
    def _original(self) -> bool:
        """Whether battles were played by the package `smac` or `smacv2`."""
        return str(self.config.get("env", "skirmish")) != "skirmish"

    @property
    def _game(self) -> str:
        return str(self.facts.get("game", "unknown game"))

    @property
    def engine(self) -> str:
        """The engine, with the version of its unit data; empty for StarCraft II itself and where no engine played."""
        if self._original:
            return {"StarCraft II": "", "stand-in": "stand-in for StarCraft II"}.get(self._game, self._game)
        if not environment_of(cast(Any, SimpleNamespace(env="skirmish", map=str(self.config["map"])))).has_rules:
            return ""
        version = self.config.get("rules", {}).get("version")
        return f"embedded engine, rules {version}" if version else "embedded engine of mawm 0.1"

    @property
    def own(self) -> bool:
        """Whether the environment is a user's own."""
        return not self._original and is_own(str(self.config["map"]))

    @property
    def method(self) -> str:
        """The method's name."""
        return str(self.config["method"])

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.config["seed"])

    @property
    def bandwidth(self) -> float:
        """The nominal bandwidth; also set for methods that share nothing."""
        return float(self.config["sharing"]["bandwidth"])

    @property
    def shares(self) -> bool:
        """Whether the method depends on bandwidth, selector, channel and wire."""
        return self.method in METHODS and METHODS[self.method].selects

    @property
    def variant(self) -> str:
        """The settings that differ from the defaults, without the bandwidth: `selector random`; empty if none."""
        found = {"precision": self.config.get("precision", USUAL["precision"])}
        if self.shares:
            found |= {name: value for name, value in self.config["sharing"].items() if name in USUAL}
        elif self.method in METHODS and METHODS[self.method].shares_all:
            found["wire"] = self.config["sharing"].get("wire", USUAL["wire"])
        parts = [f"{k.replace('_', ' ')} {v}" for k, v in found.items() if v != USUAL[k]]
        return ", ".join(parts + self._gating())

    def _gating(self) -> list[str]:
        """Settings of explorers and of the information term that differ from the defaults."""
        gating, information = self.config.get("gating", {}), self.config.get("agent", {}).get("information", {})
        gate = gating.get("gate", "off")
        parts = [] if gate == "off" else [f"gate {gate}"]
        if parts and gating.get("explorer", "cem") != "cem":
            parts.append(f"{gating['explorer']} explorers")
        kind, weight = information.get("kind", "auto"), information.get("weight", LAMBDA)
        if kind != "auto":
            parts.append(str(kind))
        if weight != LAMBDA and (parts or kind != "auto"):
            parts.append(f"lambda {weight:g}")
        return parts

    @property
    def env_steps(self) -> int:
        """Environment steps so far."""
        return int(self.rows[-1]["env_steps"])

    @property
    def finished(self) -> bool:
        """Whether the run has all its steps."""
        return self.env_steps >= int(self.config.get("env_steps", 0))

    def curve(self, tag: str) -> tuple[np.ndarray, np.ndarray]:
        """Environment steps and values of the rows that have a tag."""
        points = [(row["env_steps"], row[tag]) for row in self.rows if tag in row]
        steps, values = zip(*points, strict=True) if points else ((), ())
        return np.array(steps, float), np.array(values, float)

    def last(self, tag: str) -> float:
        """The last value of a tag; nan if it was never logged."""
        return next((row[tag] for row in reversed(self.rows) if tag in row), math.nan)

    def bytes_sent(self) -> tuple[np.ndarray, np.ndarray]:
        """Environment steps and bytes sent since the run began."""
        steps, total = self.curve("channel/sent_bytes")
        if len(steps):
            return steps, total
        steps, rate = self.curve("channel/bytes_per_env_step")
        return steps, rate * steps

    def final(self, name: str) -> float:
        """A result of the last policy, such as `win_rate_sampled` or `return`; nan if it was not recorded.

        It comes from the evaluation after training, or else from the last one during training.
        """
        return self.evaluation.get(name, math.nan) if self.evaluation else self.last(f"eval/{name}")

    @property
    def conditions(self) -> tuple[str, ...]:
        """The labels of the other conditions under which the last policy was evaluated."""
        return tuple(name.removesuffix("/win_rate") for name in self.evaluation or {} if name.endswith("/win_rate"))

    def final_interval(self, name: str) -> tuple[float, float]:
        """Low and high end of the interval of `win_rate` or `win_rate_sampled`, as `final`."""
        low, high = self.final(f"{name}_low"), self.final(f"{name}_high")
        if name == "win_rate" and math.isnan(low) and self.evaluation:  # mawm 0.1: one interval, without a name
            return self.evaluation.get("low", math.nan), self.evaluation.get("high", math.nan)
        return low, high

    @property
    def final_battles(self) -> int:
        """Number of battles of the final win rate; 0 if not recorded."""
        battles = self.final("episodes")
        return int(battles) if math.isfinite(battles) else 0


def checked_config(saved: dict[str, Any]) -> dict[str, Any]:
    """Remove the settings from the content of config.json and return them. ValueError if they are invalid."""
    config = saved.pop("config", None)
    if not isinstance(config, dict):
        raise ValueError("config.json holds no `config`")
    sharing = config.get("sharing")
    if not isinstance(sharing, dict) or not is_number(sharing.get("bandwidth")):
        raise ValueError("config.json holds no sharing.bandwidth")
    for key, kind in (("map", str), ("method", str), ("seed", int)):
        if not isinstance(config.get(key), kind):
            raise ValueError(f"config.json holds no {key}")
    return config


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dictionary as one level with keys `a.b.c`."""
    out: dict[str, Any] = {}
    for key, value in settings.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number (no boolean)."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False
