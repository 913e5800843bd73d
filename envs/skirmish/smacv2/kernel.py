"""Steps of B battles on SMACv2's maps: the game loop of SMAC's maps, with drawn teams and hunting enemies."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mawm.envs.skirmish import layout as col
from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.kernel import clear_book, note_end, play_step, stand, unavailable
from mawm.envs.skirmish.rng import shuffle
from mawm.envs.skirmish.smacv2.contract import forget_sighters, remember_places, settle, write_views
from mawm.envs.skirmish.smacv2.teams import AT_X, AT_Y, NUMBER, draw_starts, draw_teams, number_agents
from mawm.types import Bools, Ints


class World(NamedTuple):
    """What all battles of a map share: `tables` (2, 3, STAT) are the kinds' data for allies and for enemies.

    `rules` (F,), `grounds` (2, W, H) and `toward` as for SMAC's maps; `offsets` (G, 2): see `teams._spread`.
    """

    rules: NDArray[np.float64]
    tables: NDArray[np.float64]
    grounds: Bools
    toward: NDArray[np.int16]
    offsets: NDArray[np.float64]


class Battles(NamedTuple):
    """The state of B battles.

    `kinds` (B, U) type bits, `bodies` (B, U, BODY), `books` (B, BOOK), `last` (B, N) last actions, -1: none, `places`
    (B, E, 2): see `contract.remember_places`. `sighters` (B, 2, E) before and after the present observations. `stats`
    (B, U, STAT) follows from `kinds` and the order of creation, S_CREATED.
    """

    kinds: Ints
    stats: NDArray[np.float64]
    bodies: NDArray[np.float64]
    books: NDArray[np.uint64]
    last: Ints
    sighters: Ints
    places: NDArray[np.float64]


class Views(NamedTuple):
    """One arrival in B battles: obs (B, N, O), avail (B, N, A), alive (B, N), state (B, S)."""

    obs: NDArray[np.float32]
    avail: Bools
    alive: Bools
    state: NDArray[np.float32]


class Work(NamedTuple):
    """Working memory: scratch (3, U, 4) as in `skirmish.kernel.play`, points (U, 3), groups (4, 3), order (N,)."""

    scratch: NDArray[np.float64]
    points: NDArray[np.float64]
    groups: NDArray[np.float64]
    order: Ints


@scalar
def _copy(source, out):  # type: ignore[no-untyped-def]
    """Copy a row. A slice assignment would allocate memory, because the rows may overlap."""
    for k in range(len(out)):
        out[k] = source[k]


@scalar
def spawn(c, world, work, seed, number, kinds, stats, bodies, book, last, sighters, places):  # type: ignore[no-untyped-def]
    """Set up battle `number` in one row: draw and number its units."""
    clear_book(book, seed, number)
    n, points = c.n_agents, work.points
    draw_teams(book, c.barred, kinds, n)
    fill_stats(world, kinds, stats, n)
    draw_starts(book, world.rules, stats, points, work.groups, world.offsets, n, float(c.grid.shape[0]))
    number_agents(c.ranks, kinds, points, n)
    fill_stats(world, kinds, stats, n)
    for u in range(len(bodies)):
        stats[u, col.S_CREATED] = points[u, NUMBER]
        stand(bodies[u], stats[u], points[u, AT_X], points[u, AT_Y], u < n)
    last[:] = -1
    sighters[:] = -1
    remember_places(c, bodies, places)


@scalar
def fill_stats(world, kinds, stats, n_agents):  # type: ignore[no-untyped-def]
    """Write the data of each unit's kind into `stats` (U, STAT). Allies are the map's own copies of the kinds."""
    always = 0.0
    for u in range(len(kinds)):
        _copy(world.tables[0 if u < n_agents else 1, kinds[u]], stats[u])
        if u < n_agents:
            always = max(always, stats[u, col.S_ALWAYS])
        else:
            stats[u, col.S_ALWAYS] = always


@scalar
def show(c, battles, work, b, views):  # type: ignore[no-untyped-def]
    """Write the present arrival of battle b into its row of `views`. A second call writes the same.

    Agents observe in a random order of this step, as in SMACv2, because the first one that sees an enemy matters.
    """
    body, sighters = battles.bodies[b], battles.sighters[b]
    for i in range(c.n_agents):
        views.alive[b, i] = body[i, col.HP] > 0.0
    _copy(sighters[0], sighters[1])
    shuffle(battles.books[b], battles.books[b, col.STEPS], work.order)
    write_views(
        c, battles.kinds[b], battles.stats[b], body, battles.last[b], sighters[1], battles.places[b], work.order,
        views.obs[b], views.avail[b], views.state[b],
    )  # fmt: skip


@scalar
def _next(c, world, work, seed, stride, battles, b):  # type: ignore[no-untyped-def]
    """Start the next battle of row b: number `books[b, BATTLE] + stride`."""
    spawn(
        c, world, work, seed, battles.books[b, col.BATTLE] + stride, battles.kinds[b], battles.stats[b],
        battles.bodies[b], battles.books[b], battles.last[b], battles.sighters[b], battles.places[b],
    )  # fmt: skip


@scalar
def begin(c, world, work, seed, stride, battles, views):  # type: ignore[no-untyped-def]
    """Start the next battle in every row."""
    for b in range(len(battles.bodies)):
        _next(c, world, work, seed, stride, battles, b)
        show(c, battles, work, b, views)


@scalar
def advance(c, world, work, seed, stride, options, actions, battles, logs, views, final, reward, flags, deaths):  # type: ignore[no-untyped-def]
    """Play one step of B battles. A row whose battle ends starts its next battle; `final` holds its last arrival.

    `final` and `views` share one state (B, S), which holds the new arrival in the end.
    Enemies hunt at the beginning of a step: the map's trigger runs every 8 loops. `options`: (sparse, signed) rewards.
    Returns -1, or the index of the first action that its mask forbids (see `unavailable`); then no step is played.
    """
    for b in range(len(battles.bodies)):
        wrong = unavailable(c, battles.kinds[b], battles.bodies[b], b, actions[b])
        if wrong >= 0:
            return wrong
    for b in range(len(battles.bodies)):
        body, book, stats = battles.bodies[b], battles.books[b], battles.stats[b]
        play_step(
            stats, world.rules, world.grounds, world.toward, body, book, work.scratch, logs[b], battles.last[b],
            actions[b], True,
        )  # fmt: skip
        steps = np.int64(book[col.STEPS])
        reward[b], code, over, timeout = settle(
            c, battles.kinds[b], stats, work.scratch[0], body, steps, options[0], options[1]
        )
        note_end(code, over, timeout, body, c.n_agents, flags[b], deaths[b])
        _copy(battles.sighters[b, 1], battles.sighters[b, 0])
        forget_sighters(c, body, battles.sighters[b, 0])
        remember_places(c, body, battles.places[b])
        if over:
            show(c, battles, work, b, final)
            _next(c, world, work, seed, stride, battles, b)
        show(c, battles, work, b, views)
    return -1
