"""How the engine's scalar functions are compiled: cached on disk, in one piece, and without reference counts."""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "_nrt": False, "forceinline": True}


def scalar(function: Function) -> Function:
    """Compile a function that only reads and writes arrays it was handed: it may neither make nor return one.

    Its callers keep those arrays alive, so counting references to every row and tuple that is handed on, with an
    atomic instruction each, would buy nothing; it took two fifths of the engine's time. LLVM copies the function into
    its callers: an array is nine machine words, and handing seven of them to each rule of each unit took half the rest.
    """
    compiled: Function = njit(**_OPTIONS)(function)
    return compiled
