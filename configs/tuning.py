"""Tuning: which settings are tried, in a TOML file with a table for each, and by which runs."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Interval

from mawm.configs.check import check
from mawm.configs.presets import load_document, merge
from mawm.configs.settings import Setting, nearest, settings_of, shown
from mawm.configs.train import TrainConfig
from mawm.types import Seed, Steps

REPORTED_SEEDS = 1000
"""Seeds below this one are for runs that are reported. Tuning uses those from here on."""
OWN = (
    "map",
    "method",
    "seed",
    "env_steps",
    "placement",
    "device",
    "log",
    "schedule.eval_every",
    "schedule.eval_battles",
)
"""Settings that the tuning decides itself, or that would make its evaluations differ in more than the team."""
Value = bool | int | float | str


@dataclass(frozen=True)
class TuningConfig:
    """The runs of a trial: the same settings with several seeds. Its value is their mean."""

    map: str = "3m"
    """Map of every run."""
    method: str = "both"
    """Method of every run."""
    env_steps: Steps = TrainConfig.env_steps
    """Environment steps of every run."""
    seeds: Annotated[int, Interval(ge=1, le=1000)] = 2
    """Seeds of a trial: FIRST_SEED, FIRST_SEED + 1, ..., the same for all trials."""
    first_seed: Seed = REPORTED_SEEDS
    """The first seed. Seeds below 1000 are for runs that you report."""
    metric: Literal["return", "win-rate"] = "return"
    """The value of a run: mean return, or win rate, of its final evaluation with sampled actions."""
    prune: Literal["median", "none"] = "median"
    """`median`: a trial ends early if its best evaluation is below the median of the earlier trials at that time."""
    startup: Annotated[int, Interval(ge=1, le=10_000)] = 8
    """Trials with random settings before the sampler learns from them; none of them is pruned."""
    train_preset: str = "default"
    """Preset of mawm.train for every run."""
    train_args: str = ""
    """Further arguments of mawm.train for every run, in one string: --train-args="--bandwidth 0.01"."""


@dataclass(frozen=True)
class Dimension:
    """One setting of a search space: numbers from `low` to `high`, or `categories`."""

    setting: Setting
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    """Whether the numbers are whole."""
    categories: tuple[Value, ...] = ()

    @property
    def name(self) -> str:
        """The setting's name in files."""
        return self.setting.path

    @property
    def extremes(self) -> tuple[Value, ...]:
        """The values that must be allowed for all others to be."""
        return self.categories or ((int(self.low), int(self.high)) if self.whole else (self.low, self.high))

    def flags(self, value: Value) -> tuple[str, ...]:
        """The arguments of mawm.train for a value."""
        if isinstance(value, bool):
            group, _, name = self.setting.flag.removeprefix("--").rpartition(".")
            return (self.setting.flag if value else f"--{group}{'.' if group else ''}no-{name}",)
        return self.setting.flag, str(value)


def check_tuning(config: TuningConfig) -> None:
    """ValueError if seeds for reports would be used."""
    if config.first_seed < REPORTED_SEEDS:
        raise ValueError(
            f"--first-seed {config.first_seed}: seeds below {REPORTED_SEEDS} are for runs that you report, and "
            f"settings chosen on them look better there than they are; give {REPORTED_SEEDS} or more"
        )


def load_space(name: str, base: TrainConfig) -> tuple[Dimension, ...]:
    """A search space of the package or of a file. ValueError if it does not fit the settings of `base`."""
    tables = _tables(load_document("tuning", name), "", name)
    if not tables:
        raise ValueError(
            f"{name}: a search space has a table for each setting, as ['agent.world_model.lr']; it has none"
        )
    known = {setting.path: setting for setting in settings_of(base)}
    found = tuple(_dimension(path, table, known, name) for path, table in tables.items())
    for dimension in found:
        for value in dimension.extremes:
            check(with_values(base, {dimension.name: value}, name))
    return found


def with_values(base: TrainConfig, values: dict[str, Value], where: str) -> TrainConfig:
    """`base` with values of settings by their names. ValueError for a value that its setting does not allow."""
    nested: dict[str, Any] = {}
    for path, value in values.items():
        *groups, last = path.split(".")
        table = nested
        for group in groups:
            table = table.setdefault(group, {})
        table[last] = value
    return merge(base, nested, where)


def _tables(document: dict[str, Any], prefix: str, where: str) -> dict[str, dict[str, Any]]:
    """The innermost tables by their dotted names: ["a.b"] and [a.b] are the same."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in document.items():
        path = f"{prefix}{key}".replace("-", "_")
        if not isinstance(value, dict):
            raise ValueError(f"{where}: {path} must be a table, such as [{path}] with low and high; got {shown(value)}")
        inner = (
            {path: value}
            if not any(isinstance(item, dict) for item in value.values())
            else _tables(value, f"{path}.", where)
        )
        for name, table in inner.items():
            if name in found:
                raise ValueError(f"{where}: [{name}] is there twice")
            found[name] = table
    return found


def _dimension(path: str, table: dict[str, Any], known: dict[str, Setting], name: str) -> Dimension:
    where = f"{name}: [{path}]"
    if path not in known:
        raise ValueError(f"{where} is no setting of mawm.train (--help-all lists them){nearest(path, known)}")
    if path in OWN:
        raise ValueError(f"{where} is not for a search space: every run of a tuning has the same")
    unknown = sorted(table.keys() - {"low", "high", "log", "int", "categories"})
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r} (choose from: low, high, log, int, categories)")
    setting = known[path]
    if "categories" in table:
        return Dimension(setting, categories=_categories(table, where))
    number = type(setting.value) in (int, float)
    if not number:
        raise ValueError(f"{where} is no number: give categories = [...]")
    return _range(setting, table, where)


def _categories(table: dict[str, Any], where: str) -> tuple[Value, ...]:
    items = table["categories"]
    if len(table) > 1:
        raise ValueError(f"{where}: give categories, or low and high, and not both")
    if not isinstance(items, list) or not all(isinstance(item, Value) for item in items):
        raise ValueError(f"{where}: categories must be a list of numbers, texts or switches; got {shown(items)}")
    if len(items) < 2 or len({repr(item) for item in items}) < len(items):
        raise ValueError(f"{where}: categories must name at least two values, and each once; got {shown(items)}")
    return tuple(items)


def _range(setting: Setting, table: dict[str, Any], where: str) -> Dimension:
    for key in ("low", "high"):
        if type(table.get(key)) not in (int, float):
            got = shown(table[key]) if key in table else "nothing"
            raise ValueError(f"{where}: {key} must be a number; got {got}")
    for key in ("log", "int"):
        if not isinstance(table.get(key, False), bool):
            raise ValueError(f"{where}: {key} must be true or false; got {shown(table[key])}")
    low, high, log = table["low"], table["high"], table.get("log", False)
    whole = table.get("int", False) or isinstance(setting.value, int)
    if not low < high:
        raise ValueError(f"{where}: low must be below high; got {shown(low)} and {shown(high)}")
    if log and low <= 0:
        raise ValueError(f"{where}: with log = true, low must be above 0; got {shown(low)}")
    if whole and not (float(low).is_integer() and float(high).is_integer()):
        raise ValueError(f"{where}: low and high must be whole numbers; got {shown(low)} and {shown(high)}")
    return Dimension(setting, float(low), float(high), log, whole)
