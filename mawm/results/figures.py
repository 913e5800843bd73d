"""The paper's Figures 1-5 from runs, and figures of the bytes sent. A figure without data returns the reason."""

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from mawm.results.aggregate import Curve, iqm
from mawm.results.cells import Cell, best_bandwidths, cell_label, maps_of
from mawm.results.drawing import (
    SETTINGS,
    Look,
    draw_band,
    panels,
    plain_log,
    shades,
    shared_legend,
    styles,
    title_panel,
)
from mawm.results.record import SAMPLED, WIN_RATE, RunRecord
from mawm.results.tables import RETURNS, score_of

WORLD_MODEL = {
    "obs_loss": "observation loss (Eq. 1)",
    "action_loss": "action loss (Eq. 1)",
    "reward_loss": "reward loss (Eq. 2)",
    "terminal_loss": "termination loss (Eq. 2)",
    "avail_loss": "available-action loss (Eq. 3)",
    "kl": "KL divergence (Eq. 3)",
}
RETURN = "eval/return"
PAPERS_MAP = "2s_vs_1sc"
STEPS = "thousand environment steps"
RATE = "win rate (%)"
CROWD = 6
"""With more lines in a panel of the bytes figure, each method gets its own panel."""


def make(name: str, cells: Sequence[Cell], look: Look) -> Figure | str:
    """A figure by its name in FIGURES, or the reason why there is none."""
    with mpl.rc_context(SETTINGS):
        return FIGURES[name][0](cells, look)


def _win_rates(cells: Sequence[Cell], look: Look, tag: str = WIN_RATE) -> Figure | str:
    chosen = {name: kept for name in maps_of(cells) if (kept := _played(_widest(cells, name), tag))}
    return _win_rate_panels(chosen, look, tag=tag) if chosen else f"no run logged {tag}"


def _returns(cells: Sequence[Cell], look: Look) -> Figure | str:
    plain = {name for name in maps_of(cells) if score_of([cell for cell in cells if cell.map == name]) is RETURNS}
    chosen = {name: kept for name in sorted(plain) if (kept := [c for c in _widest(cells, name) if c.curves(RETURN)])}
    if not chosen:
        return "every environment has win rates"
    figure, axes = panels(len(chosen), look)
    looks = styles([cell for mine in chosen.values() for cell in mine])
    for axis, (title, mine) in zip(axes, chosen.items(), strict=True):
        for cell in mine:
            curves = [(steps / 1000, values) for steps, values in cell.curves(RETURN)]
            draw_band(axis, curves, looks[cell.label], cell.label)
        title_panel(axis, title, mine)
        axis.set(xlabel=STEPS, ylabel="return in evaluation")
    shared_legend(figure, looks, look)
    return figure


def _world_model(cells: Sequence[Cell], look: Look) -> Figure | str:
    name = _loss_map(cells, look)
    mine = [c for c in _widest(cells, name) if any(_of_agent(c, look.agent, f"world_model/{x}") for x in WORLD_MODEL)]
    shown = [loss for loss in WORLD_MODEL if any(_of_agent(c, look.agent, f"world_model/{loss}") for c in mine)]
    if not shown:
        return f"no run on {name or 'any map'} logged a world-model loss of {look.agent}"
    panel_of = {(look.agent, f"world_model/{loss}"): WORLD_MODEL[loss] for loss in shown}
    figure = _loss_panels(name, mine, panel_of, look)
    for axis in figure.axes[: len(shown)]:
        if all((np.asarray(line.get_ydata(), float) > 0).all() for line in axis.get_lines()):
            axis.set_yscale("log")
            plain_log(axis.yaxis)
    return figure


def _actor_critic(cells: Sequence[Cell], look: Look) -> Figure | str:
    name = _loss_map(cells, look)
    mine = _widest(cells, name)
    logged = [agent for agent in ("agent_0", "agent_1", "team") if any(c.curves(f"{agent}/critic/loss") for c in mine)]
    agents = [agent for agent in logged if agent != "team"] or logged
    if not agents:
        return f"no run on {name or 'any map'} logged a critic's loss"
    parts = ("critic", "actor")
    return _loss_panels(name, mine, {(agent, f"{p}/loss"): f"{p} loss" for p in parts for agent in agents}, look)


def _loss_panels(name: str, cells: Sequence[Cell], panel_of: dict[tuple[str, str], str], look: Look) -> Figure:
    """A panel for each agent and tag in `panel_of`, which gives the label of the y-axis."""
    figure, axes = panels(len(panel_of), look)
    looks = styles(cells)
    for axis, ((agent, tag), label) in zip(axes, panel_of.items(), strict=True):
        for cell in cells:
            draw_band(axis, _of_agent(cell, agent, tag), looks[cell.label], cell.label)
        title_panel(axis, f"{name}, {agent}", cells)
        axis.set(xlabel=STEPS, ylabel=label)
    shared_legend(figure, looks, look)
    return figure


