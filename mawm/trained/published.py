"""The expectation card: win rates that other systems reached on the same map after about as many steps."""

import math
import textwrap
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

NEAR = 2.5
"""A published number of steps is near a run's if neither is more than this many times the other."""


@dataclass(frozen=True)
class Table:
    """One published table: win rates in percent, [mean, deviation] or [number], by map and method."""

    env_steps: int
    source: str
    protocol: str
    maps: dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Card:
    """Published win rates for one map at the published number of steps that is nearest to a run's."""

    map: str
    run_steps: int
    env_steps: int
    tables: tuple[Table, ...]
    played: str
    """The game of this run, as a phrase."""

    @property
    def caveat(self) -> str:
        """What a reader must know before comparing."""
        other = "" if self.env_steps == self.run_steps else f" after {self.env_steps} environment steps"
        return (
            f"The published numbers are of StarCraft II{other}. This is one run of "
            f"{self.run_steps} steps on {self.played}. So a difference does not show which is better."
        )

    def facts(self) -> dict[str, Any]:
        """The card for JSON: win rates in percent."""
        tables = [
            {"source": t.source, "protocol": t.protocol, "win_rate_percent": t.maps[self.map]} for t in self.tables
        ]
        return {"map": self.map, "env_steps": self.env_steps, "tables": tables, "caveat": self.caveat}

    def lines(self) -> list[str]:
        """The card as text."""
        lines = [f"Published for {self.map} at {self.env_steps} environment steps, win rate in %:"]
        for table in self.tables:
            rates = ", ".join(f"{name} {_rate(values)}" for name, values in table.maps[self.map].items())
            lines += [*_wrapped(rates, 2), *_wrapped(f"{table.source}: {table.protocol}", 4)]
        return [*lines, *_wrapped(self.caveat, 2)]


def published() -> list[Table]:
    """All tables of `published.toml`."""
    text = (resources.files("mawm.trained") / "published.toml").read_text("utf-8")
    return [Table(**table) for table in tomllib.loads(text)["table"]]


def card_for(map_name: str, env_steps: int, played: str) -> Card | None:
    """The card of a run of `env_steps` steps; None if nothing is published for the map and about as many steps."""
    tables = [table for table in published() if map_name in table.maps]
    if not tables or env_steps < 1:
        return None
    nearest = min((t.env_steps for t in tables), key=lambda steps: abs(math.log(steps / env_steps)))
    if not 1.0 / NEAR <= nearest / env_steps <= NEAR:
        return None
    return Card(map_name, env_steps, nearest, tuple(t for t in tables if t.env_steps == nearest), played)


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, 118, initial_indent=" " * indent, subsequent_indent=" " * indent)


def _rate(values: list[float]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} ({values[1]:g})"
