"""One run as results see it."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

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
"""What a run's label does not mention."""
LAMBDA = 0.3
"""The usual weight of the information term."""


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
        return self.method in METHODS and METHODS[self.method].selects

    @property
    def variant(self) -> str:
        """What is unusual about it, bandwidth aside, in one phrase: `selector random`, say; empty where nothing is."""
        found = {"precision": self.config.get("precision", USUAL["precision"])}
        if self.shares:
            found |= {name: value for name, value in self.config["sharing"].items() if name in USUAL}
        elif self.method in METHODS and METHODS[self.method].shares_all:
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


def checked_config(saved: dict[str, Any]) -> dict[str, Any]:
    """Takes the settings out of what config.json holds. ValueError where they are no settings of a run."""
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
    """Whether a value from JSON is a finite number, and no boolean."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False
