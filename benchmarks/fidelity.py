"""Compares battles of the embedded engine with measurements on StarCraft II, one row for each measurement."""

import math
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.benchmarks import battle_scripts as scripts
from mawm.benchmarks.scripted_battles import SCRIPTS, scripted
from mawm.envs.skirmish.maps import map_names
from mawm.envs.skirmish.rules import Rules
from mawm.storage.safe_read import read_json

SCORE_TOLERANCE, LENGTH_TOLERANCE, WON_TOLERANCE = 0.05, 0.10, 0.15
"""Largest accepted difference: of a score (or two standard errors, if larger), of a length (share), of a win rate."""
LENGTHS = ("early", "all_won")
SEED = 5


@dataclass(frozen=True)
class Row:
    """One measurement: real value, its standard deviation (0: unknown), engine's value, difference, and acceptance.

    `held` is None if the row has no tolerance. `ours` is None if the engine gives no value, e.g. no battle was won.
    """

    map: str
    test: str
    real: float
    spread: float
    ours: float | None
    difference: float | None
    held: bool | None


@dataclass(frozen=True)
class Report:
    """All rows, root-mean-square errors (None without such rows), and the number of accepted rows (`held` of `of`)."""

    rules: dict[str, Any]
    battles: int
    rows: list[Row]
    rms_ac: float | None
    rms_aw: float | None
    rms_score: float | None
    """RMS error of the scores of AC and AW together."""
    rms_log_length: float | None
    """RMS of log(ours / real) over the early lengths."""
    held: int
    of: int


def report(rules: Rules, battles: int, files: tuple[Path, ...]) -> Report:
    """Compare with the measurements in `files`, or with those of the package if there are none.

    ValueError names the mistake in a file.
    """
    tables = [(str(path), read_json(path).get("maps")) for path in files]
    rows = [row for name, table in tables for row in _rows_of_file(name, table, rules, battles)]
    if not files:
        rows = list(_rows_of_package(rules, battles))
    errors = {s: [r.difference for r in rows if r.test == s and r.difference is not None] for s in ("AC", "AW")}
    lengths = [math.log(r.ours / r.real) for r in rows if r.test == "early length" and r.ours and r.real]
    judged = [row.held for row in rows if row.held is not None]
    return Report(
        asdict(rules), battles, rows, _rms(errors["AC"]), _rms(errors["AW"]), _rms(errors["AC"] + errors["AW"]),
        _rms(lengths), sum(judged), len(judged),
    )  # fmt: skip


def _rms(errors: list[float]) -> float | None:
    return float(np.sqrt(np.mean(np.square(errors)))) if errors else None


def _rows_of_package(rules: Rules, battles: int) -> Iterator[Row]:
    text = (resources.files("mawm.benchmarks") / "fidelity.toml").read_text()
    table = tomllib.loads(text)
    for name, cells in table["scripted"].items():
        for script, cell in cells.items():
            yield _scripted(name, script, cell["mean"], cell["sd"], cell["battles"], rules, battles)
    for name, cells in table["evaluations"].items():
        for test, cell in cells.items():
            yield _length(name, test, cell["length"], cell.get("sd", 0.0), rules, battles)
    for name, won in table["attack_closest"].items():
        # These real figures are of 4.6.2.
        ours = float(_play(name, replace(rules, version="4.6.2"), battles, scripts.attack_closest).won.mean())
        yield _row(name, "attack closest: won", won, 0.0, ours, abs(ours - won) <= WON_TOLERANCE)
    yield from micro_rows(rules, battles)


def _rows_of_file(file: str, table: Any, rules: Rules, battles: int) -> Iterator[Row]:
    """Rows for one JSON file with scores of scripted battles or lengths of evaluations."""
    if not isinstance(table, dict) or not table:
        raise ValueError(f"{file} has no figures: it needs a key 'maps' with a table of maps")
    for name, cells in table.items():
        if name not in map_names():
            raise ValueError(f"{file}: map '{name}' is unknown; known are {', '.join(map_names())}")
        if not isinstance(cells, dict) or not cells:
            raise ValueError(f"{file}: {name} must be a table with at least one figure")
        for test, cell in cells.items():
            yield _row_of_cell(f"{file}: {name}.{test}", name, test, cell, rules, battles)


def _row_of_cell(where: str, name: str, test: str, cell: Any, rules: Rules, battles: int) -> Row:
    if not isinstance(cell, dict) or test not in (*SCRIPTS, *LENGTHS):
        raise ValueError(f"{where} must be a table under one of {', '.join((*SCRIPTS, *LENGTHS))}")
    if test in SCRIPTS:
        score = _numbers(cell.get("score"), f"{where}.score", "a list of numbers, one a battle")
        spread = float(np.std(score, ddof=1)) if len(score) > 1 else 0.0
        return _scripted(name, test, float(np.mean(score)), spread, len(score), rules, battles)
    length = _numbers([cell.get("length")], f"{where}.length", "a number of steps")[0]
    spread = _numbers([cell.get("length_sd", 0.0)], f"{where}.length_sd", "a number")[0]
    if length == 0.0:
        raise ValueError(f"{where}.length must be a number of steps above 0")
    return _length(name, test, length, spread, rules, battles)


def _numbers(values: Any, where: str, rule: str) -> list[float]:
    if not isinstance(values, list) or not values or not all(type(v) in (int, float) for v in values):
        raise ValueError(f"{where} must be {rule}")
    if not all(math.isfinite(v) and v >= 0.0 for v in values):
        raise ValueError(f"{where} must be {rule}, none of them below 0 or infinite")
    return [float(v) for v in values]


