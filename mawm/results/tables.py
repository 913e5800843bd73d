"""The report's tables as text. All statistics come from `aggregate`."""

import math
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mawm.results.aggregate import Estimate, area_under_curve, improvement, iqm_interval, paired_difference, steps_to
from mawm.results.cells import Cell, cell_label
from mawm.results.record import WIN_RATE, RunRecord, flat

LEVEL = 0.8
HALF = 0.5
LEVELS = (0.5, 0.8, 0.9)
MISSING = "–"
BASELINE = "independent"
MODES = "Actions are greedy (the mode of each policy) unless a column says sampled."


@dataclass(frozen=True)
class Table:
    """A table with its title and an explanation."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Score:
    """What the teams of a map are compared by."""

    name: str
    """Its name in evaluations, as in `RunRecord.final`."""
    words: str
    shown: Callable[[Estimate], str]
    difference: Callable[[Estimate], str]

    @property
    def names(self) -> tuple[str, str]:
        """The names with greedy and with sampled actions."""
        return self.name, f"{self.name}_sampled"

    @property
    def tag(self) -> str:
        """The tag of the curve with greedy actions."""
        return f"eval/{self.name}"

    @property
    def header(self) -> tuple[str, str]:
        """The heads of the columns with the last policy's results."""
        return f"final {self.words}", f"final {self.words}, sampled"


def score_of(cells: Sequence[Cell]) -> Score:
    """The win rate; the return if no cell has wins, because nothing in the environment is a win."""
    return WINS if any(cell.wins for cell in cells) or not cells else RETURNS


def results_table(name: str, cells: Sequence[Cell]) -> Table:
    """One row per cell of a map: results of the last policies, and the area under the curve."""
    mine = [cell for cell in cells if cell.map == name]
    score = score_of(mine)
    wins = score is WINS
    horizon = common_horizon(mine, score.tag)
    header: tuple[str, ...] = ("method", "bandwidth", "other settings", "seeds", *score.header)
    header += (f"seeds below {100 * HALF:g} %", "area under curve") if wins else ("area under curve",)
    rows = []
    for cell in mine:
        finals = [list(cell.finals_of(name).values()) for name in score.names]
        rows.append(
            (
                cell_label(cell.method),
                MISSING if cell.bandwidth is None else f"{cell.bandwidth:g}",
                cell.variant or MISSING,
                ", ".join(str(run.seed) for run in cell.runs),
                *(score.shown(iqm_interval([values])) for values in finals),
                *((_below(finals[1] or finals[0]),) if wins else ()),
                score.shown(iqm_interval([list(areas(cell, horizon, score.tag).values())])),
            )
        )
    below = f"Seeds below {100 * HALF:g} %: by the final win rate, sampled (greedy in old runs). " if wins else ""
    note = (
        "Interquartile mean over seeds with its 95 % bootstrap interval (from three seeds on). Final: the last policy. "
        f"{MODES} {below}Area: {score.words} averaged over training, from the first evaluation to {horizon:.0f} "
        "environment steps."
    )
    return Table(f"Results on {name}", note, header, tuple(rows))


def speed_table(name: str, cells: Sequence[Cell]) -> Table:
    """One row per cell of a map: how early it learned, the bytes that it sent, and its returns."""
    mine = [cell for cell in cells if cell.map == name]
    wins = score_of(mine) is WINS
    reached = (f"steps to {100 * LEVEL:g} %", f"MB to {100 * LEVEL:g} %") if wins else ()
    rows = [
        (
            cell.label,
            *((_steps(cell), _megabytes(cell)) if wins else ()),
            _mean([run.last("channel/realised_bandwidth") for run in cell.runs], "{:.4f}"),
            _mean([sent[-1] / 1e6 for run in cell.runs if len(sent := run.bytes_sent()[1])], "{:,.1f}"),
            number(iqm_interval([list(cell.finals_of("return").values())])),
        )
        for cell in mine
    ]
    to_level = (
        f"Steps: median over seeds of the first evaluation at or above {100 * LEVEL:g} %, and how many seeds reached "
        "it; MB: what the team had sent by then. "
    )
    note = (
        f"{to_level if wins else ''}Realised bandwidth and MB sent: mean over seeds; a broadcast counts once. Return: "
        "that of the last policy, greedy."
    )
    header = ("method", *reached, "realised bandwidth", "MB sent", "final return")
    return Table(f"Speed and bytes on {name}", note, header, tuple(rows))


