"""Pictures of a battle as compact data: one palette, and each picture as its difference from the one before."""

from typing import Any

from mawm.filming.palette import palette_of, with_palette
from mawm.filming.recording import Battle
from mawm.watching.packed import packed

MOST_PICTURE_BYTES = 500_000
"""Bytes of the pictures of one battle in a page."""
MOST_PIXELS = 60_000_000
"""Pixels of all pictures of a battle: they are in the browser's memory at the same time."""
STEPS_DOWN = ((480, 1), (400, 1), (320, 1), (240, 1), (240, 2), (200, 4), (160, 8), (120, 16), (80, 32), (40, 128))
"""What is tried in turn until the pictures are small enough: pixels of the longer side, and steps between pictures."""


def packed_pictures(battle: Battle) -> dict[str, Any]:
    """The pictures of a battle for the page's scripts; `why` alone if there are none.

    width, height, every (steps between two pictures), palette (256 colours as text), note (in words, if steps are
    missing). pixels (F, height, width) uint8: numbers of colours, each picture but the first XOR the one before.
    """
    if not battle.pictures:
        return {"why": battle.why}
    for longest, every in STEPS_DOWN:
        shown = battle.pictures[::every]
        images = with_palette(shown, palette_of(shown, longest), longest)
        if images.pixels.size > MOST_PIXELS:
            continue
        changes = images.pixels.copy()
        changes[1:] ^= images.pixels[:-1]  # values that do not change become zeros
        found = packed({"pixels": changes})
        if len(found["data"]) <= MOST_PICTURE_BYTES:
            break
    else:
        return {"why": f"its {len(battle.pictures)} pictures do not fit into {MOST_PICTURE_BYTES // 1000} kB"}
    height, width = images.pixels.shape[1:]
    note = f"Only every {every}th step has a picture, so that the page stays small." if every > 1 else ""
    return {
        "width": width, "height": height, "every": every, "note": note.replace("2th", "2nd"),
        "palette": images.palette.tobytes().hex(), "packed": found,
    }  # fmt: skip
