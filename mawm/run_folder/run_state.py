"""Saves a run's whole state as named parts, and restores it."""

from typing import Any

from mawm.loop import Run
from mawm.run_folder.checkpoint import Loaded, Part
from mawm.storage.append_only_tables import Base
from mawm.storage.safe_read import DamagedError
from mawm.team import Team

COUNTERS = ("channel", "schedule", "averages")
"""Parts of a run whose state is values for JSON alone."""
EXPLORERS = "explorers"
"""The part of a checkpoint that holds the explorers."""


def parts_of(run: Run, base: Base | None = None) -> dict[str, Part]:
    """The state that a run needs to continue: learners, collector with environment, counters, explorers.

    Replays: only the rows since `base`.
    """
    names = [f"learner_{name}" for name in run.names]
    since = {part: {} if base is None else base.since(part) for part in (*names, EXPLORERS)}
    learners = run.team.states([since[name] for name in names])
    parts: dict[str, Part] = dict(zip(names, learners, strict=True))
    arrays, collector = run.collector.state()
    counters = {name: getattr(run, name).state() for name in COUNTERS}
    parts["run"] = (arrays, {"collector": collector, **counters, "wall_s": run.wall_s, "agents": list(run.agents)})
    explorers = run.explorer_hook.state(since[EXPLORERS])
    if explorers is not None:
        parts[EXPLORERS] = explorers
    return parts


def restore(run: Run, loaded: Loaded) -> None:
    """Continue from a checkpoint. DamagedError, with its path, if a part is missing or has another shape.

    ValueError if it is of agents with other names, or in another order: each learner would get another agent's weights.
    """
    parts = loaded.parts
    saved = parts["run"][1].get("agents", []) if "run" in parts else []
    if saved and run.agents and tuple(saved) != run.agents:
        names = ", ".join(run.agents)
        raise ValueError(f"{loaded.path} is of the agents {', '.join(saved)}; the environment has {names}")
    try:
        load_team(run.team, run.names, parts)
        arrays, values = parts["run"]
        run.collector.load_state(arrays, values["collector"])
        for name in COUNTERS:
            getattr(run, name).load_state(values[name])
        run.wall_s = run.saved_at_s = float(values["wall_s"])
        if EXPLORERS in parts:
            run.explorer_hook.load_state(parts[EXPLORERS])
    except (KeyError, IndexError, TypeError) as error:
        raise DamagedError(
            f"{loaded.path} does not fit this run ({type(error).__name__}: {error}): it was saved by another "
            "version or with other settings; start again with --fresh"
        ) from None


def load_team(team: Team, names: tuple[str, ...], parts: dict[str, Any]) -> None:
    """Give every learner its part of a checkpoint."""
    team.load_states([parts[f"learner_{name}"] for name in names])
