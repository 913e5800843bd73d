"""The trials of a tuning: Optuna proposes settings (ask) and learns their values (tell); a runner trains them."""

import itertools
import json
import math
import shlex
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mawm.configs.check import check
from mawm.configs.settings import shown
from mawm.configs.train import TrainConfig
from mawm.configs.tuning import Dimension, TuningConfig, Value, with_values
from mawm.seeds import named_generator
from mawm.sweeps.grid import PlannedRun
from mawm.sweeps.progress import evaluations_of
from mawm.sweeps.runner import Runner

STUDY = "tuning"
"""Name of the study in its file."""
JOURNAL = "optuna.journal"
"""File of a tuning's folder with all trials, by Optuna's JournalStorage."""
TAGS = {"return": "eval/return_sampled", "win-rate": "eval/win_rate_sampled"}
"""Tags in metrics.jsonl of the evaluations in training, by metric."""


def open_study(folder: Path, config: TuningConfig, dimensions: tuple[Dimension, ...]) -> Any:
    """The study in a folder, which is made or continued. ValueError if it was begun with other settings."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend), study_name=STUDY, direction="maximize",
            pruner=make_pruner(config), load_if_exists=True,
        )  # fmt: skip
    settings = _described(config, dimensions)
    begun = study.user_attrs.get("settings", settings)
    changed = sorted(name for name in settings if begun.get(name) != settings[name])
    if changed:
        name = changed[0]
        raise ValueError(
            f"{folder} holds a tuning with another {name} ({json.dumps(begun.get(name))}; this one has "
            f"{json.dumps(settings[name])}); choose another --out"
        )
    study.set_user_attr("settings", settings)
    return study


def make_pruner(config: TuningConfig) -> Any:
    """The rule that ends trials early."""
    import optuna

    if config.prune == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=config.startup)


def _described(config: TuningConfig, dimensions: tuple[Dimension, ...]) -> dict[str, Any]:
    """The settings that must be equal, so that trials are comparable."""
    space = {d.name: [d.low, d.high, d.log, d.whole, list(d.categories)] for d in dimensions}
    return {**asdict(config), "search space": space}


@dataclass
class Trial:
    """A trial whose value Optuna does not have yet."""

    runs: list[PlannedRun]
    handle: Any
    """Optuna's trial."""
    reported: int = 0
    """Number of evaluations that Optuna knows."""