def _row(map_name: str, test: str, real: float, spread: float, ours: float | None, held: bool | None) -> Row:
    return Row(map_name, test, real, spread, ours, None if ours is None else ours - real, held)


def _scripted(name: str, script: str, real: float, sd: float, played: int, rules: Rules, battles: int) -> Row:
    ours = float(scripted(name, script, rules, battles)[:, 0].mean())
    tolerance = max(SCORE_TOLERANCE, 2.0 * sd / math.sqrt(played))
    return _row(name, script, real, sd, ours, abs(ours - real) <= tolerance)


def _length(name: str, test: str, real: float, spread: float, rules: Rules, battles: int) -> Row:
    """Mean length of a uniform policy's battles ("early"), or of battles won by a script ("all_won").

    The latter has no tolerance, because the policies that won the real battles are not known.
    """
    if test == "early":
        # Lengths vary more than scores, so their mean needs five times as many battles for a similar precision.
        rng = np.random.default_rng(SEED)
        uniform = _play(
            name, rules, 5 * battles,
            lambda env, step: np.where(step.avail, rng.random(step.avail.shape), -1.0).argmax(2),
        )  # fmt: skip
        ours = float(uniform.steps.mean())
        return _row(name, "early length", real, spread, ours, abs(ours - real) <= LENGTH_TOLERANCE * real)
    outcome = _play(name, rules, battles, _winning_script(name, battles))
    length = float(outcome.steps[outcome.won].mean()) if outcome.won.any() else None
    return _row(name, "length if won", real, spread, length, None)


def _winning_script(name: str, battles: int) -> scripts.Policy:
    """A script that wins the map, or the script that wins most often."""
    if name == "2m_vs_1z":
        return scripts.AlternatingFire(battles)
    return scripts.StopAlternation(battles, 5) if name == "2s_vs_1sc" else scripts.attack_closest


def _play(name: str, rules: Rules, battles: int, policy: scripts.Policy) -> scripts.Outcome:
    return scripts.play(name, rules, battles, SEED, policy)


def micro_rows(rules: Rules, battles: int) -> Iterator[Row]:
    """Scripts of two agents against one enemy, on 2m_vs_1z and 2s_vs_1sc: outcomes, steps and returns.

    In the real game some of these scripts always win and the others always lose.
    """

    def banded(test: str, real: float, ours: float | None, low: float, high: float) -> Row:
        return _row(name, test, real, 0.0, ours, ours is not None and low <= ours <= high)

    def mean(values: NDArray[Any]) -> float | None:
        return float(values.mean()) if len(values) else None

    name = "2m_vs_1z"
    both = _play(name, rules, battles, scripts.attack_closest)
    share = float(np.mean(np.round(both.taken) == 43))
    yield banded("both attack: zealot loses 43", 0.94, share, 0.70, 1.0)
    fire = _play(name, rules, battles, scripts.AlternatingFire(battles))
    yield banded("alternating fire: won unhurt", 1.0, float((fire.won & ~fire.hurt).mean()), 1.0, 1.0)
    name = "2s_vs_1sc"
    dead = _play(name, rules, battles, scripts.attack_closest)
    yield banded("attack until dead: return", 10.2, float(dead.returns.mean()), 10.0, 10.4)
    yield banded("attack until dead: steps", 45.0, float(dead.steps.mean()), 44.0, 46.0)
    for hits in (1, 5):
        stops = _play(name, rules, battles, scripts.StopAlternation(battles, hits))
        test, won = f"stop after {hits} hit{'s' * (hits > 1)}", stops.won
        yield banded(f"{test}: won", 1.0, float(won.mean()), 0.90, 1.0)
        yield banded(f"{test}: steps if won", 41.0, mean(stops.steps[won]), 39.0, 42.0)
        yield banded(f"{test}: return if won", 20.243, mean(stops.returns[won]), 20.1, 20.3)
    never = _play(name, rules, battles, scripts.StopAlternation(battles, 3))
    yield banded("stop after 3 hits: won", 0.0, float(never.won.mean()), 0.0, 0.0)
    yield banded("stop after 3 hits: return", 12.0, float(never.returns.mean()), 11.8, 12.2)


def text(done: Report) -> Iterator[str]:
    """Lines of a table: a header, one line per row, and the RMS errors."""
    changed = {k: v for k, v in done.rules.items() if v != asdict(Rules())[k] or k == "version"}
    settings = ", ".join(f"{key} {value}" for key, value in changed.items())
    yield f"engine skirmish beside StarCraft II; rules: {settings}; {done.battles} battles a row"
    yield f"{'map':<14}{'test':<32}{'real':>8}{'spread':>8}{'ours':>8}{'differs':>9}  verdict"
    verdicts: dict[bool | None, str] = {True: "holds", False: "differs", None: "no bar"}
    for row in done.rows:
        spread = f"{row.spread:.3f}" if row.spread else "-"
        yield (
            f"{row.map:<14}{row.test:<32}{row.real:>8.3f}{spread:>8}{_shown(row.ours, ''):>8}"
            f"{_shown(row.difference, '+'):>9}  {verdicts[row.held]}"
        )
    yield (
        f"RMS error of scores: AC {_shown(done.rms_ac, '')}, AW {_shown(done.rms_aw, '')}, both "
        f"{_shown(done.rms_score, '')}; of log length {_shown(done.rms_log_length, '')}; "
        f"{done.held} of {done.of} rows hold"
    )


def _shown(value: float | None, sign: str) -> str:
    return "-" if value is None else f"{value:{sign}.3f}"
