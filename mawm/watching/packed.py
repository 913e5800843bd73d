"""Recorded battles as compact arrays: small integers, compressed, in base64."""

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mawm.agents.world_model import SCORES
from mawm.envs.skirmish import layout as col
from mawm.filming.recording import Battle
from mawm.filming.scene import aims_of
from mawm.types import Bools, Floats
from mawm.watching.beliefs import Belief, Errors
from mawm.watching.features import EAST, HEALTH, NORTH, Features
from mawm.watching.offers import Offer

HUNDRED = 100
"""Positions are stored in hundredths of a cell, observed offsets in hundredths of the sight, shares in hundredths."""
TENTH = 10
"""Health, shields and damage are stored in tenths."""
UNSEEN = -128
"""Stands for the offsets of a unit out of sight."""
ALIGNMENT = 4
FINE, COARSE = 32767, 127
"""Parts of half the range of a number of unknown meaning: as it is and is believed now, and as it is imagined."""
MOST_NUMBERS = 24
"""Numbers of an observation that the page shows, if their meaning is not known."""


def packed(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Arrays in one compressed text: `arrays` lists name, type and shape, in the order of `data`."""
    parts, listed = [], []
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        parts.append(data + bytes(-len(data) % ALIGNMENT))
        listed.append([name, array.dtype.name, list(array.shape)])
    return {"arrays": listed, "data": base64.b64encode(zlib.compress(b"".join(parts), 9)).decode()}


def _integers(values: Any, unit: int, kind: type[np.integer[Any]]) -> NDArray[Any]:
    """Values in parts of 1 / unit, rounded and kept within the type's range."""
    limits = np.iinfo(kind)
    return np.clip(np.rint(np.asarray(values, np.float64) * unit), limits.min, limits.max).astype(kind)


def packed_battle(battle: Battle, names: tuple[str, ...], offers: list[Offer]) -> dict[str, Any]:
    """A battle without beliefs and pictures, as the page's scripts read it; `names` of the agents, if they have any.

    Arrays for T steps: actions (T, N), reward (T,); on the embedded engine also those of `_units`, on others alive
    (T+1, N).
    """
    arrays = {
        "actions": _integers(np.stack(battle.actions), 1, np.int16),
        "reward": np.array(battle.reward, np.float32),
    }
    agents = len(battle.actions[0])
    facts: dict[str, Any] = {"kinds": [*names] or [""] * agents}
    if battle.kinds:
        arrays |= _units(battle, agents)
        stats = battle.stats
        facts = {
            "kinds": list(battle.kinds),
            "hp": stats[:, col.S_HP].tolist(),
            "shield": stats[:, col.S_SHIELD].tolist(),
            "radius": stats[:, col.S_RADIUS].round(3).tolist(),
            "heals": (stats[:, col.S_HEAL] > 0.0).tolist(),
        }
    else:
        arrays["alive"] = np.stack(battle.alive).astype(np.int8)
    return {
        "number": battle.number,
        "steps": battle.steps,
        "end": battle.end,
        **facts,
        "field": packed(arrays),
        "segments": [_segment(offer) for offer in offers],
    }


def _units(battle: Battle, agents: int) -> dict[str, NDArray[Any]]:
    """The field of the engine for T+1 frames and U units.

    x, y, hp, shield (T+1, U) and aim (T+1, U), the unit aimed at (-1: none). hits (events, 5): step, kind (0 hit, 1
    healing), source, target, amount.
    """
    bodies = np.stack(battle.bodies)
    hits = [(step, *hit) for step, found in enumerate(battle.hits) for hit in found]
    rows = np.array(hits, np.float64).reshape(-1, 6)
    return {
        "x": _integers(bodies[..., col.X], HUNDRED, np.int16),
        "y": _integers(bodies[..., col.Y], HUNDRED, np.int16),
        "hp": _integers(np.maximum(bodies[..., col.HP], 0.0), TENTH, np.int16),
        "shield": _integers(bodies[..., col.SHIELD], TENTH, np.int16),
        "aim": _integers(aims_of(bodies, agents), 1, np.int16),
        "hits": np.stack(
            [*(_integers(rows[:, k], 1, np.int16) for k in (0, 2, 3, 4)), _integers(rows[:, 5], TENTH, np.int16)], 1
        ),
    }


def _segment(offer: Offer) -> dict[str, Any]:
    losses = dict(zip(SCORES, (float(f"{x:.4g}") for x in offer.losses), strict=False))
    fate = "sent" if offer.sent else "over budget" if offer.offered else "kept"
    return {
        "agent": offer.agent, "first": offer.first, "last": offer.last, "bytes": offer.size, "fate": fate,
        "losses": losses, "winner": offer.winner, "largest": offer.largest,
        "z": None if offer.z is None else round(offer.z, 2), "needed": offer.needed and round(offer.needed, 2),
    }  # fmt: skip


def packed_agent(
    battle: Battle, features: Features, belief: Belief | None, shields: tuple[bool, bool]
) -> dict[str, Any]:
    """What one agent saw and, with a belief, what it believed and imagined.

    `shields`: whether observations hold shields of enemies, and of allies.
    """
    facts: dict[str, Any] = {"units": list(features.units), "sight": features.sight, "reach": features.reach}
    if belief is None:
        return facts
    arrays: dict[str, NDArray[Any]] = {"policy": _integers(belief.policy, HUNDRED, np.int8)}
    if battle.kinds:
        arrays |= _seen_units(battle, features, belief, shields)
    else:
        numbers, scales = packed_numbers(battle, belief)
        arrays |= numbers
        facts |= scales
    return facts | {"view": packed(arrays), "errors": _errors(belief.errors)}


def _seen_units(
    battle: Battle, features: Features, belief: Belief, shields: tuple[bool, bool]
) -> dict[str, NDArray[Any]]:
    """The other units in real, believed and imagined observations of the engine, and the agent's own state."""
    agents = len(battle.actions[0])
    shielded = [shields[0] if unit >= agents else shields[1] for unit in features.units]
    seen = np.stack([obs[belief.agent] for obs in battle.obs])
    own = np.zeros((battle.steps, 2), np.float32)
    own[:, 0] = belief.decoded[:, features.own]
    if shields[1]:
        own[:, 1] = belief.decoded[:, features.own + 1]
    return {
        "seen": _views(seen, features, features.seen(seen), shielded),
        "believed": _views(belief.decoded, features, features.believed(belief.decoded), shielded),
        "own": _integers(own, HUNDRED, np.int8),
        "imagined": _views(belief.imagined, features, features.believed(belief.imagined), shielded)[..., :3],
    }


def packed_numbers(battle: Battle, belief: Belief) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """An observation whose meaning is not known: the numbers that change most in this battle, at most `MOST_NUMBERS`.

    Arrays in parts of each number's own range: real (T+1, K), decoded (T, K), future (T, H, K). Facts: the `places`
    (K,) of these numbers in the observation, and their ranges `low` and `high` (K,).
    """
    lived = np.stack([alive[belief.agent] for alive in battle.alive])
    real = np.stack([obs[belief.agent] for obs in battle.obs])
    change = (real[lived] / belief.divisor).std(0, dtype=np.float64)
    places = np.sort(np.argsort(-change, kind="stable")[: min(MOST_NUMBERS, int((change > 0.0).sum()) or 1)])
    found = [array[..., places].astype(np.float64) for array in (real, belief.decoded, belief.imagined)]
    low, high = found[0][lived].min(0), found[0][lived].max(0)
    room = np.maximum(high - low, 1e-6 * belief.divisor[places])  # a guess beyond the range is drawn at its edge
    low, high = low - 0.25 * room, high + 0.25 * room
    sides = [2.0 * (array - low) / (high - low) - 1.0 for array in found]  # the range becomes -1 to 1
    arrays = {
        "real": _integers(sides[0], FINE, np.int16),
        "decoded": _integers(sides[1], FINE, np.int16),
        "future": _integers(sides[2], COARSE, np.int8),
    }
    scales = {name: [float(f"{value:.5g}") for value in ends] for name, ends in (("low", low), ("high", high))}
    return arrays, {"places": places.tolist(), **scales}


def _views(obs: Floats, features: Features, seen: Bools, shielded: list[bool]) -> NDArray[np.int8]:
    """East, north (hundredths of the sight), health and shield (hundredths) of the other units (..., units, 4).

    `seen` (..., units): the units that are in sight; the others are `UNSEEN`.
    """
    first = np.array(features.places, np.int64)
    columns = [obs[..., first + at] for at in (EAST, NORTH, HEALTH)]
    columns.append(np.where(shielded, obs[..., np.minimum(first + HEALTH + 1, obs.shape[-1] - 1)], 0.0))
    views: NDArray[np.int8] = np.maximum(_integers(np.stack(columns, -1), HUNDRED, np.int8), UNSEEN + 1)
    views[~seen] = UNSEEN
    return views


def _errors(errors: Errors) -> dict[str, list[Any]]:
    """The errors with four digits, None where there is no pair, and the numbers of pairs."""
    found: dict[str, list[Any]] = {
        name: [None if value != value else float(f"{value:.4g}") for value in values.tolist()]
        for name, values in vars(errors).items()
    }
    return found | {"count": errors.count.tolist()}
