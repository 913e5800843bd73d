"""Random settings in files and on the command line are refused in one helpful line, or they run."""

import contextlib
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from annotated_types import Interval
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from real_runs import Figure

from mawm.configs.check import PRODUCTS, check
from mawm.configs.presets import load_preset, merge
from mawm.configs.settings import Setting, allowed, settings_of, shown
from mawm.configs.train import TrainConfig
from mawm.sharing.selectors import SELECTORS
from mawm.train import Command, configure, main

EXAMPLES = [(60, 15, 4), pytest.param(17_500, 2_000, 500, marks=pytest.mark.slow)]
"""Numbers of examples: settings in files, command lines, and runs."""
RELAXED: dict[str, Any] = {
    "deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck),
}  # fmt: skip
Key = tuple[str, ...]
Change = tuple[Key, Any]


def plain(setting: Setting) -> Any:
    """The type of a setting without its annotations."""
    return getattr(setting.kind, "__origin__", None) if hasattr(setting.kind, "__metadata__") else setting.kind


SETTINGS: dict[Key, Setting] = {tuple(setting.path.split(".")): setting for setting in settings_of(TrainConfig())}
LEAVES = {path: plain(setting) for path, setting in SETTINGS.items()}
RANGES = {
    path: (beside.ge, beside.le)
    for path, setting in SETTINGS.items()
    for beside in getattr(setting.kind, "__metadata__", ())
    if isinstance(beside, Interval)
}
FLAT = {"sharing", "gating"}
"""Groups whose settings have no prefix on the command line."""
words = st.one_of(st.sampled_from(["both", "bth", "gaussian", "3m", "", "nan", "1e999", "0x10"]), st.text(max_size=12))
others = st.one_of(words, st.booleans(), st.none(), st.lists(st.integers(), max_size=2), st.just("9" * 5000))
numbers = st.one_of(st.integers(-(10**30), 10**30), st.floats(), st.sampled_from([0, 1, -1, 0.5, 1e-9, 10**400]))


def around(low: float, high: float) -> st.SearchStrategy[Any]:
    """Numbers in a range, at its ends and just beyond them."""
    inside = st.integers(low, high) if isinstance(low, int) else st.floats(low, high)
    return st.one_of(inside, st.sampled_from([low, high, low - 1, high + 1, 2 * high]))


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """A setting, sometimes misspelt by one more letter, and any value."""
    path = draw(st.sampled_from(list(LEAVES)))
    kinds = [numbers, others] + ([around(*RANGES[path])] * 2 if path in RANGES else [])
    if get_origin(LEAVES[path]) is Literal:
        kinds += [st.sampled_from(get_args(LEAVES[path]))] * 2
    value = draw(st.one_of(kinds))
    if draw(st.integers(0, 9)) == 0:
        path = (*path[:-1], path[-1] + draw(st.sampled_from(["x", "_", "s"])))
    return path, value