def _bandwidths(cells: Sequence[Cell], look: Look) -> Figure | str:
    swept = {title: mine for title, mine in _families(cells).items() if len(mine) > 1}
    if not swept:
        return "no method was run with two bandwidths on one map"
    return _win_rate_panels(_with_constant(swept, _usual(_played(cells))), look, attrgetter("sweep_label"))


def _best(cells: Sequence[Cell], look: Look) -> Figure | str:
    chosen = {}
    for name in maps_of(cells):
        mine = _usual([cell for cell in _played(cells) if cell.map == name and cell.finals])
        best = best_bandwidths(mine, lambda cell: float(iqm(list(cell.finals.values()))))
        if len(best) > 1:
            chosen[name] = best
    return _win_rate_panels(chosen, look) if chosen else "no map was run with two methods"


def _variants(cells: Sequence[Cell], look: Look) -> Figure | str:
    groups: dict[str, list[Cell]] = {}
    for cell in _played(cells):
        groups.setdefault(f"{cell.map}, {cell_label(cell.method, cell.bandwidth)}", []).append(cell)
    chosen = {title: mine for title, mine in groups.items() if len(mine) > 1}
    if not chosen:
        return "no method was run in two ways at one bandwidth"
    return _win_rate_panels(chosen, look, lambda cell: cell.variant or "as usual", references=False)


def _against_bytes(cells: Sequence[Cell], look: Look) -> Figure | str:
    cells = [cell for cell in cells if cell.wins]
    sending = [cell for cell in cells if any(len(_by_bytes(run)[0]) for run in cell.runs)]
    if not sending:
        return "no run sent a byte between its evaluations"
    crowded = any(sum(cell.map == name for cell in sending) > CROWD for name in maps_of(sending))
    chosen = (
        _with_constant(_families(sending), sending)
        if crowded
        else {m: [c for c in sending if c.map == m] for m in maps_of(sending)}
    )
    figure, axes = panels(len(chosen), look)
    name: Namer = attrgetter("sweep_label" if crowded else "label")
    looks = styles(sorted(sending, key=lambda cell: cell.bandwidth or 0) if crowded else sending, name)
    silent = [cell for cell in cells if cell.bandwidth is None and cell.finals and cell not in sending]
    level = styles(silent)
    for axis, (title, mine) in zip(axes, chosen.items(), strict=True):
        for cell in mine:
            curves = [curve for run in cell.runs if len((curve := _by_bytes(run))[0])]
            draw_band(axis, curves, looks[name(cell)], name(cell), steps=True)
        for cell in silent:
            if cell.map == mine[0].map:
                label = f"{cell.label}: final, no channel"
                looks[label] = {**level[cell.label], "marker": ""}
                axis.axhline(100 * float(iqm(list(cell.finals.values()))), label=label, lw=1.4, **looks[label])
        title_panel(axis, title, mine)
        axis.set(xscale="log", xlabel="MB sent by the team since the run began", ylabel=RATE, ylim=(-3, 103))
        plain_log(axis.xaxis, (1.0,))
    shared_legend(figure, looks, look)
    return figure


def _realised(cells: Sequence[Cell], look: Look) -> Figure | str:
    tag = "channel/realised_bandwidth"
    logged = [c for c in cells if c.bandwidth and any(np.isfinite(run.last(tag)) for run in c.runs)]
    if not logged:
        return f"no run with a bandwidth above 0 logged {tag}"
    families = list(dict.fromkeys(cell.family for cell in logged))
    by_name = dict(zip(families, shades(len(families)), strict=True))
    figure, axes = panels(len(maps_of(logged)), look)
    for axis, name in zip(axes, maps_of(logged), strict=True):
        mine = [cell for cell in logged if cell.map == name]
        for cell in mine:
            values = [run.last(tag) for run in cell.runs]
            style = {**by_name[cell.family], "linestyle": "none", "markerfacecolor": "none"}
            beside = 1.08 ** (families.index(cell.family) - (len(families) - 1) / 2)  # marks of methods side by side
            at = [(cell.bandwidth or 0.0) * beside] * len(values)
            axis.plot(at, values, label=cell.family, markersize=5, **style)
        ticks = sorted({cell.bandwidth for cell in mine if cell.bandwidth})
        ends = np.array([ticks[0] / 2, max(1.0, ticks[-1])])
        axis.plot(ends, ends, color="0.5", lw=1, label="the promise")
        zeros = any(run.last(tag) <= 0 for cell in mine for run in cell.runs)  # a logarithmic axis cannot show them
        axis.set_title(f"{name}\na mark a run; line: all that is allowed")
        axis.set_yscale(**({"value": "symlog", "linthresh": ticks[0] / 10} if zeros else {"value": "log"}))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.set(xscale="log", xlabel="nominal bandwidth", ylabel="realised bandwidth")
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_xticks([], minor=True)
    shared_legend(figure, by_name, look, lines=False)
    return figure


