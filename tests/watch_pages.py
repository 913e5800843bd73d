"""Reads the data of a page that `mawm.watch` wrote."""

import base64
import json
import re
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.watching.packed import ALIGNMENT


def unpacked(stored: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays of `packed`, by name."""
    data, at, found = zlib.decompress(base64.b64decode(stored["data"])), 0, {}
    for name, kind, shape in stored["arrays"]:
        count = int(np.prod(shape))
        found[name] = np.frombuffer(data, kind, count, at).reshape(shape)
        size = count * np.dtype(kind).itemsize
        at += size + -size % ALIGNMENT
    return found


def battles_of(text: str) -> list[dict[str, Any]]:
    """The battles in the text of a page, as `watched` made them."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    battles: list[dict[str, Any]] = json.loads(found[1])["battles"]
    return battles
