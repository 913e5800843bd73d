"""The claims of Zeng & Zhang (section 5), each with the number that decides it.

The rules were written before the runs of the study (docs/results/evidence_plan.md). Every comparison is paired by seed:
the interquartile mean of the differences with its 95 % bootstrap interval. The measure is the area under the curve of
the sampled win rate, from the first evaluation to the last step that all runs of the map reach. If an interval
satisfies the rules of both "holds" and "does not hold", the claim holds. The plan's controls are claims of
this kind, too: the first way is better than its control.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mawm.results.aggregate import Estimate, paired_difference
from mawm.results.cells import Cell, maps_of
from mawm.results.record import SAMPLED
from mawm.results.tables import WINS, Table, areas, common_horizon

MARGIN = 0.05
"""Two methods are as good as each other if they differ by less than this share of battles."""
ALL = "all"
TWO_AGENTS = ("2s_vs_1sc", "2m_vs_1z")
LARGER = ("3m", "2s3z")
SMALL = 0.05


class Way(NamedTuple):
    """A way of learning: a cell's method, bandwidth (None where the method has none) and other settings."""

    method: str
    bandwidth: float | None = SMALL
    variant: str = ""

    def __str__(self) -> str:
        sent = "" if self.bandwidth is None else f" {self.bandwidth:g}"
        return f"{self.method}{sent}{f' ({self.variant})' if self.variant else ''}"


ALONE, CENTRALIZED, BOTH = Way("independent", None), Way("centralized", None), Way("both")
Areas = dict[int, float]
"""Area under the curve by seed."""


def above(gain: Estimate) -> str:
    """The verdict on "the difference is above 0"; it does not hold if the interval is below the margin."""
    return _verdict(gain, gain.low > 0.0, gain.high < MARGIN)


def not_below(gain: Estimate) -> str:
    """The verdict on "the difference is above minus the margin"; it does not hold if the interval is below that."""
    return _verdict(gain, gain.low > -MARGIN, gain.high < -MARGIN)


def not_above(gain: Estimate) -> str:
    """The verdict on "the difference is below the margin"; it does not hold if the interval is above it."""
    return _verdict(gain, gain.high < MARGIN, gain.low > MARGIN)


def _verdict(gain: Estimate, holds: bool, fails: bool) -> str:
    if math.isnan(gain.low):
        return "cannot be decided: fewer than three seeds"
    return "holds" if holds else "does not hold" if fails else "cannot be decided with these seeds"


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper as comparisons of two ways on some maps."""

    text: str
    maps: tuple[str, ...] | str
    """Their names, or ALL maps of the study."""
    pairs: tuple[tuple[Way, Way], ...]
    """The difference is the first way's area minus the second's."""
    verdict: Callable[[Estimate], str]


CLAIMS = (
    Claim(
        "sharing beats independent learning",
        ALL,
        tuple((Way(method), ALONE) for method in ("experience", "rollouts", "both")),
        above,
    ),
    Claim("sharing beats centralized", LARGER, ((BOTH, CENTRALIZED),), above),
    Claim("centralized is best with two agents", TWO_AGENTS, ((CENTRALIZED, BOTH),), above),
    Claim(
        "a small bandwidth is as good as all",
        ALL,
        tuple((Way(method), Way(method, 1.0)) for method in ("experience", "rollouts", "both")),
        not_below,
    ),
    Claim(
        "experience and rollouts do not add up",
        ALL,
        tuple((BOTH, Way(method)) for method in ("experience", "rollouts")),
        not_above,
    ),
    *(
        Claim(text, ALL, ((BOTH, Way("both", SMALL, variant)),), above)
        for text, variant in (
            ("the data of other agents matter", "channel self"),
            ("the order in time matters", "channel shuffled"),
            ("the selection matters", "channel random"),
            ("the age of the items matters", "channel stale"),
            ("a threshold that follows the share matters", "selector gaussian"),
        )
    ),
)
"""The claims of section 5, and after them the controls."""


def claims_table(cells: Sequence[Cell]) -> Table | None:
    """A row for each comparison that the runs can decide; None if there is none."""
    measured = {name: _areas_on(name, cells) for name in maps_of(cells)}
    rows = []
    for claim in CLAIMS:
        for name in measured if claim.maps == ALL else [name for name in claim.maps if name in measured]:
            for one, other in claim.pairs:
                if one in measured[name] and other in measured[name]:
                    gain = paired_difference(measured[name][one], measured[name][other])
                    rows.append(_row(claim.text, name, f"{one} - {other}", gain, claim.verdict))
    rows += _alike(measured)
    note = (
        "Difference: area under the curve of the sampled win rate, in percentage points, paired by seed; interquartile "
        f"mean with its 95 % bootstrap interval. Rules: docs/results/evidence_plan.md (margin {100 * MARGIN:g} points)."
    )
    return (
        Table("Claims of the paper", note, ("claim", "map", "difference", "points", "verdict"), tuple(rows))
        if rows
        else None
    )


def _alike(measured: dict[str, dict[Way, Areas]]) -> list[tuple[str, ...]]:
    """Rollouts help more where agents are alike: the gain on 3m less the gain on 2s3z, of the same seeds."""
    gains = []
    for name in LARGER:
        ways = measured.get(name, {})
        one, other = ways.get(Way("rollouts"), {}), ways.get(ALONE, {})
        gains.append({seed: one[seed] - other[seed] for seed in one.keys() & other.keys()})
    if not all(gains):
        return []
    gain = paired_difference(*gains)
    return [_row("rollouts help more where agents are alike", " - ".join(LARGER), "gain of rollouts", gain, above)]


def _row(text: str, name: str, difference: str, gain: Estimate, verdict: Callable[[Estimate], str]) -> tuple[str, ...]:
    return text, name, difference, WINS.difference(gain), verdict(gain)


def _areas_on(name: str, cells: Sequence[Cell]) -> dict[Way, Areas]:
    """The areas of each way on a map."""
    mine = [cell for cell in cells if cell.map == name and cell.wins]
    horizon = common_horizon(mine, SAMPLED)
    return {Way(cell.method, cell.bandwidth, cell.variant): areas(cell, horizon, SAMPLED) for cell in mine}
