"""Draws a recorded battle as pictures: the field of the embedded engine, or what another environment drew of itself."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mawm.envs.skirmish import layout as col
from mawm.filming.palette import Picture
from mawm.filming.recording import Battle, EngineEnv, terrain
from mawm.filming.scene import Scene
from mawm.types import VectorEnv

Point = tuple[float, float]
Colour = tuple[int, int, int]
ALLY, ENEMY, HEAL, SHIELD = (31, 111, 214), (209, 84, 31), (27, 143, 77), (56, 182, 216)
INK, SOFT, PAPER, RAIL, GROUND = (28, 36, 48), (92, 102, 117), (255, 255, 255), (223, 227, 232), (246, 247, 243)
SIGNS = {".": GROUND, "^": (201, 196, 180), "#": (179, 186, 194)}
WON, LOST = (20, 103, 58), (148, 54, 13)
STRIP = 26
"""Pixels of the line above the field: step, return and, at the end, how the battle ended."""
FINER = 2
"""Everything is drawn this much larger and scaled down, for smooth edges."""
TALLEST = 1.0
"""Largest height of a field in parts of its width."""


class Film:
    """The pictures of one battle, at any frame or, if `smooth`, also between two frames."""

    smooth = True
    shape: float
    """Height of the field in parts of its width."""

    def __init__(self, battle: Battle) -> None:
        self.battle, self.steps = battle, battle.steps
        self._returns = np.concatenate([[0.0], np.cumsum(battle.reward, dtype=np.float64)])

    def field(self, time: float, size: tuple[int, int]) -> Image.Image:
        """The field at a time in steps, in pixels (width, height)."""
        raise NotImplementedError

    def picture(self, time: float, size: tuple[int, int]) -> Picture:
        """The field below a line with step, return and end."""
        width, height = size
        whole = Image.new("RGB", (width, height + STRIP), PAPER)
        whole.paste(self.field(time, size), (0, STRIP))
        pen, frame = ImageDraw.Draw(whole), min(int(time), self.steps)
        font, middle = ImageFont.load_default(13), STRIP / 2
        said = f"step {frame} of {self.steps}"
        pen.text((8, middle), said, INK, font, anchor="lm")
        pen.text((width - 8, middle), f"return {self._returns[frame]:.2f}", INK, font, anchor="rm")
        if frame == self.steps:
            colour = WON if self.battle.won else LOST if self.battle.kinds else SOFT
            pen.text((width / 2, middle), self.battle.end, colour, font, anchor="mm")
        return np.asarray(whole)


class PictureFilm(Film):
    """The pictures that an environment drew of itself. ValueError, with the reason, if it drew none."""

    smooth = False

    def __init__(self, battle: Battle) -> None:
        super().__init__(battle)
        if not battle.pictures:
            raise ValueError(f"there is nothing to draw: {battle.why}")
        height, width = battle.pictures[0].shape[:2]
        self.shape = int(height) / int(width)

    def field(self, time: float, size: tuple[int, int]) -> Image.Image:
        """The picture of a frame."""
        image = Image.fromarray(self.battle.pictures[min(int(time), self.steps)])
        enlarges = size[0] > image.width
        return image.resize(size, Image.Resampling.NEAREST if enlarges else Image.Resampling.BOX)


class FieldFilm(Film):
    """The field of the embedded engine. `ground`: a text for each row of cells from south to north (`terrain`)."""

    def __init__(self, battle: Battle, ground: Sequence[str]) -> None:
        super().__init__(battle)
        self.scene, self._ground = Scene.of(battle), ground
        west, east, south, north = self._extent = self.scene.extent()
        self.shape = min(TALLEST, max(0.5, (north - south) / (east - west)))
        self._painted: Image.Image | None = None
        self._most = [battle.stats[:, column].tolist() for column in (col.S_HP, col.S_SHIELD, col.S_RADIUS)]
        """Full health, full shield and radius (cells) of each unit."""

    def field(self, time: float, size: tuple[int, int]) -> Image.Image:
        """The ground, the dead, attacks and hits, then the living units."""
        canvas = _Canvas(self._extent, size)
        if self._painted is None or self._painted.size != canvas.size:  # the ground is drawn once for a size
            self._painted = canvas.ground(self._ground)
        image = self._painted.copy()
        pen, scene = ImageDraw.Draw(image), self.scene
        frame, places = min(int(time), self.steps), scene.places_at(time)
        points = [canvas.pixels(*place) for place in places]
        units = range(len(points))
        for unit in units:
            if scene.health[frame, unit] <= 0.0:
                self._dead(pen, points[unit], unit)
        self._attacks(pen, points, frame)
        self._hits(pen, points, time)
        for unit in reversed(units):
            if scene.health[frame, unit] > 0.0:
                self._unit(pen, canvas, points[unit], frame, unit)
        return image.reduce(FINER)

    def _colour(self, unit: int) -> tuple[int, int, int]:
        return ALLY if unit < self.scene.agents else ENEMY

    def _dead(self, pen: ImageDraw.ImageDraw, at: Point, unit: int) -> None:
        (x, y), arm, colour = at, 5 * FINER, _paler(self._colour(unit), 0.5)
        for sign in (-1, 1):
            pen.line((x - arm, y - sign * arm, x + arm, y + sign * arm), colour, 2 * FINER)

    def _attacks(self, pen: ImageDraw.ImageDraw, points: list[Point], frame: int) -> None:
        """Dotted lines to the units that are aimed at."""
        for unit, target in enumerate(self.scene.aim[frame].tolist()):
            if target < 0 or self.scene.health[frame, target] <= 0.0:
                continue
            (x0, y0), (x1, y1), colour = points[unit], points[target], _paler(self._colour(unit), 0.45)
            count = int(math.hypot(x1 - x0, y1 - y0) / (6 * FINER))
            for k in range(count):
                a, b = k / count, (k + 0.4) / count
                ends = (x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0))
                pen.line(ends, colour, FINER)

    def _hits(self, pen: ImageDraw.ImageDraw, points: list[Point], time: float) -> None:
        """Solid lines for the hits of the step that ends next or ended last; they fade with the distance in time."""
        for ended in {math.floor(time), math.ceil(time)} - {0}:
            if not 0 < ended <= len(self.battle.hits):
                continue
            strength = 1.0 - abs(time - ended)
            for _, kind, source, target, _ in self.battle.hits[ended - 1]:
                if source < 0:
                    continue
                colour = HEAL if kind == 1 else self._colour(int(source))
                pen.line((*points[int(source)], *points[int(target)]), _paler(colour, strength), 2 * FINER)

    def _unit(self, pen: ImageDraw.ImageDraw, canvas: "_Canvas", at: Point, frame: int, unit: int) -> None:
        """A disc with its number or the first letter of its kind; the ring is its health, the outer ring its shield."""
        most_health, most_shield, radii = self._most
        radius, colour = max(radii[unit] * canvas.scale, 6.5 * FINER), self._colour(unit)
        health = float(self.scene.health[frame, unit]) / most_health[unit]
        _disc(pen, at, radius + 3 * FINER, PAPER)
        _disc(pen, at, radius - 0.5 * FINER, _paler(colour, 0.28 + 0.72 * health))
        _ring(pen, at, radius + 3 * FINER, 1.0, RAIL, 3 * FINER)
        _ring(pen, at, radius + 3 * FINER, health, colour, 3 * FINER)
        if most_shield[unit] > 0.0:
            share = float(self.scene.shield[frame, unit]) / most_shield[unit]
            _ring(pen, at, radius + 6 * FINER, share, SHIELD, 2 * FINER)
        name = str(unit) if unit < self.scene.agents else self.battle.kinds[unit][0].upper()
        font = ImageFont.load_default(min(radius * 1.1, 15.0 * FINER))
        pen.text(at, name, PAPER, font, anchor="mm", stroke_width=FINER, stroke_fill=_paler(INK, 0.75))


def film_of(battle: Battle, env: VectorEnv) -> Film:
    """The film of a battle of an environment. ValueError, with the reason, if there is nothing to draw."""
    return FieldFilm(battle, terrain(env)) if isinstance(env, EngineEnv) else PictureFilm(battle)


class _Canvas:
    """A part of the map on an image that is `FINER` times as large as the picture, north up."""

    def __init__(self, extent: tuple[float, float, float, float], size: tuple[int, int]) -> None:
        self.size = size[0] * FINER, size[1] * FINER
        west, east, south, north = extent
        self.scale = min(self.size[0] / (east - west), self.size[1] / (north - south))
        self._west = (west + east) / 2 - self.size[0] / self.scale / 2
        self._north = (south + north) / 2 + self.size[1] / self.scale / 2

    def pixels(self, x: float, y: float) -> Point:
        """The pixel of a place in cells."""
        return (x - self._west) * self.scale, (self._north - y) * self.scale

    def ground(self, rows: Sequence[str]) -> Image.Image:
        """The image of the ground alone; what lies outside the map is like no ground."""
        image = Image.new("RGB", self.size, SIGNS["#"])
        pen = ImageDraw.Draw(image)
        for y, row in enumerate(rows):
            for x, sign in enumerate(row):
                if sign != "#":
                    pen.rectangle((*self.pixels(x, y + 1), *self.pixels(x + 1, y)), SIGNS[sign])
        return image


def _paler(colour: Colour, strength: float) -> Colour:
    """A colour on the ground, at a strength from 0 to 1."""
    mixed = [round(strength * c + (1.0 - strength) * g) for c, g in zip(colour, GROUND, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _disc(pen: ImageDraw.ImageDraw, at: Point, radius: float, colour: Colour) -> None:
    pen.ellipse((at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), colour)


def _ring(pen: ImageDraw.ImageDraw, at: Point, radius: float, share: float, colour: Colour, width: int) -> None:
    """A share of a ring, clockwise from the top."""
    if share > 0.0:
        box = (at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius)
        pen.arc(box, -90.0, -90.0 + 360.0 * min(1.0, share), colour, width)