Namer = Callable[[Cell], str]
Maker = Callable[[Sequence[Cell], Look], Figure | str]
FIGURES: dict[str, tuple[Maker, str]] = {
    "figure1_win_rate": (_win_rates, "Figure 1 of the paper: win-rate curves, each method at its largest bandwidth"),
    "figure2_world_model": (_world_model, "Figure 2 of the paper: losses of an agent's RSSM+Predictors"),
    "figure3_actor_critic": (_actor_critic, "Figure 3 of the paper: losses of critic and actor"),
    "figure4_bandwidths": (_bandwidths, "Figure 4 of the paper: one method with different bandwidths"),
    "figure5_best": (_best, "Figure 5 of the paper: each method at its best bandwidth (chosen on these same seeds)"),
    "figure6_bytes": (_against_bytes, "Win rate against all that was sent until then"),
    "figure7_realised": (_realised, "Bandwidth that was used against bandwidth that was allowed"),
    "figure8_variants": (_variants, "The same method and bandwidth in different ways: controls, selectors, wires"),
    "figure9_win_rate_sampled": (
        partial(_win_rates, tag=SAMPLED),
        "Win-rate curves with sampled actions, each method at its largest bandwidth",
    ),
    "figure10_return": (_returns, "Curves of the return in environments without wins"),
}


def _win_rate_panels(
    chosen: dict[str, list[Cell]],
    look: Look,
    name: Namer = attrgetter("label"),
    references: bool = True,
    tag: str = WIN_RATE,
) -> Figure:
    figure, axes = panels(len(chosen), look)
    cells = sorted((cell for mine in chosen.values() for cell in mine), key=lambda cell: cell.bandwidth or 0)
    looks = styles(cells, name, references)
    for axis, (title, mine) in zip(axes, chosen.items(), strict=True):
        for cell in mine:
            curves = [(steps / 1000, 100 * values) for steps, values in cell.curves(tag)]
            draw_band(axis, curves, looks[name(cell)], name(cell))
        title_panel(axis, title, mine)
        axis.set(xlabel=STEPS, ylabel=RATE if tag == WIN_RATE else f"{RATE}, sampled", ylim=(-3, 103))
    shared_legend(figure, looks, look)
    return figure


def _played(cells: Sequence[Cell], tag: str = WIN_RATE) -> list[Cell]:
    """The cells that have win rates under a tag."""
    return [cell for cell in cells if cell.wins and cell.curves(tag)]


def _widest(cells: Sequence[Cell], name: str) -> list[Cell]:
    """Each method's cells with its largest bandwidth on a map, as in the paper's Figures 1-3."""
    mine = _usual([cell for cell in cells if cell.map == name])
    widest: dict[str, float] = {}
    for cell in mine:
        widest[cell.method] = max(widest.get(cell.method, 0.0), cell.bandwidth or 0.0)
    return [cell for cell in mine if (cell.bandwidth or 0.0) == widest[cell.method]]


def _usual(cells: Sequence[Cell]) -> list[Cell]:
    """Cells with default settings; for a method that has none on a map, all its cells."""
    plain = {(cell.map, cell.method) for cell in cells if not cell.variant}
    return [cell for cell in cells if not cell.variant or (cell.map, cell.method) not in plain]


def _loss_map(cells: Sequence[Cell], look: Look) -> str:
    names = maps_of(cells)
    if look.map or not names:
        return look.map
    if PAPERS_MAP in names:
        return PAPERS_MAP
    return max(names, key=lambda name: len({cell.method for cell in cells if cell.map == name}))


def _families(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The cells that differ in their bandwidth only, by a title."""
    found: dict[str, list[Cell]] = {}
    for cell in _played(cells):
        if cell.bandwidth is not None:
            found.setdefault(f"{cell.map}, {cell.family}", []).append(cell)
    return found


def _with_constant(families: dict[str, list[Cell]], cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Each family with the cells of its map that have no bandwidth."""
    return {
        title: [*mine, *(cell for cell in cells if cell.map == mine[0].map and cell.bandwidth is None)]
        for title, mine in families.items()
    }


def _of_agent(cell: Cell, agent: str, tag: str) -> list[Curve]:
    """An agent's curves over thousands of steps; the team's if one model serves all agents."""
    curves = cell.curves(f"{agent}/{tag}") or cell.curves(f"team/{tag}")
    return [(steps / 1000, values) for steps, values in curves]


def _by_bytes(run: RunRecord) -> Curve:
    """Win rate in percent over megabytes sent until the evaluation."""
    steps, rates = run.curve(WIN_RATE)
    logged, sent = run.bytes_sent()
    if not len(steps) or not len(logged):
        return np.zeros(0), np.zeros(0)
    at = np.searchsorted(logged, steps, side="right") - 1
    kept = (at >= 0) & (sent[at] > 0)
    megabytes = sent[at][kept] / 1e6
    last = np.append(np.diff(megabytes) > 0, True) if len(megabytes) else np.zeros(0, bool)
    return megabytes[last], 100 * rates[kept][last]
