"""How the engine's scalar functions are compiled: cached on disk, and without reference counts."""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {"cache": True, "_nrt": False}


def scalar(function: Function) -> Function:
    """Compile a function that only reads and writes arrays it was handed: it may neither make nor return one.

    Its callers keep those arrays alive, so counting references to every row and tuple that is handed on, with an
    atomic instruction each, would buy nothing; it took two fifths of the engine's time.
    """
    compiled: Function = njit(**_OPTIONS)(function)
    return compiled


def inlined(function: Function) -> Function:
    """Like `scalar`, copied into its callers: for those that are handed a Contract, some fifty machine words."""
    compiled: Function = njit(**_OPTIONS, inline="always")(function)
    return compiled
