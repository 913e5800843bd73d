"""`mawm.evaluate`: a table of a trained team as it was trained, and under other conditions."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mawm import export
from mawm.configs.train import TrainConfig
from mawm.envs import skirmish
from mawm.evaluate import main
from mawm.trained.conditions import with_rules
from mawm.trained.tables import HEADER

GOLDEN = Path(__file__).parent / "golden/run-0.2.0"
COUNTS = ("episodes", "distinct_battles", "distinct_battles_sampled")


def printed(capsys: pytest.CaptureFixture[str], *args: str, run: Path = GOLDEN) -> dict[str, Any]:
    """The output of `mawm.evaluate --json` for 6 battles."""
    assert main([str(run), "--episodes", "6", "--json", *args]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *args: str, run: Path = GOLDEN) -> str:
    """The error line of a refused command."""
    with pytest.raises(SystemExit) as end:
        main([str(run), "--episodes", "6", *args])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1
    return said


def row_of(facts: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a row without what names it, and without what only the first row has."""
    left_out = ("label", "rules", "map", "replace", "share", "low", "high", "env_steps", "published", "rows")
    return {k: v for k, v in facts.items() if k not in left_out and not k.startswith(("deployed/", "trained/"))}


def other_map(folder: Path, **changes: str) -> Path:
    """A map file like 3m, with some texts replaced."""
    text = (Path(skirmish.__file__).parent / "maps/3m.toml").read_text()
    for old, new in (("at = [9, 16]", "at = [11, 16]"), *changes.items()):
        assert old in text
        text = text.replace(old, new)
    (folder / "mine.toml").write_text(text)
    return folder / "mine.toml"


def test_evaluate_rows_of_other_rules_keep_the_row_of_the_training(capsys: pytest.CaptureFixture[str]) -> None:
    alone = printed(capsys)
    both = printed(capsys, "--rules", "spawn-jitter=5", "--rules.spawn_jitter", "0.1", "--rules.threat=1")
    moved, same = both.pop("rows")
    assert both == alone
    assert all(isinstance(both[name], int) and 1 <= both[name] <= 6 for name in COUNTS)
    assert (moved["rules"], same["rules"]) == ({"spawn_jitter": 5.0}, {"spawn_jitter": 0.1, "threat": 1.0})
    assert row_of(same) == row_of(alone) != row_of(moved)


def test_evaluate_with_an_agent_replaced_by_itself_or_never_repeats_the_first_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = printed(capsys, "--replace", f"agent_1:{GOLDEN}", "--share", "0", "1")
    assert [row["share"] for row in facts["rows"]] == [0.0, 1.0]
    assert [row_of(row) == row_of(facts) for row in facts["rows"]] == [True, True]


def test_evaluate_with_an_agent_taken_over_changes_the_actions_of_this_agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--replace", "agent_1:noop", "--replace", "agent_0:random", "--map", str(other_map(tmp_path)))
    facts = printed(capsys, *words)
    assert [row["label"] for row in facts["rows"]] == ["map mine", "agent_1 noop, agent_0 random"]
    taken = facts["rows"][1]["agents"]
    assert taken["agent_1"]["actions"] == taken["agent_1"]["actions_sampled"] == [0.0, 1.0] + 7 * [0.0]  # it stops
    random, before = taken["agent_0"]["actions"], facts["agents"]["agent_0"]["actions"]
    assert min(random[1:6]) > 0.05 and random != before
    assert facts["rows"][0]["map"].endswith("mine.toml") and row_of(facts["rows"][0]) != row_of(facts)


def test_evaluate_prints_one_table_with_a_row_for_each_condition(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(GOLDEN), "--episodes", "6", "--rules", "spawn-jitter=0.5,version=5.0"]) == 0
    about, header, trained, shifted, note, _, agents, *rest = capsys.readouterr().out.splitlines()
    assert about == "3m, 384 environment steps; 6 battles greedy, the same sampled"
    starts = [header.index(name) for name in HEADER]
    cells = [
        [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for line in (trained, shifted)
    ]
    assert [row[0] for row in cells] == ["as trained", "spawn-jitter 0.5, version 5.0"]
    assert all(" % [" in rate and rate.endswith("]") for row in cells for rate in row[1:3])
    assert all(" / " in cell for row in cells for cell in row[3:])
    assert "greedy / sampled" in note and agents.startswith("agent ")
    assert [line.split()[0] for line in rest[:3]] == ["agent_0", "agent_1", "agent_2"]
    assert all(re.search(r"(stop|north|south|east|west|attack \d) \d+ %", line) for line in rest[:3])


def test_evaluate_refuses_a_map_of_other_sizes_and_names_both(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--map", "2m_vs_1z")
    assert "the map 2m_vs_1z has observations 16, actions 7, agents 2" in said
    assert "the run's map 3m has observations 30, actions 9, agents 3" in said


def documented() -> list[str]:
    """The commands of docs/evaluating.md, without their comments."""
    page = (Path(__file__).parents[1] / "docs/evaluating.md").read_text("utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("line", documented())
def test_commands_of_the_page_about_evaluation_run(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = {"RUN": str(GOLDEN), "runs/RUN": str(GOLDEN), "MAP": str(other_map(tmp_path)), "FILE": "policy.pt2"}
    words |= {"agent_1:RUN2": f"agent_1:{GOLDEN}"}
    _, _, module, *args = line.split()
    few = ["--episodes", "2"] if module == "mawm.evaluate" else []
    command = {"mawm.evaluate": main, "mawm.export": export.main}[module]
    assert command([*(words.get(arg, arg) for arg in args), *few]) == 0


@pytest.mark.parametrize("map_name", ["market", "my_env:make"])
def test_rules_are_refused_for_an_environment_without_rules(map_name: str) -> None:
    with pytest.raises(ValueError, match=f"the run's environment '{map_name}' has no such rules"):
        with_rules(TrainConfig(map=map_name), "missiles=0")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("spawn-jitter=-1", "--rules spawn-jitter must be a number in [0, 128]; got -1; did you mean 0?"),
        ("spawn-jitter=x", "--rules spawn-jitter must be a number in [0, 128]; got 'x'"),
        ("spawn-jitter=nan", "--rules spawn-jitter must be a number in [0, 128]; got nan"),
        ("spawn-jiter=1", "'spawn-jiter' is not the name of a rule"),
        ("spawn-jiter=1", "did you mean 'spawn-jitter'?"),
        ("spawn-jitter=0.5,1", "'1' is not the name of a rule; a row is NAME=VALUE, or NAME=VALUE,NAME=VALUE"),
        ("spawn-jitter", "spawn-jitter has no value"),
        ("threat=0,threat=1", "threat is named twice"),
        ("version=9", "--rules version must be one of 4.10, 4.6.2, 5.0"),
    ],
)
def test_mistakes_in_a_row_of_rules_are_named(word: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        with_rules(TrainConfig(), word)
