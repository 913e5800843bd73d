"""`python -m mawm.verify theory`: checks statements of the papers on cases with a known answer."""

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from mawm.configs.command_line import parse
from mawm.types import Seed

DESCRIPTION = """Check statements of the papers on cases with a known answer.

  python -m mawm.verify theory    information estimators (known answers, bias over K, variance over M), Theorem 2

One line for each statement: the result, the expected result, and whether the statement holds. Exit code 1 if one does
not hold."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    subject: Annotated[Literal["theory"], tyro.conf.Positional]
    seed: Seed = 0
    """Seed of the random cases."""


def main(args: list[str] | None = None) -> int:
    """Parse, check, print."""
    command = parse(Command, prog="python -m mawm.verify", description=DESCRIPTION, args=args)
    from mawm.auditing.theory import check_descent, check_information  # a slow import: only for valid arguments

    claims = check_information(command.seed) + check_descent(command.seed)
    width = max(len(claim.name) for claim in claims)
    for claim in claims:
        verdict = "holds" if claim.holds else "FAILS"
        print(f"{verdict}  {claim.name:<{width}}  found {claim.found}  expected {claim.expected}")
    return 0 if all(claim.holds for claim in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