def nested(changed: list[Change]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in changed:
        reduce(lambda table, key: table.setdefault(key, {}), path[:-1], tree)[path[-1]] = value
    return tree


def flag(path: Key) -> str:
    return "--" + ".".join(path[1:] if path[0] in FLAT and len(path) > 1 else path).replace("_", "-")


def told(value: Any, said: str) -> bool:
    """Whether a message quotes a value (of a list, an item): as written, or as the number it stands for."""
    meant = {shown(value), shown(str(value)), *(map(shown, value) if isinstance(value, list) else ())}
    for kind in (int, float, lambda text: int(Decimal(text))):
        with contextlib.suppress(TypeError, ValueError, ArithmeticError):
            meant.add(shown(kind(str(value))))
    return any(text in said for text in meant)


def explained(change: Change, said: str) -> bool:
    """Whether a refusal names this setting, its value and what is allowed; of an unknown key, the nearest."""
    path, value = change
    if path not in LEAVES:
        known = [leaf for leaf in LEAVES if leaf[:-1] == path[:-1] and path[-1].startswith(leaf[-1])]
        assert known
        near = [f"did you mean {leaf[-1]!r}" for leaf in known] + [flag(leaf) for leaf in known]
        return "unknown" in said and any(name in said.partition(";")[2] for name in near)
    named = ".".join(path) in said or flag(path) in said
    choices = [str(choice) for choice in get_args(LEAVES[path]) if get_origin(LEAVES[path]) is Literal]
    rules = ("must be ", "at most", "at least", "between", "cannot be loaded")
    return named and told(value, said) and any(rule in said for rule in rules) and all(c in said for c in choices)


def dry(path: Key) -> st.SearchStrategy[Any]:
    """Values of a setting with which a run takes a second: all of a small range, or the low end of a large one."""
    by_name = {
        "map": st.sampled_from(["3m", "market", "2s3z", "3n", ""]),
        "device": st.sampled_from(["cpu", "cuda:99", "gpu"]),
        "selector": st.sampled_from([*SELECTORS, "gausian", "no_such_module:f"]),
        "placement": st.just("inline"),
        "topology": st.sampled_from(["full", "ring", "star", "rings"]),
        "key_file": st.sampled_from(["", "no_such_file"]),
        "ray_address": st.sampled_from(["auto", "local", "head:6379", "two words", ""]),
        "success": st.sampled_from(["auto", "battle_won", "return>=5", "return>5", "no flag"]),
        "updates_per_step": st.floats(0.0, 1.0),
        "updates_per_behaviour": st.floats(0.1, 10.0),
    }
    if path[-1] in by_name:
        return by_name[path[-1]]
    if get_origin(LEAVES[path]) is Literal:
        return st.sampled_from(get_args(LEAVES[path]))
    low, high = RANGES[path]
    if LEAVES[path] is float:
        return st.one_of(st.floats(low, high), st.sampled_from([low, high]))
    small = st.integers(low, min(high, low + 40))
    return st.one_of(small, st.just(low))


SMALL = (
    "--preset", "debug", "--env-steps", "48", "--placement", "inline", "--schedule.battles", "2", "--schedule.prefill",
    "16", "--schedule.warmup", "1", "--schedule.updates-per-step", "0.1", "--schedule.eval-battles", "2",
    "--agent.world-model.seq-len", "4", "--agent.replay.capacity", "2000", "--explorers", "2", "--search.population",
    "10", "--search.probes", "8", "--search.evolve-every", "20", "--agent.information.others", "3",
    "--agent.information.snapshot-every", "8", "--agent.ppo.rollout", "8", "--window", "50",
)  # fmt: skip
"""Two or three rounds with updates of everything."""


@st.composite
def runs(draw: st.DrawFn) -> list[Change]:
    """Up to three settings of a run, beside method, gate, map and information."""
    chosen = draw(st.lists(st.sampled_from(list(LEAVES)), min_size=1, max_size=3, unique=True))
    about: list[Key] = [("method",), ("gating", "gate"), ("map",), ("agent", "information", "kind")]
    also = draw(st.lists(st.sampled_from(about), max_size=2, unique=True))
    return [(path, draw(dry(path))) for path in dict.fromkeys([*also, *chosen])]


def play(changed: list[Change]) -> int:
    """The exit code of a short run in this process; its signal handlers are removed afterwards."""
    handlers = {which: signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        return main([*SMALL, *(word for path, value in changed for word in (flag(path), str(value)))])
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code
    finally:
        for which, handler in handlers.items():
            signal.signal(which, handler)


def from_a_file(changed: list[Change], seen: Counter[str]) -> None:
    try:
        check(merge(load_preset("debug"), nested(changed), "fuzz"))
    except ValueError as error:
        seen["refused"] += 1
        said = str(error)
        assert len(said.splitlines()) == 1 and any(explained(change, said) for change in changed), (changed, said)
        return
    seen["valid"] += 1
    assert all(path in LEAVES and value is not None for path, value in changed)


def from_the_command_line(change: Change, seen: Counter[str], capsys: pytest.CaptureFixture[str]) -> None:
    path, value = change
    capsys.readouterr()
    try:
        config = configure(["--preset", "debug", f"{flag(path)}={value}"])
    except SystemExit as end:
        seen["refused"] += 1
        out, said = capsys.readouterr()
        assert end.code == 2 and said.startswith("mawm: ") and len(said.splitlines()) == 1 and not out, (change, said)
        assert explained(change, said), (change, said)
        return
    seen["valid"] += 1
    assert isinstance(config, TrainConfig)


def as_a_run(changed: list[Change], seen: Counter[str], capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    shutil.rmtree(folder / "runs", ignore_errors=True)
    capsys.readouterr()
    code = play(changed)
    said = capsys.readouterr().err
    if code == 2:
        seen["refused"] += 1
        assert len(said.splitlines()) == 1 and not list(folder.iterdir()), (changed, said)
        assert any(path[-1] in said.replace("-", "_") for path, _ in changed), (changed, said)
        return
    seen["dry"] += 1
    assert code == 0 and list(folder.glob("runs/*/ck-*")) and "explorers are out" not in said, (changed, said)


def fuzz(drawn: st.SearchStrategy[Any], examples: int, look: Callable[[Any], None]) -> None:
    settings(max_examples=examples, **RELAXED)(given(drawn)(look))()


@pytest.mark.parametrize(("files", "lines", "dry_runs"), EXAMPLES)
def test_random_settings_run_or_are_refused_in_one_line(
    files: int,
    lines: int,
    dry_runs: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    figure: Figure,
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: Counter[str] = Counter()
    together = st.lists(changes(), min_size=1, max_size=3, unique_by=lambda change: change[0])
    fuzz(together, files, lambda changed: from_a_file(changed, seen))
    fuzz(changes(), lines, lambda change: from_the_command_line(change, seen, capsys))
    assert list(tmp_path.iterdir()) == []
    fuzz(runs(), dry_runs, lambda changed: as_a_run(changed, seen, capsys, tmp_path))
    total = files + lines + dry_runs
    figures = f"{seen['refused']} refused, {seen['valid']} valid, {seen['dry']} dry runs, 0 tracebacks"
    assert seen["refused"] > total / 4 and seen["valid"] > total / 20 and seen["dry"] > dry_runs / 3, seen
    figure(f"{total:,} random settings", figures)


def test_every_number_setting_has_a_range_containing_its_default() -> None:
    assert set(RANGES) == {path for path, hint in LEAVES.items() if hint in (int, float)}
    for path, (low, high) in RANGES.items():
        assert low <= SETTINGS[path].value <= high
        assert {type(low), type(high)} == {LEAVES[path]}


def test_every_product_limit_names_existing_settings() -> None:
    assert all(tuple(path.split(".")) in LEAVES for paths, _ in PRODUCTS for path in paths)


def test_every_setting_has_a_command_line_flag() -> None:
    known = {setting.flag: allowed(setting.kind) for setting in settings_of(Command())}
    assert {flag(path) for path in LEAVES} | {"--preset", "--run-dir", "--fresh", "--resume"} == set(known)
    assert known["--agent.world-model.deter"] == "a whole number in [1, 8192]"