def conditions_table(name: str, cells: Sequence[Cell]) -> Table | None:
    """Results under other conditions than those of the training, say rules that vary more; None without any."""
    mine = [cell for cell in cells if cell.map == name]
    score, rows = score_of(mine), []
    for cell in mine:
        for label in dict.fromkeys(label for run in cell.runs for label in run.conditions):
            shifted = [cell.finals_of(f"{label}/{key}") for key in score.names]
            losses = [
                paired_difference(new, cell.finals_of(key)) for new, key in zip(shifted, score.names, strict=True)
            ]
            rows.append(
                (
                    cell.label, label, str(len(shifted[0])),
                    *(score.shown(iqm_interval([list(values.values())])) for values in shifted),
                    *map(score.difference, losses),
                )
            )  # fmt: skip
    note = (
        "The last policy under other conditions than those of its training, and the difference by seed. Interquartile "
        "mean over seeds with its 95 % bootstrap interval (from three seeds on)."
    )
    header = ("method", "conditions", "seeds", *score.header, "difference", "difference, sampled")
    return Table(f"Other conditions on {name}", note, header, tuple(rows)) if rows else None


def improvement_table(name: str, cells: Sequence[Cell]) -> Table | None:
    """P(the row's method beats the column's) on a map; None with fewer than two cells."""
    mine = [cell for cell in cells if cell.map == name and cell.finals]
    score = score_of(mine)
    if len(mine) < 2:
        return None
    finals = [list(cell.finals_of(score.name).values()) for cell in mine]
    rows = [
        (row.label, *(MISSING if one is other else probability(improvement(one, other)) for other in finals))
        for row, one in zip(mine, finals, strict=True)
    ]
    note = (
        f"The probability that a run of the row ends with a higher {score.words} than a run of the column: "
        "Mann-Whitney U / (n m), ties count one half; 0.5 is no difference. Interval: 95 % bootstrap over seeds, from "
        "three seeds on."
    )
    header = ("beats, with probability", *(cell.label for cell in mine))
    return Table(f"Probability of improvement on {name}", note, header, tuple(rows))


def deployment_table(name: str, cells: Sequence[Cell]) -> Table | None:
    """Returns after training and errors of the world models on a map; None if no run recorded them."""
    measures = [f"{kind}_error" for kind in ("obs", "reward")]
    rows = []
    for cell in cells:
        found = [e for run in cell.runs if (e := run.evaluation) and f"deployed/{measures[0]}" in e]
        if cell.map != name or not found:
            continue
        columns = [number(iqm_interval([[e["return"] for e in found]]))]
        for measure in measures:
            deployed, trained = ([e[f"{where}/{measure}"] for e in found] for where in ("deployed", "trained"))
            gaps = [d - t for d, t in zip(deployed, trained, strict=True)]
            columns += [number(iqm_interval([deployed])), number(iqm_interval([gaps]))]
        rows.append((cell.label, str(len(found)), *columns))
    note = (
        "After training, in battles without exploration: the return, and the world models' mean squared errors one "
        "step ahead (mean over learners). Gap: that error less the error in what the models were trained on. "
        "Interquartile mean over seeds with its 95 % bootstrap interval (from three seeds on)."
    )
    header = ("method", "seeds", "return", "observation error", "its gap", "reward error", "its gap")
    return Table(f"Deployment on {name}", note, header, tuple(rows)) if rows else None


