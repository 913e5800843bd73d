"""The training loop: Algorithms 1 and 2 of the paper, line by line. It is the same for all methods.

In docstrings and comments, Z is the paper of Zeng & Zhang (docs/paper.md), G is the gating paper, and A is the
asymmetric gating paper (docs/gating.md). Sections, algorithms and equations without a letter are Z's.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mawm.collect import Collector
from mawm.configs.train import ScheduleConfig
from mawm.evaluation import TeamEvaluation
from mawm.gating.explorer_hook import ExplorerHook
from mawm.nonfinite import NonFiniteWatch
from mawm.schedule import Schedule
from mawm.sharing.broadcast import Outbox
from mawm.sharing.channel import Channel
from mawm.storage.metrics_log import Averages, Writer
from mawm.team import Team
from mawm.types import Metrics

RETRY_S = 2.0
"""Seconds before a retry of a run's last save."""


@dataclass
class Run:
    """The parts of a run. `mawm.build` makes them."""

    env_steps: int
    """Environment steps to train for."""
    config: ScheduleConfig
    team: Team
    names: tuple[str, ...]
    """The tag prefix of each learner, say `agent_0`."""
    collector: Collector
    channel: Channel
    explorer_hook: ExplorerHook
    """The explorers, if there are any. It decides which of their data reach the team."""
    schedule: Schedule
    writers: list[Writer]
    evaluate: Callable[[], TeamEvaluation]
    save: Callable[["Run"], bool]
    """Saves a checkpoint; False on failure, SavingFailed after too many failures."""
    report: Callable[["Run", Metrics], None]
    nonfinite: NonFiniteWatch
    """Reports updates that were skipped because they were non-finite."""
    write_ledger: Callable[[list[dict[str, Any]]], None]
    """Appends rows of the channel's ledger to a table."""
    agents: tuple[str, ...] = ()
    """The names of the environment's agents in their order; empty if they have none."""
    film: Callable[[int, Sequence[Sequence[int]]], None] = lambda env_steps, actions: None
    """Logs the first battle of an evaluation, given its joint actions, as a film."""
    averages: Averages = field(default_factory=Averages)
    wall_s: float = 0.0
    saved_at_s: float = 0.0
    """Seconds of training at the last attempt to save. A failed attempt counts: the next one waits as long."""
    stop: bool = False
    """Whether to end after the current round."""

    def end_soon(self) -> None:
        """Request the end of the run after the current round."""
        self.stop = True

    def log(self, results: list[Metrics]) -> None:
        """Add the learners' metrics to the averages, each under the learner's name."""
        for name, metrics in zip(self.names, results, strict=True):
            self.averages.add(metrics, f"{name}/")
        self.nonfinite.look(self.team, self.names, results, self.collector.env_steps)

    def log_offers(self, kind: str, outboxes: list[Outbox]) -> None:
        """Add each selector's diagnostics to the averages, say the threshold."""
        for name, outbox in zip(self.names, outboxes, strict=True):
            self.averages.add(outbox.diagnostics, f"{name}/selector/{kind}/")


def train(run: Run) -> None:
    """Run rounds until all environment steps are played or the run is stopped, then save until a save succeeds."""
    started = time.monotonic() - run.wall_s
    while run.collector.env_steps < run.env_steps and not run.stop:
        round_(run)
        run.wall_s = time.monotonic() - started
        evaluate_log_and_save(run)
    while not run.save(run):
        time.sleep(RETRY_S)


def round_(run: Run) -> None:
    """One round of Algorithms 1 and 2."""
    team, channel = run.team, run.channel
    mode = run.schedule.mode(run.collector.env_steps)
    segments = run.collector.collect(run.config.round_steps, mode)  # Alg. 1, lines 3-4
    team.remember(segments)  # line 6
    steps = run.collector.env_steps
    offers = team.offer_segments(segments, env_steps=steps)  # section 4.2: L_M >= mu_M + c sigma_M
    run.log_offers("experience", offers)
    received = channel.exchange("experience", offers)  # line 5; the gate checks roles
    run.log(team.admit(received))
    explored = run.explorer_hook.round(team, run.config.round_steps, steps)  # G Eq. 4; mode `policy`: G Eq. 3
    run.averages.add(explored, "explorers/")
    updates = run.schedule.due(steps)
    run.log(team.fit_world_model(updates.model))  # lines 9-10: Eq. 1 on own, Eqs. 2-3 on pooled
    team.imagine(updates.behaviour)  # lines 11-12; Alg. 2, line 7
    offers = team.offer_rollouts(env_steps=steps)  # section 4.2: the critic's loss
    run.log_offers("rollouts", offers)
    received = channel.exchange("rollouts", offers)  # Alg. 2, line 8
    share_won = run.collector.share_won()
    run.log(team.fit_behaviour(received, env_steps=steps, share_won=share_won))  # line 13; Alg. 2, lines 11-12


def evaluate_log_and_save(run: Run) -> None:
    """Evaluate, log and save, each when it is due."""
    steps, config = run.collector.env_steps, run.config
    metrics: Metrics = {}
    if run.schedule.passed("eval", steps, config.eval_every) or steps >= run.env_steps:
        evaluation = run.evaluate()
        metrics |= {f"eval/{name}": value for name, value in evaluation.metrics().items()}
        run.film(steps, evaluation.greedy.first)
    if metrics or run.schedule.passed("log", steps, config.log_every):
        metrics |= run.averages.flush() | run.collector.metrics() | run.channel.metrics(steps)
        metrics["time/env_steps_per_s"] = steps / max(1e-9, run.wall_s)
        for writer in run.writers:
            writer.write(steps, run.wall_s, metrics)
        run.write_ledger(run.channel.close_ledger(steps))
        run.report(run, metrics)
    if run.schedule.passed("save", steps, config.save_every) or run.wall_s - run.saved_at_s > 60 * config.save_minutes:
        run.save(run)
        run.saved_at_s = run.wall_s
