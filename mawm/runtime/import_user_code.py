"""A user's own code, by where it lies."""

import importlib
from collections.abc import Callable
from typing import Any


def load_factory(what: str, name: str) -> Callable[..., Any]:
    """The callable that `name`, `module:factory`, means; `what` is the setting that names it, for the message.

    ValueError, in one line, if it cannot be imported or is nothing that can be called.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the user's module may raise anything
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{what} {name!r} cannot be loaded ({said}); it must be module:factory on PYTHONPATH"
        ) from None
    if not callable(found):
        raise ValueError(
            f"{what} {name!r} is of type {type(found).__name__} and cannot be called; it must be module:factory"
        )
    return found
