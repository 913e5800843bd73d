"""The documents name existing commands, options and files, and the command that CI runs."""

import contextlib
import importlib.util
import io
import json
import re
import runpy
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path

import pytest
from real_runs import train_here

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMANDS = sorted(
    {name for path in DOCUMENTS for name in re.findall(r"python3? -m (mawm[\w.]*\w)", path.read_text("utf-8"))}
)


def readme_blocks() -> list[str]:
    """The shell blocks of the README, in order."""
    return re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)


@cache
def help_of(module: str) -> str:
    """The help of a command, run as `python -m` runs it, but in this process: that saves the imports of a new one."""
    shown, before = io.StringIO(), sys.argv
    sys.argv = [module, "--help-all" if module == "mawm.train" else "--help"]
    try:
        with contextlib.redirect_stdout(shown), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that the module was imported before
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code
    finally:
        sys.argv = before
    return shown.getvalue()


def test_readme_first_screen_has_two_commands() -> None:
    first_screen = (ROOT / "README.md").read_text("utf-8").partition("## What you see")[0]
    blocks = re.findall(r"```bash\n(.*?)```", first_screen, re.DOTALL)
    assert [block.count("\n") for block in blocks] == [1, 1]
    assert "python -m mawm.train --map 3m --bandwidth 0.05" in blocks[0]
    assert "python -m pytest" in blocks[1]


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    found = re.search(r'^tests="\$\((grep .* README\.md)\)"$', script, re.MULTILINE)
    assert found is not None
    command = subprocess.run(["bash", "-c", found[1]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert command == readme_blocks()[1]
    assert 'bash -c "$tests"' in script


def test_readme_commands_install_under_the_constraints() -> None:
    assert all("pip install -c constraints.txt" in block for block in readme_blocks()[:2])
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text("utf-8").splitlines()


@pytest.mark.parametrize("module", COMMANDS)
def test_documented_command_has_help(module: str) -> None:
    assert importlib.util.find_spec(module) is not None
    assert "usage" in help_of(module).lower()


@pytest.mark.parametrize("module", ["mawm.train", "mawm.evaluate", "mawm.export"])
def test_documented_option_exists(module: str) -> None:
    text = "\n".join(path.read_text("utf-8") for path in DOCUMENTS)
    calls = re.findall(rf"python3? -m {re.escape(module)}([^`\n#]*)", text)
    named = {option for call in calls for option in re.findall(r"--[a-z][a-z.-]*", call)}
    if module == "mawm.train":
        named |= set(re.findall(r"`(--[a-z][a-z-]*)[^`]*`", (ROOT / "README.md").read_text("utf-8")))
    shown = set(re.findall(r"--[a-z][a-z.-]*", help_of(module)))
    assert named and named - shown - {"--help", "--logdir"} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_document_links_exist(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text("utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_documented_code_files_exist() -> None:
    pattern = r"`((?:mawm|agents|envs|configs|tests|benchmarks|docs)/[\w./-]+\.(?:py|toml|md|json))`"
    named = {name for path in DOCUMENTS for name in re.findall(pattern, path.read_text("utf-8"))}
    assert named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


@pytest.mark.parametrize("name", ["README.md", "docs/paper.md"])
def test_paper_to_code_table_names_exist_in_the_code(name: str) -> None:
    tables = re.findall(r"\| paper \| code .*?\n\n", (ROOT / name).read_text("utf-8"), re.DOTALL)
    named = {word for table in tables for word in re.findall(r"`([A-Za-z_]+)`", table)}
    sources = [p for folder in ("mawm", "agents", "configs") for p in (ROOT / folder).rglob("*.py")]
    words = {word for path in sources for word in re.findall(r"[A-Za-z_]+", path.read_text("utf-8"))}
    assert len(named) >= 8
    assert named - words == set()


def test_files_contain_no_machine_paths() -> None:
    folders = ("agents", "benchmarks", "configs", "docs", "envs", "mawm", "tests", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("*.*"))
    texts = [
        path for path in files if path.suffix in ("", ".cfg", ".json", ".md", ".py", ".toml", ".txt") and path.is_file()
    ]
    private = re.compile("(?<![\\w.])/(?:" + "|".join(("work", "home", "root", "tmp", "Users")) + ")/\\w")
    assert [p.relative_to(ROOT).as_posix() for p in texts if private.search(p.read_text("utf-8"))] == []


def documented_tags() -> set[str]:
    """Patterns of the tags in docs/tags.md; a name without a slash belongs to the folder of the tag before it."""
    patterns, folder = set(), ""
    for row in re.findall(r"^\| (`.*?) \|", (ROOT / "docs/tags.md").read_text("utf-8"), re.MULTILINE):
        for tag in re.findall(r"`([^`]+)`", row):
            folder = tag.rpartition("/")[0] if "/" in tag else folder
            whole = tag if "/" in tag else f"{folder}/{tag}"
            pattern = re.escape(whole).replace("KIND", "(experience|rollouts)")
            pattern = re.sub("AGENT|SENDER|RECEIVER", r"(agent_\\d+|team)", pattern)
            patterns.add(pattern.replace("LOSS", r"\w+").replace(re.escape("..."), r"\w+"))
    return patterns


def test_metric_tags_written_equal_metric_tags_documented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = "--bandwidth 0.5 --rollout-window 20 --schedule.updates-per-step 0.1"
    # Two runs: the first adds an information term, beside which the critic learns from no replayed states, and an
    # imperfect network.
    written: set[str] = set()
    for name, more in (
        ("explored", "--gate strict --search.evolve-every 100 --env-steps 600 --link.loss 0.1 --link.delay 1"),
        ("run", "--env-steps 300"),
    ):
        code, _, err = train_here(tmp_path / name, *f"{shared} {more}".split(), capsys=capsys)
        assert code == 0, err
        rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text("utf-8").splitlines()]
        written |= {tag for row in rows for tag in row}
    written -= {"env_steps", "wall_s"}
    patterns = documented_tags()
    assert sorted(tag for tag in written if not any(re.fullmatch(pattern, tag) for pattern in patterns)) == []
    assert sorted(p for p in patterns if not any(re.fullmatch(p, tag) for tag in written)) == []
