"""`python -m mawm.audit gating`: checks on this machine that explorers do not touch the primary world model."""

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
DESCRIPTION = """Check that explorers do not touch the primary world model (docs/gating.md says what that means).

  python -m mawm.audit gating                  under two minutes on two cores; writes audit.json

One stream of the primary is recorded and given to it again beside explorers of every kind, harmful ones too: after
every round the whole state of its world model must have the same hash, and the divergence must be exactly 0. Then the
closed loop, and then leaks that are wired in on purpose, each of which must be seen. Exit code 1 if anything fails."""


@dataclass(frozen=True)
class Command:
    """The command line."""

    what: Annotated[Literal["gating"], tyro.conf.Positional]
    steps: int = 1000
    """Environment steps of the primary."""
    seed: Seed = 0
    """Seed of the primary and of the explorers."""
    out: Path = Path("audit.json")
    """Where the findings are written."""


def main(args: list[str] | None = None) -> int:
    """Parse, audit, print, write."""
    command = parse(Command, prog="python -m mawm.audit", description=DESCRIPTION, args=args)
    if command.steps < LEAST:
        fail(f"--steps must be at least {LEAST}, so that replays wrap and explorers crash in it; got {command.steps}")
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
    for channel, why in CLOSED.items():
        print(f"  --   {'cannot be wired in':<26} {channel:<36} {why}")
    held = all(finding.holds for finding in findings)
    leaks = [finding for finding in findings if finding.claim == "leak is caught"]
    caught = sum(finding.holds for finding in leaks)
    seconds = time.monotonic() - began
    print(
        f"{'passed' if held else 'FAILED'}: {caught} of {len(leaks)} leaks caught, "
        f"{len(findings)} findings, {seconds:.0f} s"
    )
    facts = {"mawm": __version__, "torch": metadata.version("torch"), "machine": platform.platform()}
    document = {"passed": held, "steps": command.steps, "seed": command.seed, "seconds": round(seconds, 1), **facts}
    document |= {"findings": [asdict(finding) for finding in findings], "cannot_be_wired_in": CLOSED}
    command.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
