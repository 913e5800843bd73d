"""Puts a run together from its configuration."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from mawm.agents.compute import prepare_process
from mawm.collect import Collector
from mawm.configs.train import TrainConfig
from mawm.envs.registry import make_env
from mawm.evaluation import TeamEvaluation, evaluate_both
from mawm.gating.explorer_hook import ExplorerHook
from mawm.loop import Run
from mawm.methods import METHODS, gate_of, learner_names, make_learner, members_of
from mawm.nonfinite import NonFiniteWatch
from mawm.run_folder.checkpoint import Loaded
from mawm.run_folder.run_state import parts_of, restore
from mawm.run_folder.saved_policy import Saver
from mawm.runtime.console import tell
from mawm.schedule import Schedule
from mawm.seeds import named_generator
from mawm.sharing.channel import Channel
from mawm.sharing.codec import origin_of
from mawm.sharing.deliveries import DELIVERIES
from mawm.sharing.ledger import ledger_file
from mawm.storage.atomic_files import write_whole
from mawm.storage.metrics_log import JsonLines, PatientWriter, TensorBoard
from mawm.storage.retry_writes import Patient
from mawm.team import InlineTeam, ProcessTeam, Team
from mawm.types import Metrics, Spaces, VectorEnv


def check_room(config: TrainConfig, spaces: Spaces) -> None:
    """ValueError where a replay is too small for its lanes: nothing could ever be sampled from it, or learned."""
    lanes = config.schedule.battles * len(members_of(config, spaces)[0])
    length, capacity = config.agent.world_model.seq_len, config.agent.replay.capacity
    if METHODS[config.method].imagines and capacity < lanes * length:
        raise ValueError(
            f"agent.replay.capacity is {capacity}; it must be at least {lanes * length}: {lanes} lanes (agents of a "
            f"learner x schedule.battles) of agent.world_model.seq_len {length} steps each"
        )
    lanes, keeps = config.gating.explorers * spaces.n_agents, config.gating.search.keeps
    if config.gating.gate != "off" and keeps < lanes:
        raise ValueError(
            f"gating.search.keeps is {keeps}; it must be at least {lanes}: a step for each of the {spaces.n_agents} "
            f"agents of {config.gating.explorers} explorers"
        )


def resolve_placement(config: TrainConfig, learners: int, device: str, cores: int) -> str:
    """`process` where it pays: on a CPU with more than one core and more than one learner."""
    if config.placement != "auto":
        return config.placement
    return "process" if device == "cpu" and cores > 1 and learners > 1 else "inline"


def make_team(config: TrainConfig, spaces: Spaces, device: str, placement: str) -> Team:
    """The learners, where they will run."""
    members = members_of(config, spaces)
    make, prepare = (
        partial(make_learner, config=config, spaces=spaces, device=device),
        partial(prepare_process, config.precision),
    )
    if placement == "process":
        return ProcessTeam(make, members, prepare)
    prepare()
    return InlineTeam(make, members)


def make_run(
    config: TrainConfig,
    env: VectorEnv,
    team: Team,
    explorer_hook: ExplorerHook,
    folder: Path,
    report: Any,
    resume: Loaded | None,
) -> Run:
    """A run that writes into `folder`, from its beginning or from a checkpoint."""
    plan = METHODS[config.method]
    shared = tuple(k for k, on in (("experience", plan.experience), ("rollouts", plan.rollouts)) if on)
    agent = config.agent
    collector = Collector(env, team, seq_len=agent.world_model.seq_len, discount=agent.behaviour.discount)
    nominal = 1.0 if shared and not plan.own_weights else config.sharing.bandwidth
    delivery = DELIVERIES[config.sharing.channel](
        config.sharing.stale_rounds, named_generator(config.seed, "channel/shuffled")
    )
    resume_at = None if resume is None else resume.env_steps
    writers = [
        PatientWriter(JsonLines(folder / "metrics.jsonl", resume_at), "metrics.jsonl", tell),
        PatientWriter(TensorBoard(folder, resume_at), "the event file", tell),
    ]
    write_ledger = Patient(ledger_file(folder / "channel.csv", resume_at), "channel.csv", tell)
    saver = Saver(folder, config.schedule.keep_checkpoints, [*(writer.rows for writer in writers), write_ledger], tell)
    run = Run(
        env_steps=config.env_steps,
        config=config.schedule,
        team=team,
        names=learner_names(team.members),
        collector=collector,
        channel=Channel(nominal, shared, learner_names(team.members), origin_of, delivery, gate_of(config)),
        explorer_hook=explorer_hook,
        write_ledger=write_ledger,
        schedule=Schedule(config.schedule),
        nonfinite=NonFiniteWatch(folder, tell),
        writers=list(writers),
        evaluate=partial(_evaluate, config, team),
        save=lambda run: saver.save(run.collector.env_steps, partial(parts_of, run)),
        report=report,
    )
    if resume is not None:
        restore(run, resume)
    return run


def _evaluate(config: TrainConfig, team: Team) -> TeamEvaluation:
    return evaluate_both(partial(make_env, config, "eval", config.schedule.eval_battles), team)


def write_config(folder: Path, config: TrainConfig, facts: Metrics | dict[str, Any]) -> None:
    """The whole configuration, and what was found out about the machine, as `config.json`."""
    write_whole(folder / "config.json", json.dumps({"config": asdict(config), **facts}, indent=1) + "\n")
