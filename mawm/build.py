"""Builds a run from its configuration."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mawm.agents.agent import Agent
from mawm.agents.compute import prepare_process, resolve_device, resolve_precision
from mawm.agents.learner import Learner
from mawm.agents.ppo.learner import Ppo
from mawm.agents.world_model import SCORES
from mawm.collect import Collector
from mawm.configs.train import SharingConfig, TrainConfig
from mawm.envs.registry import make_env, with_agents
from mawm.evaluation import TeamEvaluation, evaluate_both
from mawm.filming.first_battles import FirstBattles
from mawm.gating.build import make_explorer_hook
from mawm.gating.explorer_hook import ExplorerHook
from mawm.loop import Run
from mawm.methods import METHODS, learner_names, members_of
from mawm.nonfinite import NonFiniteWatch
from mawm.run_folder.checkpoint import Loaded
from mawm.run_folder.run_state import parts_of, restore
from mawm.run_folder.saver import Saver
from mawm.runtime.console import print_stderr
from mawm.runtime.ray_cluster import connect, is_connected
from mawm.schedule import Schedule
from mawm.seeds import named_generator
from mawm.sharing.broadcast import Broadcaster
from mawm.sharing.budgets import BUDGETS, Budget, StepBudget, Unlimited
from mawm.sharing.channel import Channel
from mawm.sharing.codec import Wire, origin_of, rollout_bytes, segment_bytes
from mawm.sharing.deliveries import DELIVERIES, Delivery
from mawm.sharing.endpoint import Endpoint
from mawm.sharing.ledger import ledger_file
from mawm.sharing.link import Link
from mawm.sharing.linked_learner import LinkedLearner, connect_all, origin_of_envelope, read_secret
from mawm.sharing.provenance import Gate
from mawm.sharing.selectors import AllOrNone, make_selector
from mawm.sharing.topology import edges_of
from mawm.storage.atomic_files import write_whole
from mawm.storage.loggers import make_loggers
from mawm.storage.metrics_log import RetryingWriter
from mawm.storage.retry_writes import Retrying
from mawm.team import InlineTeam, ProcessTeam, StackedTeam, Team
from mawm.types import ROLES, Metrics, Role, Spaces, VectorEnv

FILM = "eval/first_battle"
"""The tag of the film of an evaluation's first battle."""


def world_model_learner(
    index: int, config: TrainConfig, spaces: Spaces, device: str, learner: type[Agent] = Agent
) -> Agent:
    """Learner `index` with a world model, and its broadcasters. `learner` may be a subclass of `Agent`."""
    plan, members = METHODS[config.method], members_of(config, spaces)
    several = spaces.n_agents > 1  # a team of one has nobody to tell
    model = config.agent.world_model
    segment, rollout = largest_items(config, spaces)
    name, sharing = learner_names(members)[index], config.sharing
    step_budget = _step_budget(config, len(members), max(segment, rollout))
    segments = step_budget or _share_budget(sharing, sharing.window, model.seq_len, segment)
    rollouts = step_budget or _share_budget(sharing, sharing.rollout_window, 1, rollout)
    return learner(
        name,
        members[index],
        spaces,
        replace(config.agent, information=replace(config.agent.information, kind=information_of(config))),
        seed=config.seed,
        lanes=len(members[index]) * config.schedule.battles,
        experience=_broadcaster(
            config, plan.experience and several, f"{name}/experience", SCORES, sharing.window, segments
        ),
        rollouts=_broadcaster(
            config, plan.rollouts and several, f"{name}/rollouts", ("critic",), sharing.rollout_window, rollouts
        ),
        wire=Wire(config.sharing.wire, model.classes),
        gate=gate_of(config),
        device=device,
    )


def ppo_learner(index: int, config: TrainConfig, spaces: Spaces, device: str, learner: type[Ppo] = Ppo) -> Ppo:
    """Learner `index` without a world model; it sends nothing. `learner` may be a subclass of `Ppo`."""
    members = members_of(config, spaces)
    lanes = len(members[index]) * config.schedule.battles
    name = learner_names(members)[index]
    return learner(name, members[index], spaces, config.agent, seed=config.seed, lanes=lanes, device=device)


