"""Safe reads of tensors and JSON that may be damaged or malicious: no code is executed, and sizes are limited."""

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
"""Maximum bytes of a tensor file's header; a header of ours has some tens of kilobytes."""
LARGEST_JSON = 64 << 20
LARGEST_FILE = 32 << 30
"""Maximum bytes of a file; the replay of a large team takes a tenth of it."""
MUST_BE_FINITE = ("weights/", "optimiser/")
"""Arrays with these parts in their names must be finite: a network with NaN weights is useless."""


class DamagedError(ValueError):
    """A file is damaged or malformed; the message names the file and, where possible, the key."""


def plain_file(path: Path) -> int:
    """The size of a regular file. DamagedError if the path is a link, a folder or a device, or does not exist."""
    try:
        found = os.lstat(path)
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(found.st_mode):
        raise DamagedError(f"{path} is not a regular file")
    if found.st_size > LARGEST_FILE:
        raise DamagedError(f"{path} has {found.st_size:,} bytes; at most {LARGEST_FILE:,} are read")
    return found.st_size


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. DamagedError for other content, and for a duplicate key."""
    size = plain_file(path)
    if size > LARGEST_JSON:
        raise DamagedError(f"{path} has {size:,} bytes; at most {LARGEST_JSON:,} are read")
    return parse_object(path.read_bytes(), str(path))


def parse_object(text: bytes, where: str) -> dict[str, Any]:
    """The JSON object in `text`; errors name it `where`."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise DamagedError(f"{where}: the key {key[:80]!r} appears twice")
            seen[key] = value
        return seen

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except DamagedError:
        raise
    except RecursionError:
        raise DamagedError(f"{where}: too deeply nested") from None
    except ValueError as error:  # not JSON, not UTF-8, or an integer with thousands of digits
        raise DamagedError(f"{where}: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise DamagedError(f"{where}: not a JSON object")
    return value


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file by name. DamagedError for an invalid header, or non-finite weights."""
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
            raise DamagedError(f"{path}: {name} holds non-finite numbers")
    return arrays


def check_names(folder: Path, names: Iterable[str]) -> None:
    """DamagedError unless a folder holds exactly these names."""
    wanted, found = set(names), {entry.name for entry in os.scandir(folder)}
    if missing := sorted(wanted - found):
        raise DamagedError(f"{folder / missing[0]} is missing")
    if extra := sorted(found - wanted):
        raise DamagedError(f"{folder / extra[0]} does not belong there")
