"""Runs of the primary for the audit: in a closed loop, or on a recorded stream. Each round gives a fingerprint."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar, cast

from mawm.agents.agent import Agent
from mawm.auditing.adversaries import Explore, plain
from mawm.auditing.stream import Playback, Recorder, Round
from mawm.build import temporary_run
from mawm.collect import Collector
from mawm.configs.presets import load_preset, merge
from mawm.configs.train import GateMode, TrainConfig
from mawm.gating.explorers import Explorers
from mawm.gating.gated import GatedExplorers
from mawm.loop import Run, evaluate_log_and_save, round_
from mawm.team import InlineTeam
from mawm.types import Segment

P = ParamSpec("P")
T = TypeVar("T")
PATIENCE_S = 2.0
"""Seconds that explorers may take for a round before they are disabled."""
Fingerprint = Callable[[Agent], str]
Adversary = Callable[[Explorers, list[Segment]], Explore]
Tamper = Callable[[Run, Explorers | None], Callable[[], None]]
"""Prepares a leak in a run; the returned function is called before each round."""


def audit_config(
    gate: GateMode, steps: int, seed: int, information: Literal["param_ig", "policy_mi"] = "param_ig"
) -> TrainConfig:
    """Settings of a small team for which `steps` include the events of long runs: full replays, checkpoints, rates."""
    changes: dict[str, Any] = {
        "env_steps": steps, "seed": seed, "method": "both", "sharing": {"bandwidth": 1.0},
        "schedule": {"eval_every": max(1, steps // 2), "save_every": max(1, steps // 3), "log_every": steps},
        "gating": {"gate": gate, "explorers": 4, "search": {"evolve_every": steps // 8}},
        "agent": {
            "replay": {"capacity": max(64, steps // 4)},
            "world_model": {"lr_warmup": steps // 20},
            "information": {"kind": information},
            # The range of returns is a running estimate, so explorers could leak into it; the deviation is not.
            "behaviour": {"advantage_scale": "percentiles"},
        },
    }  # fmt: skip
    return merge(load_preset("debug"), changes, "the audit's settings")


@dataclass
class Played:
    """The result of a run: fingerprints by round and learner, agents, and stream."""

    hashes: list[list[str]]
    agents: list[Agent]
    rounds: list[Round]
    events: dict[str, int]
    """Numbers of checkpoints, of evaluations, and of different learning rates of the first world model."""
    failure: str
    """Why explorers were disabled; empty if they were not."""

    @property
    def wraps(self) -> float:
        """How many times the agents' replay with the most rows was filled."""
        return max(
            float(ring._written.max()) / ring.depth for a in self.agents for ring in (a.replay.own, a.replay.received)
        )


def closed_loop(config: TrainConfig, fingerprint: Fingerprint) -> Played:
    """The primary learns from its own battles, and the stream is recorded."""
    with temporary_run(config) as run:
        recorder = Recorder(run.collector)
        run.collector = cast(Collector, recorder)
        return _play(run, fingerprint, lambda: run.collector.env_steps < config.env_steps, recorder.rounds)


def on_stream(
    config: TrainConfig,
    rounds: list[Round],
    fingerprint: Fingerprint,
    *,
    adversary: Adversary = plain,
    tamper: Tamper | None = None,
) -> Played:
    """The primary learns from a recorded stream, independently of its actions."""
    with temporary_run(config) as run:
        playback = Playback(rounds)
        run.collector = cast(Collector, playback)
        explorers = None
        if isinstance(run.explorer_hook, GatedExplorers):
            run.explorer_hook.patience_s = PATIENCE_S
            explorers = run.explorer_hook.explorers
            primary = [segment for segments, _ in rounds for own in segments for segment in own]
            explorers.explore = adversary(explorers, primary)  # type: ignore[method-assign, assignment]
        before = tamper(run, explorers) if tamper else None
        return _play(run, fingerprint, lambda: playback.played < len(rounds), rounds, before)


def _play(
    run: Run,
    fingerprint: Fingerprint,
    unfinished: Callable[[], bool],
    rounds: list[Round],
    before: Callable[[], None] | None = None,
) -> Played:
    assert isinstance(run.team, InlineTeam)
    agents: list[Agent] = run.team.learners
    hashes, rates, events = [], set(), {"checkpoints": 0, "evaluations": 0}

    def counted(event: str, call: Callable[P, T]) -> Callable[P, T]:
        def called(*args: P.args, **named: P.kwargs) -> T:
            events[event] += 1
            return call(*args, **named)

        return called

    run.save, run.evaluate = counted("checkpoints", run.save), counted("evaluations", run.evaluate)
    while unfinished():
        if before is not None:
            before()
        round_(run)
        evaluate_log_and_save(run)
        rates.add(agents[0].model_trainer.optimiser.rate)
        hashes.append([fingerprint(agent) for agent in agents])
    failure = run.explorer_hook.failure if isinstance(run.explorer_hook, GatedExplorers) else ""
    return Played(hashes, agents, rounds, events | {"learning rates": len(rates)}, failure)
