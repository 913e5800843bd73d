"""`python -m mawm.standin DIR`: a stand-in for StarCraft II, for SMAC and programs built on it."""

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mawm.configs.command_line import parse, user_errors
from mawm.envs.skirmish.rules import Rules, Version

DESCRIPTION = """Write a folder that SMAC and SMACv2 take for the game. Battles there are played by the embedded engine.

It is not StarCraft II: use it to run and test code, and do not compare its win rates with published ones. SMAC's own
code, from PyMARL or others, then runs without the game (docs/starcraft.md):

  python -m mawm.standin DIR
  export SC2PATH=DIR"""


@dataclass(frozen=True)
class Command:
    """The command line."""

    folder: Annotated[Path, tyro.conf.Positional]
    """A new or empty folder, or one that holds a stand-in."""
    version: Version = "4.10"
    """Version of the game whose unit data are used; clients see this version."""
    maps: tuple[Path, ...] = field(default=())
    """Map files of your own (docs/engine.md). A client finds them by name."""


def main(args: list[str] | None = None) -> int:
    """Parse, write, compile."""
    command = parse(Command, prog="python -m mawm.standin", description=DESCRIPTION, args=args)
    from mawm.envs.standin.install import compile_engine, install  # slow imports: only for valid arguments
    from mawm.envs.standin.settings import Settings

    settings = Settings(Rules(version=command.version))
    root = command.folder.expanduser().absolute()
    with user_errors():
        install(root, settings, command.maps)
    print("mawm: compiling the engine, once for each version of its sources ...", flush=True)
    compile_engine(settings)
    print(f"mawm: {root} holds a stand-in: SMAC's battles on the embedded engine, rules {command.version}.")
    print("mawm: It is not StarCraft II: use it for code, not for results. Programs find it by")
    print(f"export SC2PATH={shlex.quote(str(root))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