def difference_table(name: str, cells: Sequence[Cell]) -> Table | None:
    """Final win rate (or return) and area minus those of independent learning by seed; None without common seeds."""
    mine = [cell for cell in cells if cell.map == name and cell.finals]
    plain = next((cell for cell in mine if cell.method == BASELINE), None)
    if plain is None:
        return None
    score = score_of(mine)
    horizon = common_horizon(mine, score.tag)
    rows = []
    for cell in mine:
        pairs = [(cell.finals_of(name), plain.finals_of(name)) for name in score.names]
        pairs.append((areas(cell, horizon, score.tag), areas(plain, horizon, score.tag)))
        estimates = [paired_difference(one, other) for one, other in pairs]
        if cell is not plain and math.isfinite(estimates[0].value):
            paired = cell.finals.keys() & plain.finals.keys()
            rows.append((cell.label, str(len(paired)), *(score.difference(each) for each in estimates)))
    unit = ", in percentage points" if score is WINS else ""
    note = f"Interquartile mean of the differences between runs of the same seed{unit}. {MODES}"
    header = ("method", "pairs", *score.header, "area under curve")
    return Table(f"Gain over {plain.label} on {name}", note, header, tuple(rows)) if rows else None


def runs_table(cells: Sequence[Cell]) -> Table:
    """One row per run: steps to three win rates, duration, final results. Returns where an environment has no wins."""
    wins, returns = any(cell.wins for cell in cells), any(not cell.wins for cell in cells)
    rows = []
    for cell in cells:
        for run in cell.runs:
            reached = [steps_to(run.curve(WIN_RATE), level) for level in LEVELS]
            rows.append(
                (
                    run.map,
                    cell.label,
                    str(run.seed),
                    *(f"{steps:.0f}" if math.isfinite(steps) else MISSING for steps in reached if wins),
                    _mean([run.last("wall_s") / 60], "{:.1f}"),
                    _mean([run.last("channel/realised_bandwidth")], "{:.4f}"),
                    *((_rate(run, name) if run.wins else MISSING) for name in WINS.names if wins),
                    *(_mean([run.final(name)], "{:.4g}") for name in RETURNS.names if returns),
                    _distinct(run),
                )
            )
    rates = "Steps to a win rate: the first evaluation in training at or above it. " if wins else ""
    interval = ", with the 95 % Wilson interval over its distinct battles" if wins else ""
    note = (
        f"{rates}Final: the last policy{interval}. {MODES} Distinct battles: those that differ in their sequence of "
        "joint actions, greedy and sampled, and all battles played each way."
    )
    levels = tuple(f"steps to {100 * level:g} %" for level in LEVELS if wins)
    last = (*(WINS.header if wins else ()), *(RETURNS.header if returns else ()), "distinct battles")
    return Table("Runs", note, ("map", "method", "seed", *levels, "minutes", "realised bandwidth", *last), tuple(rows))


def _rate(run: RunRecord, name: str) -> str:
    """`75.0 % [70.0, 80.0]`; without the interval if the run recorded none."""
    value, (low, high) = run.final(name), run.final_interval(name)
    if not math.isfinite(value):
        return MISSING
    return f"{100 * value:.1f} %" + (f" [{100 * low:.1f}, {100 * high:.1f}]" if math.isfinite(low) else "")


def _distinct(run: RunRecord) -> str:
    """`236, 256 of 256`: greedy, sampled, all; older runs have no such numbers."""
    counts = [run.final(f"distinct_battles{mode}") for mode in ("", "_sampled")]
    if not all(map(math.isfinite, counts)):
        return MISSING
    return f"{counts[0]:.0f}, {counts[1]:.0f} of {run.final_battles}"


def facts_table(runs: Sequence[RunRecord]) -> Table:
    """Versions and machine: each distinct value with its number of runs."""
    seen: dict[str, Counter[str]] = {}
    for run in runs:
        for key, value in flat(run.facts).items():
            if key != "commands":
                seen.setdefault(key, Counter())[str(value)] += 1
    rows = tuple((key, str(value), str(count)) for key, found in seen.items() for value, count in found.most_common())
    return Table("Versions and machine", "As the runs recorded them.", ("fact", "value", "runs"), rows)


