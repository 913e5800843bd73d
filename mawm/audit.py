"""`python -m mawm.audit gating`: checks on this machine that explorers do not change the primary world model."""

import json
import platform
import sys
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mawm import __version__
from mawm.configs.command_line import fail, parse
from mawm.types import Seed

LEAST = 500
"""Smallest number of steps in which replays overwrite rows and explorers crash."""
DESCRIPTION = """Check that explorers do not change the primary world model (docs/gating.md defines this).

  python -m mawm.audit gating                  less than two minutes on two cores; writes audit.json

First, one stream of the primary is recorded, and is replayed beside explorers of every kind, also harmful ones. After
every round the whole state of the world model must have the same hash, and the divergence must be exactly 0. Second,
the closed loop is checked. Third, leaks are inserted, and each must be detected. Exit code 1 if a check fails."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    subject: Annotated[Literal["gating"], tyro.conf.Positional]
    steps: int = 1000
    """Environment steps of the primary."""
    seed: Seed = 0
    """Seed of the primary and of the explorers."""
    out: Path = Path("audit.json")
    """File for the findings."""


def main(args: list[str] | None = None) -> int:
    """Parse, audit, print, write."""
    command = parse(Command, prog="python -m mawm.audit", description=DESCRIPTION, args=args)
    if command.steps < LEAST:
        fail(f"--steps must be at least {LEAST}: replays must overflow and explorers must crash; got {command.steps}")
    from mawm.agents.compute import prepare_process
    from mawm.auditing.gating import audit_gating  # torch and numba load only once the command line is right
    from mawm.auditing.leaks import CLOSED

    prepare_process("float32")
    began = time.monotonic()
    findings = []
    for finding in audit_gating(command.steps, command.seed):
        findings.append(finding)
        verdict = "holds" if finding.holds else "FAILS"
        print(f"{verdict}  {finding.claim:<26} {finding.case:<36} {finding.evidence}", flush=True)
    for channel, reason in CLOSED.items():
        print(f"  --   {'cannot be inserted':<26} {channel:<36} {reason}")
    passed = all(finding.holds for finding in findings)
    leaks = [finding for finding in findings if finding.claim == "leak is caught"]
    caught = sum(finding.holds for finding in leaks)
    seconds = time.monotonic() - began
    print(
        f"{'passed' if passed else 'FAILED'}: {caught} of {len(leaks)} leaks caught, "
        f"{len(findings)} findings, {seconds:.0f} s"
    )
    facts = {"mawm": __version__, "torch": metadata.version("torch"), "machine": platform.platform()}
    document = {"passed": passed, "steps": command.steps, "seed": command.seed, "seconds": round(seconds, 1), **facts}
    document |= {"findings": [asdict(finding) for finding in findings], "cannot_be_wired_in": CLOSED}
    command.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
