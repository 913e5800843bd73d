"""Reads tensors and JSON that may be damaged or mean harm: nothing is executed, nothing beyond the file built."""

import hashlib
import json
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

LARGEST_HEADER = 8 << 20
"""Bytes of the longest tensor header that is looked at; ours have some tens of kilobytes."""
LARGEST_JSON = 64 << 20
LARGEST_FILE = 32 << 30
"""Bytes of the largest file that is looked at at all: the replay of a large team is a tenth of it."""
MUST_BE_FINITE = ("weights/", "optimiser/")
"""Parts of array names whose numbers must be finite: a network of NaN can only be thrown away."""


class DamagedError(ValueError):
    """A file is not what it should be; the message names the file and, where there is one, the key."""


def plain_file(path: Path) -> int:
    """The size of a regular file. DamagedError for a link, a folder, a device, or nothing at all."""
    try:
        found = os.lstat(path)
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(found.st_mode):
        raise DamagedError(f"{path} is no plain file")
    if found.st_size > LARGEST_FILE:
        raise DamagedError(f"{path} has {found.st_size:,} bytes; at most {LARGEST_FILE:,} are read")
    return found.st_size


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. DamagedError for anything else, and for a key that stands twice."""
    size = plain_file(path)
    if size > LARGEST_JSON:
        raise DamagedError(f"{path} has {size:,} bytes; at most {LARGEST_JSON:,} are read")
    return parse_object(path.read_bytes(), str(path))


def parse_object(text: bytes, where: str) -> dict[str, Any]:
    """The object in `text`; `where` names it in errors."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise DamagedError(f"{where}: the key {key[:80]!r} stands twice")
            seen[key] = value
        return seen

    try:
        value = json.loads(text, object_pairs_hook=once)
    except DamagedError:
        raise
    except RecursionError:
        raise DamagedError(f"{where}: too deeply nested") from None
    except ValueError as error:  # no JSON, no UTF-8, or an integer of thousands of digits
        raise DamagedError(f"{where}: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise DamagedError(f"{where}: not a JSON object")
    return value


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays by name of a safetensors file. DamagedError for a header that lies, or weights that are not finite."""
    size = plain_file(path)
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length > min(size - 8, LARGEST_HEADER):
            raise DamagedError(f"{path}: a header of {length:,} bytes in a file of {size:,}")
        parse_object(file.read(length), f"{path}, header")
    try:
        arrays = load(path.read_bytes())
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedError(f"{path}: {str(error)[:200]}") from None
    for name in sorted(arrays):
        array = arrays[name]
        if any(part in name for part in MUST_BE_FINITE) and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DamagedError(f"{path}: {name} holds numbers that are not finite")
    return arrays


def only(folder: Path, names: Iterable[str]) -> None:
    """DamagedError if a folder holds anything else than these, or lacks one of them."""
    wanted, found = set(names), {entry.name for entry in os.scandir(folder)}
    if missing := sorted(wanted - found):
        raise DamagedError(f"{folder / missing[0]} is missing")
    if extra := sorted(found - wanted):
        raise DamagedError(f"{folder / extra[0]} does not belong there")
