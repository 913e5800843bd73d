"""The results of an evaluation as text and as values for JSON."""

from collections.abc import Sequence
from typing import Any

from mawm.evaluation import TeamEvaluation, wilson
from mawm.trained.conditions import Condition
from mawm.types import Metrics

RATES = ("win rate, greedy", "win rate, sampled")
MEANS = ("return", "length", "deaths", "distinct")
NOTE = "return, length (steps), deaths and distinct battles: greedy / sampled; deaths: agents that died in a battle"
SHOWN_ACTIONS = 4
"""Number of actions that the text shows for an agent; JSON has all."""
COMPASS = ("no-op", "stop", "north", "south", "east", "west")
Rows = Sequence[tuple[Condition, TeamEvaluation]]


def action_names(count: int, of_smac: bool) -> list[str]:
    """The names of `count` actions: those of SMAC's contract (healers heal where others attack), or their numbers."""
    if not of_smac:
        return [f"action {i}" for i in range(count)]
    return [*COMPASS, *(f"attack {i}" for i in range(count - len(COMPASS)))]


def facts_of(rows: Rows, agents: Sequence[str]) -> dict[str, Any]:
    """The values for JSON: the first row at the top level, the others in the list `rows`."""
    (_, first), *others = rows
    facts = _row_facts(first, agents)
    facts |= {"low": facts["win_rate_low"], "high": facts["win_rate_high"]}
    if others:
        facts["rows"] = [
            {"label": condition.label, **condition.facts, **_row_facts(outcome, agents)}
            for condition, outcome in others
        ]
    return facts


def _row_facts(outcome: TeamEvaluation, agents: Sequence[str]) -> dict[str, Any]:
    both = zip(agents, outcome.greedy.agent_facts(), outcome.sampled.agent_facts("_sampled"), strict=True)
    counts = ("distinct", "episodes")  # numbers of battles
    metrics = {name: int(value) if name.startswith(counts) else value for name, value in outcome.metrics().items()}
    return {**metrics, "agents": {name: greedy | sampled for name, greedy, sampled in both}}


def lines_of(rows: Rows, *, wins: bool = True) -> list[str]:
    """The lines of the table: a header, one line for each row, and what the columns mean.

    Without `wins`, because the environment may have none, it has no win rates unless a battle was won.
    """
    wins = wins or any(each.wins for _, outcome in rows for each in (outcome.greedy, outcome.sampled))
    lines: list[tuple[str, ...]] = [("conditions", *(RATES if wins else ()), *MEANS)]
    for condition, outcome in rows:
        both = (outcome.greedy, outcome.sampled)
        pairs = (
            [f"{each.mean_return:.2f}" for each in both],
            [f"{each.mean_length:.1f}" for each in both],
            [f"{each.deaths:.2f}" for each in both],
            [str(each.distinct) for each in both],
        )
        rates = [_rate(each.win_rate, each.interval()) for each in both] if wins else []
        lines.append((condition.label, *rates, *(" / ".join(pair) for pair in pairs)))
    return [*_aligned(lines), NOTE]


def agent_lines(outcome: TeamEvaluation, agents: Sequence[str], actions: Sequence[str]) -> list[str]:
    """For each agent: the battles in which it died, and its most frequent actions, both with greedy actions."""
    lines: list[tuple[str, ...]] = [("agent", "died, greedy", "died, sampled", "actions while alive, greedy")]
    for i, name in enumerate(agents):
        both = [(each.agents[i].deaths / each.episodes, each.distinct) for each in (outcome.greedy, outcome.sampled)]
        died = [_rate(share, wilson(share, battles)) for share, battles in both]
        shares = outcome.greedy.agents[i].action_shares()
        most = sorted(range(len(shares)), key=lambda a: -shares[a])[:SHOWN_ACTIONS]
        named = (f"{actions[a]} {100 * shares[a]:.0f} %" for a in most if shares[a] >= 0.005)
        lines.append((name, *died, ", ".join(named)))
    return _aligned(lines)


def _rate(share: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * share:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def error_text(errors: Metrics) -> str:
    """The errors of the world models, as text."""
    return (
        "world model, mean squared error a step ahead (in these battles / in its replay): observations "
        f"{errors['deployed/obs_error']:.4g} / {errors['trained/obs_error']:.4g}, rewards "
        f"{errors['deployed/reward_error']:.4g} / {errors['trained/reward_error']:.4g}"
    )
