"""Decentralized, Dreamer-style world models for cooperative multi-agent reinforcement learning.

The environment variable `MAWM_PLUGINS` names modules of a user, separated by commas. They are imported first in
every process, before a command imports anything else of the package. So all commands know the rows that they add to its
tables (docs/extending.md).
"""

import importlib
import os
import sys

__version__ = "0.2.0"


def plugins() -> list[str]:
    """The names in `MAWM_PLUGINS`."""
    return [name.strip() for name in os.environ.get("MAWM_PLUGINS", "").split(",") if name.strip()]


def not_loaded(recorded: object) -> list[str]:
    """Those plugins of a run, recorded in its config.json, that `MAWM_PLUGINS` does not name now."""
    return [str(name) for name in recorded if name not in plugins()] if isinstance(recorded, list) else []


def _import_plugins() -> None:
    """Import the user's modules. A module that does not exist ends the process with one line and exit code 2."""
    for name in plugins():
        try:
            importlib.import_module(name)
        except SystemExit:  # a script that parses sys.argv, which holds the arguments of mawm
            hint = "code that reads the command line belongs under if __name__ == '__main__'"
            sys.stderr.write(f"mawm: MAWM_PLUGINS names the module {name!r}, whose import ended the process; {hint}\n")
            sys.exit(2)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # a mistake inside the module: the traceback shows its line
            hint = "run the command in the module's folder, or name that folder in PYTHONPATH"
            sys.stderr.write(f"mawm: MAWM_PLUGINS names the module {name!r}, which does not exist; {hint}\n")
            sys.exit(2)


_import_plugins()
