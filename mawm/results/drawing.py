"""Line styles and panels of figures.

Lines differ in dashes, marker and lightness, so that grey prints stay readable.
"""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from mawm.methods import METHODS
from mawm.results.aggregate import MIN_SEEDS, Curve, curve_band
from mawm.results.cells import Cell

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (7, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = "osD^vPX*<>"
SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "legend.fontsize": 8,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "mawm",
    "savefig.dpi": 150,
    "text.parse_math": False,  # a name from a run is no formula
}
TITLE_WIDTH = 48
"""Characters of a title's line that fit over one panel."""
NO_INTERVAL = f"fewer than {MIN_SEEDS}: no interval"
NO_BAND = f"no band where fewer than {MIN_SEEDS}"


@dataclass(frozen=True)
class Look:
    """Options of figures."""

    columns: int = 2
    """Panels side by side."""
    map: str = ""
    """The map of the loss figures; empty: the paper's 2s_vs_1sc if there are runs on it, else the map with most
    methods."""
    agent: str = "agent_0"
    """The agent whose world model Figure 2 shows."""


LEGEND_LINE = 0.2
"""Inches of one line of a legend."""
ALONE = "seeds share no range"
REFERENCE_STYLES = (
    {"color": "0.6", "linestyle": ":", "marker": "x"},
    {"color": "black", "linestyle": "-.", "marker": "+"},
)
"""Styles of the paper's two reference methods, independent and centralized."""


def shades(count: int) -> list[dict[str, Any]]:
    """Colours from dark to light, each with its own line style and marker."""
    return [
        {
            "color": mpl.colormaps["viridis"](place),
            "linestyle": DASHES[i % len(DASHES)],
            "marker": MARKERS[i % len(MARKERS)],
        }
        for i, place in enumerate(np.linspace(0.0, 0.85, max(count, 2))[:count])
    ]


def styles(
    cells: Sequence[Cell], name: Callable[[Cell], str] = attrgetter("label"), references: bool = True
) -> dict[str, dict[str, Any]]:
    """Colour, line style and marker by name, from dark to light; the paper's two reference methods have fixed styles.

    `references=False`: no fixed styles, for names that several methods share.
    """
    # The table may have more such methods than the paper; those have no fixed style.
    paper = [method for method, plan in METHODS.items() if plan.paper and not plan.selects] if references else []
    fixed = dict(zip(paper, REFERENCE_STYLES, strict=False))
    look = {name(c): fixed[c.method] for c in cells if c.method in fixed and not c.variant}
    labels = list(dict.fromkeys(label for cell in cells if (label := name(cell)) not in look))
    return dict(zip(labels, shades(len(labels)), strict=True)) | look


def panels(count: int, look: Look, width: float = 4.0, height: float = 2.7) -> tuple[Figure, list[Axes]]:
    """A figure with a number of panels."""
    columns = min(look.columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, list(axes[:count])


def draw_band(axis: Axes, curves: Sequence[Curve], style: dict[str, Any], label: str, steps: bool = False) -> None:
    """The IQM over seeds as a thick line with its 95 % band, and each seed as a thin line; `steps`: draw steps."""
    held = "steps-post" if steps else "default"
    plain = {"color": style["color"], "linestyle": style["linestyle"]}
    for x, y in curves:
        axis.plot(x, y, lw=0.6, alpha=0.45, drawstyle=held, marker="." if len(x) == 1 else "", **plain)
    grid, middle, low, high = curve_band(curves)
    if not len(grid):
        lines = sum(text.get_text().startswith(ALONE) for text in axis.texts)
        axis.text(
            0.02, 0.97 - 0.09 * lines, f"{ALONE}: {label}", transform=axis.transAxes, va="top", fontsize="x-small"
        )
        return
    every = max(1, len(grid) // 8)
    axis.plot(grid, middle, label=label, lw=1.8, markersize=4.5, markevery=every, drawstyle=held, **style)
    if np.isfinite(low).all():
        axis.fill_between(grid, low, high, color=style["color"], alpha=0.18, lw=0, step="post" if steps else None)


def title_panel(axis: Axes, text: str, cells: Sequence[Cell]) -> None:
    """A panel's title with its number of seeds and its engine, and a note if too few seeds give no interval."""
    counts = sorted({len(cell.runs) for cell in cells})
    seeds = f"{counts[0]}-{counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seed{'s' * (counts[0] > 1)}"
    if counts[0] < MIN_SEEDS:
        seeds += f" ({NO_INTERVAL if counts[-1] < MIN_SEEDS else NO_BAND})"
    engines = sorted({run.engine for cell in cells for run in cell.runs} - {""})
    axis.set_title("\n".join((text, *textwrap.wrap(", ".join((seeds, *engines)), TITLE_WIDTH))))


def plain_log(axis: Axis, subs: tuple[float, ...] = (1.0, 2.0, 5.0)) -> None:
    """Plain numbers on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def shared_legend(figure: Figure, looks: dict[str, dict[str, Any]], look: Look, lines: bool = True) -> None:
    """One legend below all panels."""
    handles = [
        Line2D([], [], label=label, lw=1.8, markersize=4.5, **(style if lines else {**style, "linestyle": "none"}))
        for label, style in looks.items()
    ]
    if lines:
        handles.append(Line2D([], [], color="0.4", lw=0.6, label="thin: a seed; thick: IQM; band: 95 % bootstrap"))
    # A legend wider than its figure is cut off, so it has as many columns as there are panels side by side. The figure
    # becomes higher, because the legend would otherwise shrink the panels.
    places = [place for axis in figure.axes if axis.get_visible() and (place := axis.get_subplotspec()) is not None]
    columns = min(len({place.colspan.start for place in places}), 2)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * -(-len(handles) // columns))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