LEARNERS: dict[str, Callable[[int, TrainConfig, Spaces, str], Learner]] = {
    "world_model": world_model_learner,
    "ppo": ppo_learner,
}
"""Makes learner `index` of a method, on a device."""


def make_learner(index: int, *, config: TrainConfig, spaces: Spaces, device: str) -> Learner:
    """Learner `index` of a method; picklable by reference, because worker processes call it."""
    return LEARNERS[METHODS[config.method].learner](index, config, spaces, device)


def make_linked_learner(index: int, *, config: TrainConfig, spaces: Spaces, device: str) -> LinkedLearner:
    """Learner `index` with sockets to the other learners; picklable by reference."""
    names = learner_names(members_of(config, spaces))
    edges = edges_of(config.link.topology, names)
    endpoint = Endpoint(
        index,
        names,
        receivers=[receiver for sender, receiver in edges if sender == index],
        senders=[sender for sender, receiver in edges if receiver == index],
        largest=max(largest_items(config, spaces)),
    )
    return LinkedLearner(
        make_learner(index, config=config, spaces=spaces, device=device), endpoint, read_secret(config.link.key_file)
    )


def over_tcp(config: TrainConfig, learners: int) -> bool:
    """Whether messages travel between the learners' processes; a single learner sends nothing."""
    return config.link.transport == "tcp" and learners > 1


def largest_items(config: TrainConfig, spaces: Spaces) -> tuple[int, int]:
    """Bytes of the largest segment and of a rollout, as messages."""
    model = config.agent.world_model
    wire = Wire(config.sharing.wire, model.classes)
    segment = segment_bytes(model.seq_len, spaces.obs_size, spaces.n_actions, wire)
    return segment, rollout_bytes(config.agent.behaviour.horizon, model.deter, model.groups, spaces.n_actions, wire)


def _broadcaster(
    config: TrainConfig, shared: bool, owner: str, components: tuple[str, ...], window: int, budget: Budget
) -> Broadcaster:
    """The broadcaster of one kind of item; `owner` keys its generators."""
    sharing = config.sharing
    # With one model for the team all experience crosses the channel, and imagination needs no message.
    if not (shared and METHODS[config.method].selects):
        return Broadcaster(AllOrNone(shared), Unlimited())
    rng = named_generator(config.seed, f"{owner}/selector")
    selector = make_selector(sharing.selector, sharing.bandwidth, components, window, rng)
    substitute_rng = named_generator(config.seed, f"{owner}/lots") if sharing.channel == "random" else None
    return Broadcaster(selector, budget, substitute_rng)


def _share_budget(sharing: SharingConfig, window: int, arrivals: int, item_bytes: int) -> Budget:
    """The budget of one kind of item: a share of the bytes produced, with a burst of that share of a window.

    The largest item counts as `arrivals` in its window and has `item_bytes`.
    """
    burst = max(sharing.bandwidth * window / arrivals, 1.0) * item_bytes
    return BUDGETS[sharing.budget](sharing.bandwidth, burst)


def _step_budget(config: TrainConfig, senders: int, largest_item: int) -> Budget | None:
    """One sender's part of a budget per step, for all kinds of item; it holds at most the bytes of 1000 steps."""
    rate = config.sharing.budget_bytes_per_step / senders
    return StepBudget(rate, max(1000.0 * rate, float(largest_item))) if rate > 0.0 else None


def gate_of(config: TrainConfig) -> Gate:
    """The gate of a primary's world model: only in mode `open` it admits explorers' data."""
    return Gate(*ROLES) if config.gating.gate == "open" else Gate(Role.PRIMARY)


