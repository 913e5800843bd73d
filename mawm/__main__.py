"""`python -m mawm`: lists the commands."""

import sys

COMMANDS = {
    "train": "train a team and write its curves",
    "evaluate": "win rates of a trained team, with intervals, also under other rules",
    "sweep": "many runs: maps x methods x bandwidths x seeds, through a manifest that survives any stop",
    "report": "a page about runs: tables with intervals, figures, versions, commands",
    "plot": "the paper's figures from runs",
    "export": "runs in one file: for marl-eval, or condensed for a repository",
    "bench": "speed of engine, learner, codec and checkpoints; fidelity of the engine; speed of learning",
    "audit": "check on this machine that explorers do not touch the primary world model",
    "verify": "the papers' statements on cases with a known answer",
}


def main() -> int:
    """Print a line for each command; exit code 2 where something else was asked for."""
    asked = " ".join(sys.argv[1:])
    out = sys.stdout if asked in ("", "-h", "--help") else sys.stderr
    if out is sys.stderr:
        print(f"mawm: there is no command {asked!r} here; the commands are modules:", file=out)
    for name, about in COMMANDS.items():
        print(f"  python -m mawm.{name:<10}{about}", file=out)
    print("Each explains itself with --help.", file=out)
    return 0 if out is sys.stdout else 2


if __name__ == "__main__":
    sys.exit(main())
