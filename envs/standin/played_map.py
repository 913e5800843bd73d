"""Which map a client asks for, the numbers of its unit types, and its terrain as the protocol sends it."""

import tomllib
from dataclasses import dataclass
from pathlib import PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish.field import ALLY, Field, Mode
from mawm.envs.skirmish.maps import SIZE, MapSpec, load_map, map_names, parse_map
from mawm.envs.standin.settings import Settings

FLAT = ("32x32_flat", "10gen_empty", "10gen_protoss", "10gen_terran", "10gen_zerg")
"""SMACv2's maps: empty open ground on which the client creates the units."""
FLAT_TEXT = "# Empty open ground: the client creates the units, and enemies hunt (SMACv2).\n"
STANDARD = {
    "colossus": 4, "baneling": 9, "marine": 48, "marauder": 51, "medivac": 54, "zealot": 73, "stalker": 74,
    "spine_crawler": 98, "zergling": 105, "hydralisk": 107,
}  # fmt: skip
"""The game's numbers of the kinds, which enemies have."""
OWN_BASE = 128
"""The number of the first of the map's own types, which allies have; in the real game it depends on the version."""
OWN_FLAT = ("baneling", "colossus", "hydralisk", "marauder", "marine", "medivac", "stalker", "zealot", "zergling")
"""The own types of SMACv2's maps, in the order in which SMACv2 takes the last nine types."""
_ARCHIVE = b"MPQ"
"""First bytes of a real map file."""


@dataclass(frozen=True)
class PlayedMap:
    """A map and the kinds of its own unit types, whose numbers begin at `OWN_BASE`."""

    spec: MapSpec
    flat: bool
    own: tuple[str, ...]

    def type_of(self, kind: str, owner: int) -> int:
        """The number of a unit's type."""
        return OWN_BASE + self.own.index(kind) if owner == ALLY and kind in self.own else STANDARD[kind]

    def kind_of(self, number: int) -> str:
        """The kind with this type number. ValueError if there is none."""
        names = self.names()
        if number not in names:
            raise ValueError(f"unit type {number} is unknown; known are {names}")
        return names[number].removesuffix("_RL")

    def names(self) -> dict[int, str]:
        """The name of each type number."""
        own = {OWN_BASE + i: f"{kind}_RL" for i, kind in enumerate(self.own)}
        return {number: kind for kind, number in STANDARD.items()} | own

    def field(self, seed: int, settings: Settings) -> Field:
        """A new field with the behaviour of the map's triggers."""
        mode: Mode = "hunt" if self.flat else "respawn"
        return Field(self.spec, seed, settings.rules, mode=mode, late=settings.faults.late)


def played_map(path: str, data: bytes, settings: Settings) -> PlayedMap:
    """The map of a request: its file's content, if that is TOML text (a placeholder, or a map of one's own).

    A real map file is played by its name. ValueError if this is not the name of a map of SMAC or SMACv2, or the text is
    not a map.
    """
    name = PureWindowsPath(path).stem  # takes both kinds of slashes
    margin = int(settings.rules.cliff_margin)
    if not data or data.startswith(_ARCHIVE):
        if name not in map_names() and name not in FLAT:
            known = ", ".join((*map_names(), *FLAT))
            raise ValueError(
                f"map {name!r} is unknown; the stand-in plays {known}, and map files of your own: "
                "python -m mawm.standin DIR --maps FILE.toml"
            )
        spec = None if name in FLAT else load_map(name, margin)
    else:
        text = data.decode("utf-8", errors="replace")
        spec = parse_map(text, name, path, margin) if _has_units(text) else None
    if spec is not None:
        return PlayedMap(spec, False, tuple(dict.fromkeys(spec.allies)))
    return PlayedMap(_flat_ground(name), True, OWN_FLAT)


def _has_units(text: str) -> bool:
    """Whether a map's text holds more than comments; so does text that is not TOML, which `parse_map` explains."""
    try:
        return bool(tomllib.loads(text))
    except ValueError:
        return True


def _flat_ground(name: str) -> MapSpec:
    open_ground = np.ones((SIZE, SIZE), np.bool_)
    return MapSpec(name, 1, (), (), (), (), None, open_ground, open_ground, (), ())


def pathing_bytes(grid: NDArray[np.bool_], bits: int) -> bytes:
    """A grid (X, Y), indexed [x, y], as the game sends it.

    1 bit a cell: row by row from the south, the western cell in the highest bit of a byte. 8 bits a cell: as old
    versions send it and SMAC reads it, transposed and flipped, with 255 where no unit may walk.
    """
    if bits == 1:
        return np.packbits(grid.T, axis=1).tobytes()
    return (np.flip(~grid, axis=1).T * np.uint8(255)).astype(np.uint8).tobytes()
