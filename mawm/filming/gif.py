"""A battle as an animated GIF of bounded size."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mawm.filming.drawing import STRIP, Film
from mawm.filming.palette import COLOURS, Picture, palette_of, with_palette

MOST_BYTES = 1_000_000
"""Bytes of one battle in a GIF."""
WIDTH = 420
MOST_FRAMES = 240
"""Frames of one battle up to which a GIF also shows times between steps, for a smooth motion."""
STEP_MS, LONG_STEP_MS, LONG = 240, 120, 100
"""Milliseconds for which a step is shown, in a battle of up to `LONG` steps and in a longer one."""
END_MS = 1500
TRANSPARENT = COLOURS
"""The number of no colour of a palette."""
STEPS_DOWN = ((1.0, 1), (0.75, 1), (0.75, 2), (0.6, 4), (0.5, 8), (0.4, 16), (0.3, 64), (0.2, 256))
"""What is tried in turn until a GIF is small enough: the width in parts of `WIDTH`, and steps between two frames."""


@dataclass(frozen=True)
class Gif:
    """An animated GIF. size: width and height in pixels; note: in words, if steps are missing."""

    data: bytes
    size: tuple[int, int]
    note: str = ""


def gif_of(film: Film, most_bytes: int = MOST_BYTES) -> Gif:
    """A battle as a GIF of at most `most_bytes`. ValueError if it does not fit."""
    for part, every in STEPS_DOWN:
        width = round(WIDTH * part)
        size = width, max(1, round(width * film.shape))
        times, times_ms = zip(*_times(film, every), strict=True)
        data = _encoded([film.picture(time, size) for time in times], times_ms)
        if len(data) <= most_bytes:
            note = f"one picture for {every} steps, to stay below {most_bytes / 1e6:g} MB" if every > 1 else ""
            return Gif(data, (size[0], size[1] + STRIP), note)
    raise ValueError(f"the battle does not fit into a GIF of {most_bytes / 1e6:g} MB")


def _times(film: Film, every: int) -> Iterator[tuple[float, int]]:
    """The times in steps at which a film is shown, and for how many milliseconds each; the last is its end."""
    step_ms = STEP_MS if film.steps <= LONG else LONG_STEP_MS
    finer = max(1, min(3, MOST_FRAMES // max(1, film.steps))) if film.smooth and every == 1 else 1
    for k in range(0, film.steps * finer, every):
        yield k / finer, 10 * round(step_ms * every / finer / 10)
    yield float(film.steps), END_MS


def _encoded(pictures: Sequence[Picture], times_ms: Sequence[int]) -> bytes:
    """A GIF that repeats for ever. Its frames hold only what differs from the frame before; the rest is transparent."""
    longest = max(pictures[0].shape)
    images = with_palette(pictures, palette_of(pictures, longest), longest)
    frames = []
    for k, pixels in enumerate(images.pixels):
        kept = pixels if k == 0 else np.where(pixels == images.pixels[k - 1], np.uint8(TRANSPARENT), pixels)
        frame = Image.fromarray(kept, "P")
        frame.putpalette(images.palette.tobytes())
        frames.append(frame)
    out = io.BytesIO()
    frames[0].save(
        out, "GIF", save_all=True, append_images=frames[1:], duration=list(times_ms), loop=0, optimize=False,
        disposal=1, transparency=TRANSPARENT,
    )  # fmt: skip
    return out.getvalue()
