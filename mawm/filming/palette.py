"""Pictures with at most 256 colours, the same for a whole battle: what GIFs and pages hold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLOURS = 255
"""Colours of a palette; one number is left for the transparent colour of a GIF."""
SAMPLES = 12
"""Pictures from which a palette is made, evenly over the battle."""
Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Indexed:
    """F pictures of one size as numbers of colours: pixels (F, height, width), palette (256, 3)."""

    pixels: NDArray[np.uint8]
    palette: NDArray[np.uint8]


def size_of(picture: Picture, longest: int) -> tuple[int, int]:
    """Width and height of a picture whose longer side is scaled down to at most `longest` pixels."""
    height, width = picture.shape[:2]
    factor = min(1.0, longest / max(height, width))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _scaled(picture: Picture, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(picture)
    return image if image.size == size else image.resize(size, Image.Resampling.BOX)


def palette_of(pictures: Sequence[Picture], longest: int) -> Image.Image:
    """An image with a palette for all of the pictures: the colours of some of them, or their median cut."""
    size = size_of(pictures[0], longest)
    chosen = sorted({round(k * (len(pictures) - 1) / (SAMPLES - 1)) for k in range(SAMPLES)})
    joined = Image.new("RGB", (size[0], size[1] * len(chosen)))
    for row, k in enumerate(chosen):
        joined.paste(_scaled(pictures[k], size), (0, row * size[1]))
    found = joined.getcolors(COLOURS)
    if found is not None:  # median cut mixes colours even where there is room for all of them
        exact = Image.new("P", (1, 1))
        exact.putpalette([number for _, colour in found for number in colour])  # type: ignore[union-attr]
        return exact
    return joined.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def with_palette(pictures: Sequence[Picture], palette: Image.Image, longest: int) -> Indexed:
    """The pictures in the size of the first one, scaled to `longest`, each colour replaced by the nearest one.

    Colours are not mixed from neighbouring pixels (dithering): unmoved parts of two pictures stay equal.
    """
    size = size_of(pictures[0], longest)
    pixels = np.stack(
        [np.asarray(_scaled(p, size).quantize(palette=palette, dither=Image.Dither.NONE)) for p in pictures]
    )
    colours = np.zeros((256, 3), np.uint8)
    listed = np.array(palette.getpalette() or [], np.uint8).reshape(-1, 3)
    colours[: len(listed)] = listed
    return Indexed(pixels, colours)
