"""Import of user code that a setting names as `module:factory`."""

import importlib
from collections.abc import Callable
from typing import Any


def load_factory(setting: str, name: str) -> Callable[..., Any]:
    """The callable with the name `module:factory`; `setting` is the setting's name, for errors.

    ValueError, in one line, if it cannot be imported or is not callable.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the user's module may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{setting} {name!r} cannot be loaded ({reason}); it must be module:factory on PYTHONPATH"
        ) from None
    if not callable(found):
        raise ValueError(
            f"{setting} {name!r} is of type {type(found).__name__} and cannot be called; it must be module:factory"
        )
    return found
