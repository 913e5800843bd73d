"""Every command of README and docs is accepted by its own parser; those that a user meets first run with fewer steps.

`make docs-commands` runs all others, too. Where a command is changed so that it takes seconds, `LESS` says how.
"""

import importlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from documented_commands import Documented, documented, in_shell, of_mawm

ROOT = Path(__file__).resolve().parent.parent
TRAIN = ("--preset", "debug", "--placement", "inline", "--env-steps", "300", "--schedule.eval-battles", "2")
LESS: dict[str, tuple[str, ...]] = {
    "mawm.train": TRAIN,
    "mawm.evaluate": ("--episodes", "3"),
    "mawm.sweep": ("--dry-run",),  # plans all runs, starts none
    "mawm.plot": ("--unfinished",),
    "mawm.report": ("--unfinished",),
    "mawm.export": ("--unfinished",),
}
"""Words that are put behind the words of a command. The last one of two equal options counts."""
ELSEWHERE = {
    "mawm": "tests/test_commands.py",
    "mawm.audit": "tests/test_audit.py",
    "mawm.bench": "tests/test_bench_learner.py, test_bench_learning.py, test_bench_values.py, test_engine_fidelity.py",
    "mawm.benchmarks.market": "tests/test_market.py",
    "mawm.envs.skirmish.golden": "tests/test_golden_command.py",
    "mawm.tune": "tests/test_tune.py",
    "mawm.standin": "tests/test_standin_process.py",
}
"""Commands that have no parser of options, or take long, and the tests of what they do."""
PLUGIN = "docs/extending.md"
"""Its commands know the rows of the module that the page shows."""


class Accepted(Exception):
    """The parser accepted a command line."""


def distinct(module: str) -> list[Documented]:
    """The documented command lines of a module, except those that only name it and those that need a plugin."""
    return [each for each in of_mawm() if each.module == module and each.page != PLUGIN and (each.block or each.args)]


WITHOUT_OPTIONS = {"mawm", "mawm.envs.skirmish.golden", "mawm.benchmarks.market"}
TRAININGS = [
    each
    for each in distinct("mawm.train")
    if not {"--help", "--resume", "--env", "--link.transport"} & set(each.args)
    and not any(":make" in word for word in each.args)
]
"""Those whose settings can be checked without a run, an optional package or a module that only the page shows."""
PARSED = sorted({command.module for command in of_mawm()} - WITHOUT_OPTIONS)


@pytest.mark.parametrize("module", PARSED)
def test_documented_command_is_accepted_by_its_own_parser(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = importlib.import_module(module)
    parse = loaded.parse

    def watched(*words: Any, **options: Any) -> None:
        parse(*words, **options)
        raise Accepted

    monkeypatch.setattr(loaded, "parse", watched)
    for command in [each for each in distinct(module) if each not in TRAININGS]:
        try:
            loaded.main(command.args)
        except Accepted:
            continue
        except SystemExit as end:  # after --help
            assert not end.code and "--help" in command.args, command
            continue
        pytest.fail(f"{command} was not parsed")


def test_documented_training_is_accepted_and_has_valid_settings() -> None:
    from mawm.train import configure

    assert len(TRAININGS) >= 10
    for command in TRAININGS:
        assert configure(command.args).env_steps > 0


def test_documented_files_and_folders_of_tests_exist() -> None:
    named = {word for text in ELSEWHERE.values() for word in text.replace(",", "").split()}
    assert [name for name in named if not (ROOT / "tests" / name.removeprefix("tests/")).is_file()] == []
    golden = [each for each in of_mawm() if each.module == "mawm.envs.skirmish.golden"]
    assert golden and all(any((ROOT / word).glob("*.npz")) for each in golden for word in each.args)


def test_shell_text_is_split_into_commands() -> None:
    text = "A=1 python -m x -o 'a b'  # why\npip install -e '.[dev]' && make \\\n  check\nexport B=2\n"
    assert in_shell(text) == [
        ("python", "-m", "x", "-o", "a b"), ("pip", "install", "-e", ".[dev]"), ("make", "check"), ("export", "B=2"),
    ]  # fmt: skip


def test_documented_make_targets_exist() -> None:
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text("utf-8").splitlines()}
    asked = {each.words[1] for each in documented() if each.words[0] == "make"}
    assert asked and asked <= targets


