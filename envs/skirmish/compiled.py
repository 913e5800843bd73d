"""Compilation of the engine's scalar functions: cached on disk, inlined, and without reference counting."""

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
_CONFIG: Any = numba_config  # numba sets its fields at import, so type checkers do not know them
OWN_FOLDER = re.compile(r"mawm-kernels-[0-9a-f]{16}")
_UNUSED_S = 86_400.0
"""Seconds without use after which machine code of other versions of the sources is deleted."""


def scalar(function: Function) -> Function:
    """Compile a function that reads and writes only its argument arrays: it may neither create nor return an array.

    The callers keep these arrays alive, so reference counts are not needed. Counting, with an atomic instruction for
    each row and tuple passed on, took two fifths of the engine's time. LLVM inlines the function into its callers: an
    array argument is nine machine words, and passing seven arrays to each rule of each unit took half of the rest.
    """
    return compiled(function, _nrt=False, forceinline=True)


def called(function: Function) -> Function:
    """Compile a scalar function that is seldom called, without inlining: this keeps its callers' machine code small."""
    return compiled(function, _nrt=False)


def compiled(function: Function, **options: Any) -> Function:
    """Compile a function and cache its machine code under a digest of all sources of the engine.

    Numba's own cache checks only the file of the compiled function. If it inlines a function of another file, an edit
    of that file would not cause recompilation, and battles would still use the old rules.
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
    """The folder with machine code of these sources: in NUMBA_CACHE_DIR, next to them, or in the user's cache."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(here.rglob("*.py")):
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
    """The user's cache folder; without a home folder, a path in which no folder can be created."""
    with contextlib.suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mawm"
    return Path(os.devnull)


def _delete_unused(root: Path) -> None:
    """Delete this module's folders of other sources that have not been used for a day."""
    for folder in root.iterdir():
        if folder.is_symlink() or not OWN_FOLDER.fullmatch(folder.name):
            continue
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _UNUSED_S:
                shutil.rmtree(folder)