def delivery_of(config: TrainConfig, names: tuple[str, ...]) -> Delivery:
    """The delivery of a run: a control, or the real channel, over the network that `--link` describes.

    ValueError, with the number of the line, if the topology's file names an agent that is not among `names`.
    """
    rng = named_generator(config.seed, "channel/shuffled")
    control = DELIVERIES[config.sharing.channel](config.sharing.stale_rounds, rng)
    link = config.link
    if len(names) < 2 or link.perfect:
        return control
    edges = edges_of(link.topology, names)
    return control.over(lambda inner: Link(inner, names, config.seed, edges, link.loss, link.delay))


def information_of(config: TrainConfig) -> Literal["none", "param_ig", "policy_mi"]:
    """The information term of a run: the chosen one, or the default of the gate (A's table 1)."""
    kind = config.agent.information.kind
    if kind == "auto":
        return "none" if config.gating.gate == "off" else "param_ig"
    return kind


def check_room(config: TrainConfig, spaces: Spaces) -> None:
    """ValueError if settings do not fit the environment.

    A replay may be too small for its lanes: then no sequence could be sampled from it. A file with a topology may name
    agents that do not exist.
    """
    delivery_of(config, learner_names(members_of(config, spaces)))
    lanes = config.schedule.battles * len(members_of(config, spaces)[0])
    length, capacity = config.agent.world_model.seq_len, config.agent.replay.capacity
    if METHODS[config.method].world_model and capacity < lanes * length:
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


def resolve_device_of(config: TrainConfig) -> str:
    """The device of a run. Learners on a cluster use CPUs: another machine may have no GPU."""
    return "cpu" if config.placement == "ray" else resolve_device(config.device)


def resolve_placement(config: TrainConfig, learners: int, device: str, cores: int) -> str:
    """The placement of a run.

    `auto` means `stack` on a GPU, and `process` on a CPU with more than one core and more than one learner. Learners of
    another kind (`LEARNERS`) are not stacked: `stack` means `inline` for them. Precision `bf16` cannot be stacked.
    Messages over TCP travel between processes.
    """
    if over_tcp(config, learners):
        return "process"
    if config.placement == "stack" or (config.placement == "auto" and device != "cpu" and config.precision != "bf16"):
        return "stack" if METHODS[config.method].learner == "world_model" else "inline"
    if config.placement != "auto":
        return config.placement
    return "process" if device == "cpu" and cores > 1 and learners > 1 else "inline"


def make_team(config: TrainConfig, spaces: Spaces, device: str, placement: str) -> Team:
    """The learners, in this process, in worker processes, or on a cluster to which Ray is connected (`cluster_of`)."""
    members = members_of(config, spaces)
    make = partial(make_learner, config=config, spaces=spaces, device=device)
    # Resolved here: on a cluster another machine might choose another precision.
    precision = resolve_precision(config.precision, placement, device)
    prepare = partial(prepare_process, precision, placement, device)
    if placement == "ray":
        from mawm.cluster.ray_team import RayTeam  # only here: Ray is an extra

        return RayTeam(make, members, prepare)
    if placement == "process" and over_tcp(config, len(members)):
        team = ProcessTeam(partial(make_linked_learner, config=config, spaces=spaces, device=device), members, prepare)
        try:
            connect_all(team, len(members))
        except BaseException:
            team.close(at_once=True)
            raise
        return team
    if placement == "process":
        return ProcessTeam(make, members, prepare)
    prepare()
    return StackedTeam(make, members) if placement == "stack" else InlineTeam(make, members)


def cluster_of(config: TrainConfig, learners: int) -> AbstractContextManager[None]:
    """A context in which Ray is connected to the cluster of a run.

    It does nothing for other placements, and if Ray is connected already (after a rollback). ValueError if Ray is not
    installed, or if no cluster answers.
    """
    needed = config.placement == "ray" and not is_connected()
    return connect(config.ray_address, learners) if needed else nullcontext()


