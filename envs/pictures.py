"""Pictures that an environment draws of itself: `render()` of the first row's battle."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mawm.envs.checked import source_of

LONGEST_SIDE = 480
"""Pixels. A larger picture is scaled down where it is made, because it has to go from one process to another."""
MODE = "rgb_array"
"""The value of `render_mode` with which PettingZoo's environments return pictures."""


def picture_of(env: Any) -> NDArray[np.uint8] | str:
    """The present picture (height, width, 3) of a ParallelEnv, or in words why there is none."""
    if not callable(getattr(env, "render", None)):
        return "it has no method render"
    mode = getattr(env, "render_mode", None)
    if mode != MODE:
        return f"its render_mode is {mode!r}; let its factory return it with render_mode={MODE!r}"
    try:
        answer = env.render()
        found = np.asarray(answer)
    except Exception as error:
        return f"its render raised {type(error).__name__}: {str(error) or 'without a message'}{source_of(error)}"
    if found.ndim != 3 or found.shape[2] not in (3, 4) or found.dtype != np.uint8 or not found.size:
        got = f"{type(answer).__name__}" if found.ndim == 0 else f"{found.dtype} {found.shape}"
        return f"its render returned {got}; expected an array of uint8 of shape (height, width, 3)"
    return scaled(np.ascontiguousarray(found[..., :3]), LONGEST_SIDE)


def scaled(picture: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """A picture (height, width, 3) whose longer side has at most `longest` pixels."""
    height, width = picture.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1.0:
        return picture
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
