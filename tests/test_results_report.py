"""The report as HTML in a real browser and as Markdown, and the exported file."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import headless_chromium, open_page
from results_study import win_rate_rows, write_run, write_study

pytest.importorskip("scipy", reason="the extra `plot` is not installed")
pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

from mawm import export, report
from mawm.results.study import Study
from mawm.results.tables import (
    conditions_table,
    deployment_table,
    difference_table,
    results_table,
    runs_table,
    speed_table,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<img src=x onerror=alert(1)>"
VOID = {"meta", "link", "img", "source", "br"}


class Page(HTMLParser):
    """The elements, addresses and text of a page; an element that is closed wrongly fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element and its addresses."""
        self.elements.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "srcset", "href")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_study(folder / "runs", seeds=3)
    facts = {"version": "0.1.0", "machine": {"cpu": "<b>bold</b>"}, "commands": ["mawm", HOSTILE]}
    write_run(folder / "runs" / "hostile", win_rate_rows({1: 0.5, 2: 0.7}), map=HOSTILE, method=HOSTILE, facts=facts)
    (folder / "runs" / "broken & empty").mkdir()
    assert report.main([str(folder / "runs"), "-o", str(folder / "report.html")]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page(written.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with headless_chromium() as chromium:
        yield chromium


def test_report_page_shows_results_improvement_versions_and_commands(page: Page) -> None:
    wanted = ["Results on 3m", "Probability of improvement on 2s_vs_1sc", "Gain over Independent on 3m", "Commands"]
    wanted += ["RSSM+Predictors (experience)", "ShareAll", "embedded engine", "3.11.7", "3 of 3", "machine.cpu"]
    wanted += ["python -m mawm.train --map 3m --method both --bandwidth 0.05 --seed 0 --env-steps 10000"]
    wanted += ["320 battles in 66 run(s)", "python -m mawm.report"]
    assert [text for text in wanted if text not in page.text] == []


def test_report_page_has_no_scripts_or_outside_addresses(page: Page) -> None:
    assert page.elements.count("figure") == 8
    assert "script" not in page.elements
    assert [address for address in page.addresses if not address.startswith("data:")] == []


def test_report_page_escapes_text_of_runs(page: Page, written: Path) -> None:
    assert HOSTILE not in written.read_text(encoding="utf-8")
    assert HOSTILE in page.text
    assert "<b>bold</b>" in page.text
    assert "broken & empty: an empty folder" in page.text


def test_open_page_records_console_log_exceptions_dialogs_and_requests(browser: "Browser", tmp_path: Path) -> None:
    """The tests below assert that there are none, so each kind must be seen where it occurs."""
    scripts = "console.log('a message'); alert('a dialog'); setTimeout(() => { throw new Error('an exception') })"
    (tmp_path / "bad.html").write_text(f"<img src=missing.png><script>{scripts}</script>")
    with open_page(browser, tmp_path / "bad.html", 1200) as opened:
        opened.page.wait_for_timeout(100)
    text = "\n".join(opened.messages)
    wanted = ("a message", "a dialog", "an exception", "Failed to load resource")
    assert [words for words in wanted if words not in text] == []
    assert [url.rpartition("/")[2] for url in opened.requests] == ["bad.html", "missing.png"]


@pytest.mark.parametrize("width", [390, 1200])
def test_report_page_renders_in_chromium_without_errors_or_requests(
    browser: "Browser", written: Path, width: int, tmp_path: Path
) -> None:
    with open_page(browser, written, width) as opened:
        value = opened.page.evaluate
        assert opened.messages == []
        assert [url for url in opened.requests if not url.startswith("data:")] == [written.resolve().as_uri()]
        assert value("document.documentElement.scrollWidth <= window.innerWidth") is True
        assert value("window.innerWidth") == width
        assert value("[...document.images].length") == 8
        assert value("[...document.images].every(image => image.naturalWidth > 0)") is True
        boxes = "[...document.querySelectorAll('table, img')]"
        assert value(f"{boxes}.every(e => (e.closest('.scroll') ?? e).getBoundingClientRect().right <= {width})")
        opened.page.screenshot(path=tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_report_page_stacks_panels_on_a_phone(browser: "Browser", written: Path) -> None:
    shapes = []
    for width in (390, 1200):
        with open_page(browser, written, width) as opened:
            shapes.append(opened.page.evaluate("(i => i.naturalHeight / i.naturalWidth)(document.images[0])"))
    assert shapes[0] > 1.3 * shapes[1]


def test_report_of_a_single_run_states_that_there_is_no_interval(tmp_path: Path) -> None:
    write_run(tmp_path / "run", win_rate_rows({1000: 0.25, 2000: 0.9}))
    assert report.main([str(tmp_path / "run"), "-o", str(tmp_path / "page.html"), "--title", "a < b"]) == 0
    text = Page((tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert "90.0 % (1 seed: no interval)" in text
    assert "2000 (1 of 1)" in text
    assert "a < b" in text
    assert "not shown: no map was run with two methods" in text


def test_markdown_report_has_the_same_tables_and_figure_files(tmp_path: Path) -> None:
    write_study(tmp_path / "runs", seeds=3, maps=("3m",))
    write_run(tmp_path / "runs" / "hostile", win_rate_rows({1: 0.5}), map="a|b <img src=x>", method="both")
    assert report.main([str(tmp_path / "runs"), "-o", str(tmp_path / "docs" / "study.md")]) == 0
    text = (tmp_path / "docs" / "study.md").read_text(encoding="utf-8")
    assert {"### Results on 3m", "### Runs", "### Commands"} <= set(text.splitlines())
    assert "a\\|b \\<img src=x\\>" in text and "<img" not in text.replace("\\<img", "")
    tables = [[line for line in part.splitlines() if line.startswith("|")] for part in text.split("### ")]
    widths = [{line.replace("\\|", "").count("|") for line in table} for table in tables if table]
    assert len(widths) >= 6 and all(len(width) == 1 for width in widths)
    pictures = re.findall(r"\]\((\S+\.png)\)", text)
    assert len(pictures) == 8
    assert all((tmp_path / "docs" / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_runs_table_shows_steps_minutes_and_interval_of_each_run(tmp_path: Path) -> None:
    rows = win_rate_rows({1000: 0.25, 2000: 0.85, 3000: 0.7})
    rows[-1] |= {"wall_s": 90.0, "channel/realised_bandwidth": 0.0497}
    evaluation = {"win_rate": 0.75, "win_rate_low": 0.7, "win_rate_high": 0.8, "episodes": 320}
    evaluation |= {"win_rate_sampled": 0.5, "win_rate_sampled_low": 0.4, "win_rate_sampled_high": 0.6}
    evaluation |= {"distinct_battles": 17, "distinct_battles_sampled": 320}
    write_run(tmp_path / "a", rows, evaluation, seed=4)
    (row,) = runs_table(Study.load([tmp_path]).cells).rows
    rates = ("75.0 % [70.0, 80.0]", "50.0 % [40.0, 60.0]", "17, 320 of 320")
    assert row[2:] == ("4", "2000", "2000", "–", "1.5", "0.0497", *rates)


def test_runs_table_uses_logged_intervals_without_an_evaluation(tmp_path: Path) -> None:
    logged = {"win_rate_low": 0.7, "win_rate_high": 0.8, "win_rate_sampled": 0.5, "win_rate_sampled_low": 0.4}
    logged |= {
        "win_rate_sampled_high": 0.6,
        "distinct_battles": 9.0,
        "distinct_battles_sampled": 64.0,
        "episodes": 64.0,
    }
    (last,) = win_rate_rows({1000: 0.75})
    write_run(tmp_path / "a", [last | {f"eval/{name}": value for name, value in logged.items()}])
    (row,) = runs_table(Study.load([tmp_path]).cells).rows
    assert row[-3:] == ("75.0 % [70.0, 80.0]", "50.0 % [40.0, 60.0]", "9, 64 of 64")


def test_runs_table_of_a_version_0_1_run_has_no_sampled_win_rate(tmp_path: Path) -> None:
    evaluation = {"win_rate": 0.75, "low": 0.7, "high": 0.8, "episodes": 320, "mode": "greedy"}
    write_run(tmp_path / "a", win_rate_rows({1000: 0.25}), evaluation)
    cells = Study.load([tmp_path]).cells
    (row,) = runs_table(cells).rows
    assert row[-3:] == ("75.0 % [70.0, 80.0]", "–", "–")
    table = results_table("3m", cells)
    assert dict(zip(table.header, table.rows[0], strict=True))["final win rate, sampled"] == "–"


def test_report_refuses_an_unknown_file_ending(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        report.main(["runs", "-o", "report.pdf"])
    assert end.value.code == 2
    assert "ends in .html" in capsys.readouterr().err


def exported(folder: Path) -> dict[str, dict[str, dict[str, dict[str, dict[str, object]]]]]:
    """What the command writes about the runs in a folder."""
    assert export.main([str(folder / "runs"), "-o", str(folder / "out.json")]) == 0
    found: dict[str, dict[str, dict[str, dict[str, dict[str, object]]]]] = json.loads((folder / "out.json").read_text())
    return found


def test_export_has_the_layout_of_marl_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        rows = [{**row, "eval/return": 3.0} for row in win_rate_rows({700: 0.25, 1400: 0.5})]
        write_run(tmp_path / "runs" / str(seed), rows, {"win_rate": 0.75, "return": 9.5}, seed=seed)
    assert exported(tmp_path)["skirmish"]["3m"]["Both-0.05"]["seed_1"] == {
        "step_0": {"step_count": 700, "elapsed_time": 10.0, "win_rate": [0.25], "return": [3.0]},
        "step_1": {"step_count": 1400, "elapsed_time": 20.0, "win_rate": [0.5], "return": [3.0]},
        "absolute_metrics": {"win_rate": [0.75], "return": [9.5]},
    }
    assert capsys.readouterr().err == ""


def test_export_warns_of_what_marl_eval_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "runs" / "a", win_rate_rows({1: 0.5, 2: 0.5}))
    write_run(tmp_path / "runs" / "b", win_rate_rows({1: 0.5}), seed=1, map="8m")
    write_run(tmp_path / "runs" / "c", [{"env_steps": 5}], seed=2)
    assert set(exported(tmp_path)["skirmish"]) == {"3m", "8m"}
    said = capsys.readouterr().err
    assert "same number of evaluations" in said
    assert "same seeds" in said
    assert f"{tmp_path / 'runs' / 'c'}: no evaluation was logged" in said


def test_deployment_table_shows_the_gap_only_where_it_was_measured(tmp_path: Path) -> None:
    for seed, error in enumerate((0.4, 0.5, 0.6)):
        measured = {"win_rate": 1.0, "return": 10.0 + seed, "trained/obs_error": 0.1, "trained/reward_error": 0.5}
        measured |= {"deployed/obs_error": error, "deployed/reward_error": 0.25}
        options: dict[str, Any] = {"map": "market", "seed": seed, "gating": {"gate": "open", "explorer": "random"}}
        options["agent"] = {"information": {"kind": "auto", "weight": 0.0}}
        write_run(tmp_path / "measured" / str(seed), win_rate_rows({10: 0.5}), measured, **options)
    write_run(tmp_path / "plain", win_rate_rows({10: 0.5}), {"win_rate": 1.0}, map="3m")
    study = Study.load([tmp_path])
    table = deployment_table("market", study.cells)
    assert table is not None and deployment_table("3m", study.cells) is None
    (row,) = table.rows
    assert row[0] == "Both-0.05 (gate open, random explorers, lambda 0)" and row[1] == "3"
    assert [cell.split(" ")[0] for cell in row[2:]] == ["11", "0.5", "0.4", "0.25", "-0.25"]


def test_results_table_shows_steps_bytes_and_return_with_gain_over_independent(
    tmp_path: Path,
) -> None:
    for seed in range(3):
        rows = win_rate_rows({0: 0.0, 10: 0.9, 20: 1.0})
        sent = [row | {"channel/sent_bytes": 4e6 * row["env_steps"]} for row in rows]
        final = {"win_rate": 1.0, "win_rate_sampled": 0.75, "return": 18.0 + seed}
        write_run(tmp_path / "both" / str(seed), sent, final, seed=seed, env_steps=20)
        plain = win_rate_rows({0: 0.0, 10: 0.1, 20: 0.4})
        write_run(
            tmp_path / "alone" / str(seed),
            plain,
            {"win_rate": 0.4, "win_rate_sampled": 0.5},
            seed=seed,
            method="independent",
        )
    cells = Study.load([tmp_path]).cells
    table = results_table("3m", cells)
    told = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    speed = speed_table("3m", cells)
    for row in speed.rows:
        told[row[0].removesuffix("-0.05")] |= dict(zip(speed.header, row, strict=True))
    both, alone = told["Both"], told["Independent"]
    assert both["seeds below 50 %"] == "0 of 3" and alone["seeds below 50 %"] == "0 of 3"
    assert both["final win rate"] == "100.0 % [100.0, 100.0]"
    assert both["final win rate, sampled"] == "75.0 % [75.0, 75.0]"
    assert both["final return"] == "19 [18, 20]" and alone["final return"] == "–"
    assert both["steps to 80 %"] == "10 (3 of 3)" and both["MB to 80 %"] == "40.0"
    assert alone["MB to 80 %"] == "–" and both["MB sent"] == "80.0"
    # Areas: (0 + 0.9) / 2 / 2 + (0.9 + 1) / 2 / 2 = 0.7 against (0 + 0.1) / 4 + (0.1 + 0.4) / 4 = 0.15.
    gain = difference_table("3m", cells)
    assert gain is not None
    assert [cell.split(" ")[0] for cell in gain.rows[0][2:]] == ["+60.0", "+25.0", "+55.0"]


def test_conditions_table_shows_the_last_policy_under_other_rules_and_the_difference_by_seed(tmp_path: Path) -> None:
    for seed in range(3):
        shifted = {
            "label": "spawn-jitter 0.5",
            "rules": {"spawn_jitter": 0.5},
            "win_rate": 0.5,
            "win_rate_sampled": 0.25,
        }
        final = {"win_rate": 0.75, "win_rate_sampled": 0.75, "rows": [shifted]}
        write_run(tmp_path / str(seed), win_rate_rows({10: 0.5}), final, seed=seed)
    table = conditions_table("3m", Study.load([tmp_path]).cells)
    assert table is not None
    assert table.rows == (
        (
            "Both-0.05",
            "spawn-jitter 0.5",
            "3",
            "50.0 % [50.0, 50.0]",
            "25.0 % [25.0, 25.0]",
            "-25.0 points [-25.0, -25.0]",
            "-50.0 points [-50.0, -50.0]",
        ),
    )