def workers_of(config: TrainConfig, placement: str, learners: int, cores: int) -> int:
    """The number of learners that work at the same time."""
    if placement == "ray" and config.ray_address != "local":
        return learners  # the cluster has a CPU for each
    return min(cores, learners) if placement in ("process", "ray") else 1


def make_run(
    config: TrainConfig,
    env: VectorEnv,
    team: Team,
    explorer_hook: ExplorerHook,
    folder: Path,
    report: Any,
    resume: Loaded | None,
) -> Run:
    """A run that writes into `folder`, new or resumed from a checkpoint."""
    plan = METHODS[config.method]
    several = env.spaces.n_agents > 1
    shared = tuple(k for k, on in (("experience", plan.experience), ("rollouts", plan.rollouts)) if on and several)
    agent = config.agent
    collector = Collector(env, team, seq_len=agent.world_model.seq_len, discount=agent.behaviour.discount)
    nominal = 1.0 if shared and not plan.own_weights else config.sharing.bandwidth * several
    resume_at = None if resume is None else resume.env_steps
    writers = make_loggers(config.log, folder, resume_at, print_stderr)
    write_ledger = Retrying(ledger_file(folder / "channel.csv", resume_at), "channel.csv", print_stderr)
    logs = [*(writer.rows for writer in writers if isinstance(writer, RetryingWriter)), write_ledger]
    names = learner_names(team.members)
    origin = origin_of_envelope if over_tcp(config, len(names)) else origin_of
    saver = Saver(folder, config.schedule.keep_checkpoints, logs, print_stderr)

    def write_film(env_steps: int, gif: bytes, size: tuple[int, int]) -> None:
        for writer in writers:
            writer.write_gif(env_steps, FILM, gif, size)

    run = Run(
        env_steps=config.env_steps,
        config=config.schedule,
        team=team,
        names=names,
        collector=collector,
        channel=Channel(nominal, shared, names, origin, delivery_of(config, names), gate_of(config)),
        explorer_hook=explorer_hook,
        write_ledger=write_ledger,
        schedule=Schedule(config.schedule),
        nonfinite=NonFiniteWatch(folder, print_stderr),
        writers=list(writers),
        evaluate=partial(_evaluate, config, team),
        save=lambda run: saver.save(run.collector.env_steps, partial(parts_of, run)),
        report=report,
        agents=env.spaces.agents,
        film=FirstBattles(config, write_film, print_stderr),
    )
    if resume is not None:
        restore(run, resume)
    return run


@contextmanager
def temporary_run(config: TrainConfig, cores: int = 1) -> Iterator[Run]:
    """A run on the CPU for a measurement or an audit; its folder is deleted at the end, so it has no other loggers.

    Messages pass through the driver. It needs no cluster: `inline` gives the numbers of `ray`.
    """
    config = replace(
        config,
        log=(),
        link=replace(config.link, transport="driver"),
        placement="inline" if config.placement == "ray" else config.placement,
    )
    with ExitStack() as cleanup:
        env = cleanup.enter_context(closing(make_env(config, "train", config.schedule.battles)))
        config = with_agents(config, env.spaces.agents)
        explorer_hook = cleanup.enter_context(closing(make_explorer_hook(config, env.spaces)))
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        placement = resolve_placement(config, len(members_of(config, env.spaces)), "cpu", cores)
        team = cleanup.enter_context(closing(make_team(config, env.spaces, "cpu", placement)))
        run = make_run(config, env, team, explorer_hook, folder, lambda *_: None, None)
        for writer in run.writers:
            cleanup.callback(writer.close)
        yield run


def _evaluate(config: TrainConfig, team: Team) -> TeamEvaluation:
    battles = config.schedule.eval_battles
    return evaluate_both(partial(make_env, config, "eval", battles), team, battles)


def write_config(folder: Path, config: TrainConfig, facts: Metrics | dict[str, Any]) -> None:
    """Write the configuration and the facts about the machine as `config.json`."""
    write_whole(folder / "config.json", json.dumps({"config": asdict(config), **facts}, indent=1) + "\n")
