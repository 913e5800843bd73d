"""One line of a verification."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """A statement, what was found, what was expected, and whether that holds."""

    name: str
    found: str
    expected: str
    holds: bool
