"""Import of user code that a setting names as `module:factory`."""

import hashlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

INSTALLED = ("site-packages", "dist-packages")
"""Folders of installed packages, whose code is not the user's."""
NOT_THE_USERS = ("mawm", "__main__", "__mp_main__")
"""Modules of this package and of the command that runs."""


class ModuleEnded(ImportError):
    """A module called sys.exit when it was imported."""


def load_factory(setting: str, name: str) -> Callable[..., Any]:
    """The callable with the name `module:factory`; `setting` is the setting's name, for errors.

    ValueError, in one line, if it cannot be imported or is not callable.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), attribute)
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


def import_module(name: str) -> Any:
    """Import a module of the user. ModuleEnded, with a hint, if the module ends the process at its import.

    A module that began as a script parses `sys.argv`, which holds the arguments of mawm: argparse then prints its own
    usage, which looks like mawm's, and calls sys.exit.
    """
    try:
        return importlib.import_module(name)
    except SystemExit as error:
        raise ModuleEnded(
            f"the import of {name} ended the process (sys.exit({error.code!r})); does it read the command line? Code "
            "that does so belongs under if __name__ == '__main__'"
        ) from None


def source_digests(name: str) -> dict[str, str]:
    """Digests of the user's source files behind `module:factory`, which must be imported, by module and path.

    These are the files of all imported modules in the module's folder or below it. Paths are relative to this folder.
    A module that the factory imports when it is called is not among them. Installed packages and this package are not
    the user's code. Empty if the module has no file.
    """
    module = name.partition(":")[0]
    main = getattr(sys.modules.get(module), "__file__", None)
    if main is None:
        return {}
    root = Path(main).parent
    own = {Path(main)}
    for other, loaded in list(sys.modules.items()):
        path = Path(getattr(loaded, "__file__", None) or "")
        if path.suffix == ".py" and path.is_relative_to(root) and other.partition(".")[0] not in NOT_THE_USERS:
            inside = path.relative_to(root).parts
            own |= set() if set(INSTALLED) & {*inside, *root.parts} else {path}
    kept = sorted(path for path in own if path.is_file())
    return {f"{module}: {path.relative_to(root)}": hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in kept}