def run_here(command: Documented, run: str, capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    """Run a command in this process and folder, with the options of `LESS`; `run` stands for RUN.

    Returns the exit code, the output and the errors.
    """
    filled = (word.replace("RUN2", run) for word in command.args)
    words = [run if word in ("RUN", "RUNS", "runs/RUN", "runs") else word for word in filled]
    as_it_is = {"--help", "--help-all", "--policy"} & set(words)  # a policy takes a second
    more = () if as_it_is else LESS.get(command.module, ())
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    try:
        code: object = importlib.import_module(command.module).main([*words, *more])
    except SystemExit as end:
        code = end.code or 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code, *capsys.readouterr()


def on_page(page: str, *modules: str) -> list[Documented]:
    """The commands in the shell blocks of a page, in order."""
    return [each for each in documented() if each.page == page and each.block and each.module in modules]


def test_first_commands_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    train, *others = on_page("README.md", "mawm.train", "mawm.evaluate", "mawm.watch")
    code, told, err = run_here(train, "", capsys)
    assert code == 0, err
    (run,) = (tmp_path / "runs").iterdir()
    assert f"python -m mawm.evaluate runs/{run.name}" in told
    printed = [run_here(command, f"runs/{run.name}", capsys) for command in others]
    assert [code for code, _, _ in printed] == [0] * len(others)
    assert any("spawn-jitter 0.5" in out for _, out, _ in printed)
    assert (run / "watch.html").stat().st_size > 10_000


@pytest.mark.slow
def test_commands_of_the_tutorial_run_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [
        each for each in documented() if each.page == "docs/tutorial.md" and each.block and each.module[:4] == "mawm"
    ]
    assert len(commands) == 6
    for command in commands:
        code, _, err = run_here(command, "", capsys)
        assert code == 0, (command, err)
    assert (tmp_path / "figures/figure1_win_rate.png").stat().st_size > 10_000
    assert (tmp_path / "runs/first/both/watch.html").is_file()


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short run, under the names of runs that the pages use."""
    from real_runs import finish, train

    folder = tmp_path_factory.mktemp("studied")
    code, _, err = finish(train(folder / "runs/quick/3m_both_b0.05_s0"))
    assert code == 0, err
    for name in ("short", "long", "evidence", "gating-ablation", "float32", "bf16"):
        shutil.copytree(folder / "runs/quick", folder / "runs" / name)
    for name in ("3m_both_b0.05_s0", "latents", "3m_centralized_s1", "first_run", "RUN"):
        shutil.copytree(folder / "runs/quick/3m_both_b0.05_s0", folder / "runs" / name)
    shutil.copytree(ROOT / "docs/results/data", folder / "docs/results/data")
    return folder


def is_quick(command: Documented) -> bool:
    """Whether a command needs no package, environment, folder or time that a test cannot give it."""
    own = any(":make" in word for word in command.args)  # tests/test_own_environment.py, tests/test_notebooks.py
    package = {"--env", "--link.transport"} & set(command.args)  # tests/test_smac_driver.py, tests/test_link_runs.py
    service = {"wandb", "mlflow"} & set(command.args)  # tests/test_loggers.py
    missing = "environments" in " ".join(command.args) and importlib.util.find_spec("mpe2") is None  # the extra
    resumed = "--resume" in command.args  # tests/test_killed_runs.py
    gating = "--map market" in " ".join(command.args) and command.module == "mawm.report"  # a run of 3m cannot show it
    return command.module not in ELSEWHERE and not (own or package or service or missing or resumed or gating)


OTHERS = [each for name in PARSED for each in distinct(name) if is_quick(each) and each.page != "docs/tutorial.md"]


@pytest.mark.slow
@pytest.mark.parametrize("command", OTHERS, ids=lambda each: f"{each.page}: {' '.join(each.words[2:])}"[:90])
def test_documented_command_runs(
    command: Documented,
    studied: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(studied)
    if command.module == "mawm.train" and "--run-dir" in command.args:  # the page's name is that of another run here
        command = replace(command, words=(*command.words, "--run-dir", str(tmp_path / "run")))
    code, _, err = run_here(command, "runs/RUN" if command.module != "mawm.report" else "runs/quick", capsys)
    assert code == 0, err


@pytest.mark.slow
@pytest.mark.parametrize("command", [each for each in of_mawm() if each.page == PLUGIN], ids=lambda each: each.args[1])
def test_command_with_the_plugin_of_the_docs_runs(command: Documented, tmp_path: Path) -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / PLUGIN).read_text("utf-8"), re.DOTALL)
    (tmp_path / "mine.py").write_text("\n".join(shown), "utf-8")
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "MAWM_PLUGINS": "mine", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", command.module, *command.args, *LESS[command.module]]
    done = subprocess.run(line, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
