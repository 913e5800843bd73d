"""The notebooks of the docs run from their first cell to their last, and each draws a figure with data in it."""

import importlib
import re
import sys
from pathlib import Path

import pytest
from notebook_runner import BASH, NOTEBOOKS, cells_of, run

PATHS = sorted(NOTEBOOKS.glob("*.md"))


def has_data(figure: "object") -> bool:
    """Whether every axes of a figure shows lines or bars with finite values."""
    return all(
        any(len(line.get_xdata()) >= 2 for line in axes.lines) or any(bar.get_height() > 0 for bar in axes.patches)
        for axes in figure.axes  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_notebook_is_short_and_shows_the_figures_that_it_draws(path: Path) -> None:
    cells, text = cells_of(path), path.read_text("utf-8")
    assert len(text.splitlines()) <= 190 and max(len(cell.splitlines()) for cell in cells) <= 45
    drawn, shown = (
        sum(cell.count("plt.subplots") for cell in cells),
        re.findall(rf"\({path.stem}_figure\d\.png\)", text),
    )
    assert drawn == len(shown) >= 1
    assert any(cell.startswith(BASH) for cell in cells)
    for number, cell in enumerate(cells):
        if not cell.startswith(BASH):
            compile(cell.partition("\n")[2] if cell.startswith("%%") else cell, f"cell {number}", "exec")


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_notebook_runs_to_its_end(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = run(path, tmp_path)
    assert drawn and all(has_data(figure) for figure in drawn)
    assert capsys.readouterr().out


def test_environment_of_the_notebook_passes_the_tests_of_pettingzoo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = cells_of(NOTEBOOKS / "own_environment.md")
    (written,) = [cell.partition("\n")[2] for cell in cells if cell.startswith("%%writefile my_env.py")]
    (tmp_path / "my_env.py").write_text(written, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_env", raising=False)
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    make = importlib.import_module("my_env").make
    parallel_api_test(make(), num_cycles=100)
    parallel_seed_test(make, num_cycles=50)
    sys.modules.pop("my_env")  # another test has a file of this name
    assert "Passed" in capsys.readouterr().out


def test_readers_of_runs_in_the_notebooks_name_tags_that_the_docs_list() -> None:
    listed = (NOTEBOOKS.parent / "tags.md").read_text("utf-8")
    text = "\n".join(cell for path in PATHS for cell in cells_of(path) if not cell.startswith("%%"))
    named = set(re.findall(r"[/\"]((?:received_loss|realised_bandwidth|nominal_bandwidth|win_rate)\w*)\"", text))
    assert len(named) >= 5 and [name for name in named if name not in listed] == []