class Trials:
    """Called once per round with the runner: reports to Optuna, prunes, and asks for more trials."""

    def __init__(
        self, study: Any, config: TuningConfig, dimensions: tuple[Dimension, ...], base: TrainConfig, count: int
    ) -> None:
        """`base` has the settings that are not tuned; `count` is the number of trials of the study, old ones too."""
        self.study = study
        self.config = config
        self.dimensions = dimensions
        self.base = base
        self.count = count
        self.open: list[Trial] = []

    def continue_trials(self, runner: Runner) -> None:
        """Take up the trials that an earlier call has left unfinished, then ask for more."""
        import optuna

        for frozen in self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            handle = optuna.trial.Trial(self.study, frozen._trial_id)  # a trial of another process has no public handle
            self._begin(handle, runner, len(frozen.intermediate_values))
        self._ask(runner)

    def __call__(self, runner: Runner) -> None:
        """One round."""
        for trial in list(self.open):
            self._report(trial, runner)
            self._tell(trial, runner)
        if not runner.stops:
            self._ask(runner)

    def table(self, count: int) -> list[str]:
        """The best trials, a line each, and how many there are of each kind."""
        import optuna

        states = [trial.state for trial in self.study.get_trials(deepcopy=False)]
        ended = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL", "unfinished": "RUNNING"}
        counts = ", ".join(f"{states.count(optuna.trial.TrialState[name])} {word}" for word, name in ended.items())
        lines = [f"{len(states)} trials: {counts}"]
        best = self._best()[:count]
        if best:
            lines.append(f"{'trial':>5}  {self.config.metric + ', mean of the seeds (each)':<44}  settings")
        for trial in best:
            each = " ".join(f"{value:.4g}" for value in trial.user_attrs["values"])
            settings = " ".join(f"{name}={shown(value)}" for name, value in trial.params.items())
            lines.append(f"{trial.number:>5}  {f'{trial.value:.4g} ({each})':<44}  {settings}")
        return lines

    def best_command(self) -> str | None:
        """The command that trains with the settings of the best trial; None if no trial has a value."""
        best = self._best()
        return shlex.join(["python", "-m", "mawm.train", *self.arguments(best[0].params)]) if best else None

    def _best(self) -> list[Any]:
        """The trials with values, best first; of equal ones the earliest."""
        import optuna

        complete = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        return sorted(complete, key=lambda trial: (-trial.value, trial.number))

    def _ask(self, runner: Runner) -> None:
        """Ask for trials: as many at a time as have room for all their seeds, at least one."""
        import optuna

        at_once = -(-runner.jobs // self.config.seeds)
        while len(self.open) < at_once and len(self.study.trials) < self.count:
            # A new generator for each trial: after a stop the same trials follow as without it.
            seed = int(named_generator(self.config.first_seed, f"tuning/{len(self.study.trials)}").integers(2**32))
            self.study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.config.startup)
            handle = self.study.ask()
            self._begin(handle, runner, 0)

    def _begin(self, handle: Any, runner: Runner, reported: int) -> None:
        import optuna

        values = self._values(handle)
        try:
            check(with_values(self.base, values, f"trial {handle.number}"))
        except ValueError:  # settings that do not fit together
            self.study.tell(handle.number, state=optuna.trial.TrialState.FAIL)
            return
        first = self.config.first_seed
        runs = [self._run(handle.number, values, seed) for seed in range(first, first + self.config.seeds)]
        runner.add(runs)
        self.open.append(Trial(runs, handle, reported))

    def _values(self, handle: Any) -> dict[str, Value]:
        """A trial's values by the names of the settings: drawn at the first call, the same ones later."""
        values: dict[str, Value] = {}
        for each in self.dimensions:
            if each.categories:
                values[each.name] = handle.suggest_categorical(each.name, each.categories)
            elif each.whole:
                values[each.name] = handle.suggest_int(each.name, int(each.low), int(each.high), log=each.log)
            else:
                values[each.name] = handle.suggest_float(each.name, each.low, each.high, log=each.log)
        return values

    def _run(self, number: int, values: dict[str, Value], seed: int) -> PlannedRun:
        config = replace(with_values(self.base, values, f"trial {number}"), seed=seed)
        own = (*self.arguments(values)[:4], "--seed", str(seed), *self.arguments(values)[4:], "--placement", "inline")
        return PlannedRun(f"t{number:04d}_s{seed}", config, own)

    def arguments(self, values: dict[str, Value]) -> tuple[str, ...]:
        """The arguments of mawm.train for a trial's values, without a seed."""
        config, flags = self.config, [each.flags(values[each.name]) for each in self.dimensions]
        return (
            "--map", config.map, "--method", config.method, "--env-steps", str(config.env_steps),
            "--preset", config.train_preset, *shlex.split(config.train_args), *itertools.chain(*flags),
        )  # fmt: skip

    def _report(self, trial: Trial, runner: Runner) -> None:
        """Report the means of evaluations that all seeds have made, and give the trial up if they are low."""
        tag = TAGS[self.config.metric]
        series = [evaluations_of(runner.folder / run.name, tag) for run in trial.runs]
        for values in list(zip(*series, strict=False))[trial.reported :]:
            trial.reported += 1
            trial.handle.report(sum(values) / len(values), trial.reported)
            if trial.handle.should_prune():
                self._end(trial, "pruned", runner)
                return

    def _tell(self, trial: Trial, runner: Runner) -> None:
        """Give Optuna the trial's value if all its runs are done; end the trial if a run has failed."""
        if trial not in self.open:
            return
        entries = [runner.manifest.runs[run.name] for run in trial.runs]
        if any(entry.state == "failed" for entry in entries):
            self._end(trial, "failed", runner)
        elif all(entry.state == "done" for entry in entries):
            rates = self.config.metric == "win-rate"
            values = [entry.win_rate_sampled if rates else entry.mean_return_sampled for entry in entries]
            known = [value for value in values if value is not None and math.isfinite(value)]
            if len(known) < len(values):
                self._end(trial, "failed", runner)
                return
            trial.handle.set_user_attr("values", known)
            self.study.tell(trial.handle.number, sum(known) / len(known))
            self.open.remove(trial)

    def _end(self, trial: Trial, how: Literal["pruned", "failed"], runner: Runner) -> None:
        import optuna

        states = {"pruned": optuna.trial.TrialState.PRUNED, "failed": optuna.trial.TrialState.FAIL}
        self.study.tell(trial.handle.number, state=states[how])
        self.open.remove(trial)
        for run in trial.runs:
            runner.prune(run)
