"""How the engine's scalar functions are compiled: cached on disk, in one piece, and without reference counts."""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from numba import config as numba_config
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy"}
_CONFIG: Any = numba_config  # its fields are made when it is loaded, so no type checker knows them
OWN_FOLDER = re.compile(r"mawm-kernels-[0-9a-f]{16}")
_UNUSED_S = 86_400.0
"""Seconds after which machine code of other sources is deleted: nothing that runs now still reads it."""


def scalar(function: Function) -> Function:
    """Compile a function that only reads and writes arrays it was handed: it may neither make nor return one.

    Its callers keep those arrays alive, so counting references to every row and tuple that is handed on, with an
    atomic instruction each, would buy nothing; it took two fifths of the engine's time. LLVM copies the function into
    its callers: an array is nine machine words, and handing seven of them to each rule of each unit took half the rest.
    """
    return compiled(function, _nrt=False, forceinline=True)


def called(function: Function) -> Function:
    """Compile a scalar function that is seldom needed: a call costs little there, and the callers stay short."""
    return compiled(function, _nrt=False)


def compiled(function: Function, **options: Any) -> Function:
    """Compile a function and cache its machine code under a digest of all sources of the engine.

    Numba's own cache looks at the file of the compiled function alone. A function that was copied into it from another
    file would stay as it was when that file is edited, and the old rules would go on being played.
    """
    before = _CONFIG.CACHE_DIR
    _CONFIG.CACHE_DIR = str(_cache_folder(before))
    try:
        result: Function = njit(**_OPTIONS, **options)(function)
    finally:
        _CONFIG.CACHE_DIR = before
    return result


@cache
def _cache_folder(chosen: str) -> Path:
    """Where machine code of these sources lies: below NUMBA_CACHE_DIR, beside the sources, or in the user's cache."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(here.glob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    for root in (Path(chosen),) if chosen else (here / "__pycache__", _user_cache()):
        folder = root / f"mawm-kernels-{digest.hexdigest()[:16]}"
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                os.utime(folder)
                _delete_unused(root)
                return folder
    return Path(tempfile.mkdtemp(prefix="mawm-kernels-"))


def _user_cache() -> Path:
    """The user's folder for caches; a path below which nothing can be made where there is no home."""
    with contextlib.suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mawm"
    return Path(os.devnull)


def _delete_unused(root: Path) -> None:
    """Delete this module's folders of other sources that nothing has used for a day."""
    for folder in root.iterdir():
        if folder.is_symlink() or not OWN_FOLDER.fullmatch(folder.name):
            continue
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _UNUSED_S:
                shutil.rmtree(folder)
