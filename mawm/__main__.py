"""`python -m mawm`: lists the commands."""

import sys

COMMANDS = {
    "train": "train a team and log its curves",
    "evaluate": "win rates of a trained team, with intervals, also with other rules, maps or team members",
    "watch": "battles of a trained team on a page, with what the agents believe and imagine",
    "doctor": "likely faults of a run, or of an environment of your own, and what to try",
    "sweep": "many runs: maps x methods x bandwidths x seeds; a stopped sweep can be continued",
    "tune": "which settings: trials with several seeds, of which the worse ones end early",
    "report": "a page about runs: tables with intervals, figures, versions, commands",
    "plot": "the paper's figures from runs",
    "export": "runs in one file: for marl-eval, or condensed for a repository; an agent's policy as a program",
    "standin": "a stand-in for StarCraft II: SMAC's own code, and programs that use it, run without the game",
    "bench": "speed of engine, learner, codec and checkpoints; fidelity of the engine; speed of learning",
    "audit": "check on this machine that explorers do not change the primary world model",
    "verify": "check statements of the papers on cases with a known answer",
}


def main() -> int:
    """Print a line for each command; exit code 2 if there are arguments other than -h or --help."""
    arguments = " ".join(sys.argv[1:])
    out = sys.stdout if arguments in ("", "-h", "--help") else sys.stderr
    if out is sys.stderr:
        print(f"mawm: unknown command {arguments!r}; the commands are modules:", file=out)
    for name, about in COMMANDS.items():
        print(f"  python -m mawm.{name:<10}{about}", file=out)
    print("--help after a command describes its options.", file=out)
    return 0 if out is sys.stdout else 2


if __name__ == "__main__":
    sys.exit(main())
