"""The marker file of an installed stand-in: it tells the stand-in from the real game and holds its settings."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from mawm.envs.skirmish.rules import Rules

MARKER = "mawm-standin.json"
"""Name of the file, in the folder that SC2PATH names."""
GAME = "stand-in"
"""What runs on it name as their game."""


@dataclass(frozen=True)
class Faults:
    """Faults on purpose, for tests of its clients. There are none by default."""

    dies_after: int | None = None
    """Number of requests that it answers; at the next one its process ends."""
    hangs_after: int | None = None
    """Number of requests that it answers; later ones get no answer."""
    delay_s: float = 0.0
    """Seconds before each answer."""
    late: int = 0
    """Game loops by which units that come back or are created are late."""
    shuffled: bool = False
    """Whether each observation lists the units in another order."""
    pathing_bits: Literal[1, 8] = 1
    """Bits for each cell of the pathing grid: old versions of the game send 8."""


@dataclass(frozen=True)
class Settings:
    """Settings of a stand-in."""

    rules: Rules = field(default_factory=Rules)
    """The rules of battle, with the version of the unit data."""
    faults: Faults = field(default_factory=Faults)


def write_marker(root: Path, settings: Settings) -> None:
    """Mark a folder as a stand-in with these settings."""
    note = "Battles here are played by mawm's embedded engine, not by StarCraft II."
    text = json.dumps({"game": GAME, "note": note, **asdict(settings)}, indent=1)
    (root / MARKER).write_text(text + "\n", encoding="utf-8")


def read_marker(root: Path) -> Settings | None:
    """The settings of the stand-in in a folder; None if the folder holds none. ValueError if they cannot be read."""
    path = root / MARKER
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Settings(Rules(**table["rules"]), Faults(**table["faults"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is damaged ({reason}): write it again with python -m mawm.standin {root}") from None
