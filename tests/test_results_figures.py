"""The figures of a synthetic study: what each shows, and what is reported without data."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from results_study import win_rate_rows, write_run, write_study

pytest.importorskip("scipy", reason="the extra `plot` is not installed")
pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from mawm import plot
from mawm.results.document import image, save
from mawm.results.drawing import Look, shades, styles
from mawm.results.figures import FIGURES, make
from mawm.results.study import Study

RATE = "win rate (%)"
STEPS = "thousand environment steps"
PAPER = ["RSSM+Predictors-ShareAll (experience)", "Actor-Critic-ShareAll (rollouts)", "Both-ShareAll"]
REFERENCES = ["Independent", "Centralized"]
SWEEP = ["bandwidth 0.01", "bandwidth 0.05", "ShareAll (bandwidth 1)"]
# Panels, IQM lines in the first panel, and the labels of its axes.
EXPECTED = {
    "figure1_win_rate": (2, [*PAPER, *REFERENCES], STEPS, RATE),
    "figure2_world_model": (6, [*PAPER, *REFERENCES], STEPS, "observation loss (Eq. 1)"),
    "figure3_actor_critic": (4, [*PAPER, *REFERENCES], STEPS, "critic loss"),
    "figure4_bandwidths": (6, [*SWEEP, *REFERENCES], STEPS, RATE),
    "figure5_best": (
        2,
        ["RSSM+Predictors-0.01 (experience)", "Actor-Critic-0.05 (rollouts)", "Both-0.05", *REFERENCES],
        STEPS,
        RATE,
    ),
    "figure9_win_rate_sampled": (2, [*PAPER, *REFERENCES], STEPS, f"{RATE}, sampled"),
    "figure6_bytes": (
        6,
        [*SWEEP, *(f"{name}: final, no channel" for name in REFERENCES)],
        "MB sent by the team since the run began",
        RATE,
    ),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study.load([write_study(tmp_path_factory.mktemp("study"), seeds=3)])


def drawn(study: Study, name: str, look: Look | None = None) -> Figure:
    figure = make(name, study.cells, look or Look())
    assert isinstance(figure, Figure)
    return figure


@pytest.mark.parametrize("name", EXPECTED)
def test_figure_shows_every_method_with_band_and_seeds(study: Study, name: str) -> None:
    count, labels, xlabel, ylabel = EXPECTED[name]
    axes = [axis for axis in drawn(study, name).axes if axis.get_visible()]
    first = axes[0]
    lines = [line for line in first.get_lines() if not str(line.get_label()).startswith("_")]
    level = sum("no channel" in label for label in labels)
    assert len(axes) == count
    assert [str(line.get_label()) for line in lines] == labels
    assert (first.get_xlabel(), first.get_ylabel()) == (xlabel, ylabel)
    assert len(first.collections) == len(labels) - level  # a band each
    assert len(first.get_lines()) == len(labels) + 3 * (len(labels) - level)  # and three seeds each
    assert all(np.ptp(np.asarray(line.get_ydata(), float)) > 0 for line in lines[: len(labels) - level])


def test_win_rate_curve_is_the_iqm_in_percent(study: Study) -> None:
    line = next(
        line for line in drawn(study, "figure1_win_rate").axes[1].get_lines() if line.get_label() == "Independent"
    )
    cell = next(cell for cell in study.cells if (cell.map, cell.method) == ("3m", "independent"))
    ends = [run.curve("eval/win_rate")[1][-1] for run in cell.runs]
    assert line.get_xdata()[-1] == 10
    assert line.get_ydata()[-1] == pytest.approx(100 * np.mean(ends))  # of three seeds none is dropped


def test_realised_bandwidth_has_a_mark_for_every_run(study: Study) -> None:
    axis = drawn(study, "figure7_realised").axes[0]
    marks = [line for line in axis.get_lines() if line.get_linestyle() == "None"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("nominal bandwidth", "realised bandwidth")
    assert {str(line.get_label()) for line in marks} == {
        "RSSM+Predictors (experience)",
        "Actor-Critic (rollouts)",
        "Both",
    }
    assert sum(len(line.get_xdata()) for line in marks) == 27


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in ("figure8_variants", "figure10_return")])
def test_figure_files_decode_and_are_not_blank(study: Study, name: str, tmp_path: Path) -> None:
    figure = drawn(study, name, Look(columns=3))
    png, svg = save(figure, tmp_path / "v1.0")
    pixels = imread(png)
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.05
    assert len(list(ElementTree.parse(svg).getroot().iter())) > 200
    assert (png.name, svg.name) == ("v1.0.png", "v1.0.svg")


def test_figure_files_are_byte_identical_for_the_same_runs(study: Study) -> None:
    once, again = (image(drawn(study, "figure5_best"), "svg") for _ in range(2))
    assert once == again


def test_figure_lines_differ_in_grey_and_dashes() -> None:
    looks = shades(5)
    grey = [float(np.dot(to_rgb(look["color"]), (0.299, 0.587, 0.114))) for look in looks]
    assert min(np.diff(grey)) > 0.08
    assert len({str(look["linestyle"]) for look in looks}) == len({look["marker"] for look in looks}) == 5


def test_figure_of_two_seeds_has_no_band_and_a_note(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / str(seed), win_rate_rows({1000: 0.1, 2000: 0.5 + seed / 4}), seed=seed)
    axis = drawn(Study.load([tmp_path]), "figure1_win_rate").axes[0]
    assert len(axis.collections) == 0
    assert "2 seeds (fewer than 3: no interval)" in axis.get_title()


def test_figure_without_data_reports_why(tmp_path: Path) -> None:
    write_run(tmp_path / "run", win_rate_rows({1000: 0.1}), method="independent")
    said = {name: make(name, Study.load([tmp_path]).cells, Look()) for name in FIGURES}
    assert [name for name, made in said.items() if isinstance(made, Figure)] == ["figure1_win_rate"]
    assert all(made for made in said.values())


def test_figure_text_with_dollar_signs_is_no_formula(tmp_path: Path) -> None:
    write_run(tmp_path / "run", win_rate_rows({1000: 0.1, 2000: 0.2}), map=r"$\frac{1$.toml")
    assert image(drawn(Study.load([tmp_path]), "figure1_win_rate"), "svg")


def test_plot_command_writes_possible_figures_and_names_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(3):
        write_run(tmp_path / "runs" / str(seed), win_rate_rows({1000: 0.1, 2000: 0.5}), seed=seed)
    assert plot.main([str(tmp_path / "runs"), "-o", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FIGURES)
    assert sum("skipped: " in line for line in lines) == 9
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "figure1_win_rate.png",
        "figure1_win_rate.svg",
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["nowhere"], "no such folder"),
        (["RUNS", "--map", "8m"], "maps with runs: 3m"),
        (["RUNS", "--columns", "0"], "got 0"),
    ],
)
def test_plot_mistake_is_one_line_and_exit_code_2(
    options: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run", win_rate_rows({1000: 0.1}))
    with pytest.raises(SystemExit) as end:
        plot.main([str(tmp_path) if option == "RUNS" else option for option in options])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert reason in said and said.count("\n") == 1


def test_plot_without_the_extra_names_the_pip_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        plot.main(["runs"])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert "matplotlib, scipy, jinja2" in said and "pip install" in said and said.count("\n") == 1


def test_unusual_runs_are_in_their_own_figure_only(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=3)
    for seed in range(3):
        rows, sharing = win_rate_rows({1000: 0.1, 10_000: 1.0}), {"selector": "random"}
        write_run(tmp_path / f"r{seed}", rows, map="3m", method="both", bandwidth=1.0, seed=seed, sharing=sharing)
    cells = Study.load([tmp_path]).cells
    figure = make("figure8_variants", cells, Look())
    assert isinstance(figure, Figure)
    assert len(set(image(figure, "png"))) > 50
    (axis,) = [axis for axis in figure.axes if axis.get_visible()]
    assert axis.get_title().startswith("3m, Both-ShareAll")
    told = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert {"as usual", "selector random"} <= told
    for name in ("figure1_win_rate", "figure5_best"):
        other = make(name, cells, Look())
        assert isinstance(other, Figure)
        assert not any("random" in text.get_text() for legend in other.legends for text in legend.get_texts())


def test_figure_lines_of_different_cells_look_different(tmp_path: Path) -> None:
    rows = win_rate_rows({1000: 0.1, 10_000: 1.0})
    for method in ("independent", "centralized", "ippo", "mappo"):
        write_run(tmp_path / method, rows, method=method)
    for method in ("independent", "both"):
        write_run(tmp_path / f"{method}_bf16", rows, method=method, precision="bf16")
    write_run(tmp_path / "both", rows, method="both")
    cells = Study.load([tmp_path]).cells
    assert len(cells) == 7
    for looks in (styles(cells), styles(cells, lambda cell: cell.variant, references=False)):
        seen = {(str(look["color"]), look["linestyle"], look["marker"]) for look in looks.values()}
        assert len(seen) == len(looks) >= 2


def test_centralized_with_a_wire_is_drawn_in_crowded_panels(tmp_path: Path) -> None:
    for i, bandwidth in enumerate((0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)):
        write_run(tmp_path / f"b{i}", _sending(bandwidth), method="both", bandwidth=bandwidth)
    write_run(tmp_path / "c", _sending(1.0), method="centralized")
    figure = make("figure6_bytes", Study.load([tmp_path]).cells, Look())
    assert isinstance(figure, Figure)
    assert "Centralized" in {line.get_label() for line in figure.axes[0].get_lines()}


def test_figure_reports_seeds_without_a_common_range(tmp_path: Path) -> None:
    for seed, rate in enumerate((1.0, 1.1, 40.0)):
        write_run(tmp_path / str(seed), _sending(rate), method="both", seed=seed)
    figure = make("figure6_bytes", Study.load([tmp_path]).cells, Look())
    assert isinstance(figure, Figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["seeds share no range: Both-0.05"]


def _sending(rate: float) -> list[dict[str, float]]:
    rows = win_rate_rows({1000: 0.1, 2000: 0.5, 10_000: 1.0})
    return [{**row, "channel/sent_bytes": 1000.0 * rate * row["env_steps"]} for row in rows]


def test_figure_legend_of_a_single_panel_is_not_cut_off(tmp_path: Path) -> None:
    for method in ("experience", "rollouts", "both", "independent"):
        write_run(tmp_path / method, win_rate_rows({1000: 0.1, 10_000: 1.0}), method=method)
    figure = make("figure1_win_rate", Study.load([tmp_path]).cells, Look(columns=2))
    assert isinstance(figure, Figure)
    image(figure, "png")  # lays it out
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