def commands_table(runs: Sequence[RunRecord]) -> Table:
    """The command of every run: recorded, or rebuilt from its main settings."""
    rows = tuple((run.folder.name, *command_of(run)) for run in runs)
    note = (
        "`recorded`: the command that was typed. `rebuilt`: the run recorded none; settings not named are in its "
        "config.json."
    )
    return Table("Commands", note, ("run", "command", "source"), rows)


def command_of(run: RunRecord) -> tuple[str, str]:
    """A run's command, and whether it is recorded or rebuilt."""
    recorded = run.facts.get("commands")
    if isinstance(recorded, list) and recorded:
        return "; ".join(map(str, recorded)), "recorded"
    options = {"map": run.config["map"], "method": run.method, "bandwidth": f"{run.bandwidth:g}", "seed": run.seed}
    options |= {"env-steps": run.config["env_steps"]} if "env_steps" in run.config else {}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return shlex.join(["python", "-m", "mawm.train", *words]), "rebuilt"


def _shown(form: str, scale: float = 1.0, unit: str = "") -> Callable[[Estimate], str]:
    """How an estimate is shown: `87.5 % [80.1, 93.2]`, or with the reason for a missing interval."""

    def shown(estimate: Estimate) -> str:
        if not math.isfinite(estimate.value):
            return MISSING
        value, low, high = (format(scale * each, form) for each in (estimate.value, estimate.low, estimate.high))
        if not math.isfinite(estimate.low):
            return f"{value}{unit} ({estimate.seeds} seed{'s' * (estimate.seeds > 1)}: no interval)"
        return f"{value}{unit} [{low}, {high}]"

    return shown


number, probability = _shown(".3g"), _shown(".2f")
WINS = Score("win_rate", "win rate", _shown(".1f", 100.0, " %"), _shown("+.1f", 100.0, " points"))
RETURNS = Score("return", "return", number, _shown("+.3g"))


def common_horizon(cells: Sequence[Cell], tag: str) -> float:
    """The number of environment steps that all curves of a tag reach."""
    return min((curve[0][-1] for cell in cells for curve in cell.curves(tag)), default=0.0)


def areas(cell: Cell, horizon: float, tag: str) -> dict[int, float]:
    """Area under the curve of a tag by seed, for seeds that have one."""
    found = {run.seed: area_under_curve(run.curve(tag), horizon) for run in cell.runs}
    return {seed: area for seed, area in found.items() if math.isfinite(area)}


def _below(finals: Sequence[float]) -> str:
    """`1 of 5`: the seeds that end below a win rate of one half."""
    return f"{sum(value < HALF for value in finals)} of {len(finals)}" if finals else MISSING


def _megabytes(cell: Cell) -> str:
    """Median of the megabytes sent until the first evaluation at the level, over the seeds that reached it."""
    sent = []
    for run in cell.runs:
        reached, (steps, total) = steps_to(run.curve(WIN_RATE), LEVEL), run.bytes_sent()
        if math.isfinite(reached) and len(steps):
            sent.append(float(np.interp(reached, steps, total)) / 1e6)
    return f"{np.median(sent):,.1f}" if sent and cell.bandwidth is not None else MISSING


def _steps(cell: Cell) -> str:
    reached = [steps_to(curve, LEVEL) for curve in cell.curves(WIN_RATE)]
    if not reached:
        return MISSING
    median = float(np.median(reached))
    share = f"{sum(map(math.isfinite, reached))} of {len(reached)}"
    return f"{f'{median:.0f}' if math.isfinite(median) else MISSING} ({share})"


def _mean(values: Sequence[float], form: str) -> str:
    values = [value for value in values if math.isfinite(value)]
    return form.format(np.mean(values)) if values else MISSING
