"""Puts a run together from its configuration. The only module that knows a method by its name."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from mawm.agents.agent import Agent
from mawm.agents.ppo import Ppo
from mawm.agents.products import has_bf16_units, set_precision
from mawm.agents.world_model import SCORES
from mawm.beside import Beside, Nobody
from mawm.broadcast import Broadcaster
from mawm.budgets.protocol import Budget
from mawm.budgets.share import ShareBudget
from mawm.budgets.steps import StepBudget
from mawm.budgets.unlimited import Unlimited
from mawm.channel import Channel
from mawm.checkpoint import Loaded
from mawm.codec import Wire, origin_of, rollout_bytes, scramble, segment_bytes
from mawm.collect import Collector
from mawm.configs.train import MARKET, TrainConfig, is_own, short_name
from mawm.deliveries.direct import Direct
from mawm.deliveries.own import Own
from mawm.deliveries.protocol import Delivery
from mawm.deliveries.shuffled import Shuffled
from mawm.deliveries.stale import Stale
from mawm.envs.market.vector import MarketVectorEnv
from mawm.envs.pettingzoo import own_parallel_env
from mawm.envs.process import ProcessEnv
from mawm.envs.skirmish.vector import SkirmishVectorEnv
from mawm.evaluation import TeamEvaluation, evaluate_both
from mawm.files import write_whole
from mawm.gate import Gate
from mawm.gating.cem import Cem
from mawm.gating.explorers import Explorers
from mawm.gating.gated import Gated
from mawm.gating.policy import ExplorerPolicy
from mawm.gating.search import RandomSearch
from mawm.gating.view import PolicyView
from mawm.guard import Guard
from mawm.ledger import ledger_file
from mawm.loop import Run
from mawm.metrics import JsonLines, PatientWriter, TensorBoard
from mawm.patience import Patient
from mawm.restarting import Restarting
from mawm.run_state import parts_of, restore
from mawm.saving import Saver
from mawm.schedule import Schedule
from mawm.seeds import named_generator, named_seed
from mawm.selectors.registry import make_selector
from mawm.selectors.trivial import Trivial
from mawm.team import InlineTeam, ProcessTeam, Team
from mawm.telling import tell
from mawm.types import ROLES, Metrics, Role, Spaces, VectorEnv
from mawm.watch import Watch

EXPLORER = "explorer"
"""The purpose of environments that exploratory strategies take part in: some change when they do."""
Learner = Agent | Ppo
"""What a team is made of; the loop makes the same calls on all."""


def _world_model(index: int, config: TrainConfig, spaces: Spaces, device: str) -> Agent:
    """Learner `index` with a world model, and its broadcasters."""
    plan, members = METHODS[config.method], members_of(config, spaces)
    model, horizon = config.agent.world_model, config.agent.behaviour.horizon
    wire = Wire(config.sharing.wire, model.classes)
    segment = segment_bytes(model.seq_len, spaces.obs_size, spaces.n_actions, wire)
    rollout = rollout_bytes(horizon, model.deter, model.groups, spaces.n_actions, wire)
    # One model for the team sees everything: all experience crosses the channel, imagination happens at its centre.
    central = not plan.own_weights
    name, sharing = learner_names(members)[index], config.sharing
    purse = _purse(config, len(members), max(segment, rollout))
    experience = _Kind(f"{name}/experience", SCORES, sharing.window, model.seq_len, segment)
    rollouts = _Kind(f"{name}/rollouts", ("critic",), sharing.rollout_window, 1, rollout)
    return Agent(
        name,
        members[index],
        spaces,
        replace(config.agent, information=replace(config.agent.information, kind=information_of(config))),
        seed=config.seed,
        lanes=len(members[index]) * config.schedule.battles,
        experience=Broadcaster(Trivial(plan.experience), Unlimited())
        if central
        else _broadcaster(config, plan.experience, experience, purse),
        rollouts=Broadcaster(Trivial(False), Unlimited())
        if central
        else _broadcaster(config, plan.rollouts, rollouts, purse),
        wire=wire,
        gate=gate_of(config),
        device=device,
    )


def _model_free(index: int, config: TrainConfig, spaces: Spaces, device: str) -> Ppo:
    """Learner `index` without a world model: it has nothing to tell."""
    members = members_of(config, spaces)
    lanes = len(members[index]) * config.schedule.battles
    name = learner_names(members)[index]
    return Ppo(name, members[index], spaces, config.agent, seed=config.seed, lanes=lanes, device=device)


@dataclass(frozen=True)
class MethodPlan:
    """What a method shares, whether each agent has weights of its own, and what learns."""

    experience: bool
    rollouts: bool
    own_weights: bool = True
    learner: Callable[[int, TrainConfig, Spaces, str], Learner] = _world_model

    @property
    def selects(self) -> bool:
        """Whether bandwidth, selector and channel make a difference: not where nothing or everything is shared."""
        return (self.experience or self.rollouts) and self.own_weights


METHODS = {
    "independent": MethodPlan(experience=False, rollouts=False),
    "experience": MethodPlan(experience=True, rollouts=False),
    "rollouts": MethodPlan(experience=False, rollouts=True),
    "both": MethodPlan(experience=True, rollouts=True),
    "centralized": MethodPlan(experience=True, rollouts=False, own_weights=False),
    "ippo": MethodPlan(experience=False, rollouts=False, learner=_model_free),
    "mappo": MethodPlan(experience=False, rollouts=False, own_weights=False, learner=_model_free),
}


def members_of(config: TrainConfig, spaces: Spaces) -> tuple[tuple[int, ...], ...]:
    """Which environment agents each learner acts for."""
    agents = tuple(range(spaces.n_agents))
    return tuple((a,) for a in agents) if METHODS[config.method].own_weights else (agents,)


def learner_names(members: tuple[tuple[int, ...], ...]) -> tuple[str, ...]:
    """The name of each learner, which keys its generators and prefixes its tags."""
    return tuple(f"agent_{m[0]}" if len(m) == 1 else "team" for m in members)


def make_learner(index: int, *, config: TrainConfig, spaces: Spaces, device: str) -> Learner:
    """Learner `index` of a method; picklable by reference, because workers call it where it will live."""
    return METHODS[config.method].learner(index, config, spaces, device)


@dataclass(frozen=True)
class _Kind:
    """What the selector and the budget of one kind of item need to know."""

    owner: str
    """Keys their generators."""
    components: tuple[str, ...]
    window: int
    arrivals: int
    """Arrivals of the largest item, as its window counts them."""
    item_bytes: int
    """Bytes of the largest item."""


def _broadcaster(config: TrainConfig, shared: bool, kind: _Kind, purse: Budget | None) -> Broadcaster:
    sharing = config.sharing
    if not shared:
        return Broadcaster(Trivial(False), Unlimited())
    rng = named_generator(config.seed, f"{kind.owner}/selector")
    selector = make_selector(sharing.selector, sharing.bandwidth, kind.components, kind.window, rng)
    lots = named_generator(config.seed, f"{kind.owner}/lots") if sharing.channel == "random" else None
    return Broadcaster(selector, purse or _share(config, kind), lots)


def _share(config: TrainConfig, kind: _Kind) -> Budget:
    """The budget of one kind of item: a share of the bytes produced, with a burst of that share of a window."""
    sharing = config.sharing
    if sharing.budget == "report":
        return Unlimited()
    burst = max(sharing.bandwidth * kind.window / kind.arrivals, 1.0) * kind.item_bytes
    return ShareBudget(sharing.bandwidth, burst)


def _purse(config: TrainConfig, senders: int, largest_item: int) -> Budget | None:
    """One sender's part of an absolute budget, for all kinds of item together; it can save for a thousand steps."""
    rate = config.sharing.budget_bytes_per_step / senders
    return StepBudget(rate, max(1000.0 * rate, float(largest_item))) if rate > 0.0 else None


def make_delivery(config: TrainConfig) -> Delivery:
    """What happens to messages under way."""
    sharing = config.sharing
    if sharing.channel == "stale":
        return Stale(sharing.stale_rounds)
    if sharing.channel == "self":
        return Own()
    if sharing.channel == "shuffled":
        return Shuffled(scramble, named_generator(config.seed, "channel/shuffled"))
    return Direct()  # `random` replaces items where they are sent


def gate_of(config: TrainConfig) -> Gate:
    """What a primary's world model may learn from: explorers' data in the gate's open mode alone."""
    return Gate(*ROLES) if config.gating.gate == "open" else Gate(Role.PRIMARY)


def information_of(config: TrainConfig) -> Literal["none", "param_ig", "policy_mi"]:
    """The information term of a run: of its own choosing, or the one that comes with a gate (A's table 1)."""
    kind = config.agent.information.kind
    if kind == "auto":
        return "none" if config.gating.gate == "off" else "param_ig"
    return kind


def make_beside(config: TrainConfig, spaces: Spaces) -> Beside:
    """The explorers that play beside the primary, if any. ValueError for a method without a world model to guard."""
    gating, search = config.gating, config.gating.search
    if gating.gate == "off":
        return Nobody()
    members = members_of(config, spaces)
    if METHODS[config.method].learner is not _world_model:
        raise ValueError(
            f"--gate {gating.gate} guards a world model, and --method {config.method} has none; use --gate off"
        )
    sharing = config.sharing
    if gating.gate == "policy" and (sharing.budget_bytes_per_step > 0.0 or sharing.channel == "shuffled"):
        what = "--channel shuffled" if sharing.channel == "shuffled" else "--budget-bytes-per-step"
        raise ValueError(
            f"--gate policy with {what}: experience and rollouts would share a purse or a generator there, and "
            "rollouts depend on explorers; use --gate strict, or another budget and channel"
        )
    searched = named_generator(config.seed, "explorer/search")
    explorers = Explorers(
        make_env(config, EXPLORER, gating.explorers),
        ExplorerPolicy(spaces, search.dimension, named_generator(config.seed, "explorer/policy")),
        Cem(search.dimension, search.population, search.elite, search.floor, searched)
        if gating.explorer == "cem"
        else RandomSearch(search.dimension, search.population, searched),
        PolicyView(spaces, config.agent),
        search,
        seed=config.seed,
        seq_len=config.agent.world_model.seq_len,
        discount=config.agent.behaviour.discount,
    )
    return Gated(explorers, learner_names(members), HANDOVER[gating.gate])


def check_room(config: TrainConfig, spaces: Spaces) -> None:
    """ValueError where a replay is too small for its lanes: nothing could ever be sampled from it, or learned."""
    lanes = config.schedule.battles * len(members_of(config, spaces)[0])
    length, capacity = config.agent.world_model.seq_len, config.agent.replay.capacity
    if METHODS[config.method].learner is _world_model and capacity < lanes * length:
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


HANDOVER: dict[str, Literal["consider", "mix"] | None] = {"strict": None, "policy": "consider", "open": "mix"}
"""What of the explorers reaches the primary, by mode: the learners' method that takes it in."""


def make_env(config: TrainConfig, purpose: str, batch: int) -> VectorEnv:
    """Battles for one purpose ("train", "eval", "test", EXPLORER): streams of their own, keyed by name.

    To be closed: an environment of the user's has a process.
    """
    seed = named_seed(config.seed, f"battles/{purpose}")
    if is_own(config.map):
        return _own_env(config, f"{config.map} ({purpose})", batch, seed)
    env: VectorEnv
    if config.map == MARKET:
        env = MarketVectorEnv(batch, seed, config.market, explored=purpose == EXPLORER)
    else:
        env = SkirmishVectorEnv(config.map, batch, seed, config.rules)
    return Guard(env, f"{short_name(config.map)} ({purpose})")


def _own_env(config: TrainConfig, name: str, batch: int, seed: int) -> VectorEnv:
    """A user's environment in a process of its own, which may fail."""
    make = partial(own_parallel_env, config.map, batch, seed, config.own.episode_limit)
    return Restarting(lambda: Guard(ProcessEnv(make, config.own.timeout_s), name), name)


def resolve_device(name: str) -> str:
    """A device that is here. ValueError if it is not, naming what is."""
    here = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if name == "auto":
        return here[1] if len(here) > 1 else "cpu"
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in here:
        raise ValueError(f"device {name!r} is not on this machine; choose one of: auto, {', '.join(here)}")
    return wanted


def resolve_placement(config: TrainConfig, learners: int, device: str, cores: int) -> str:
    """`process` where it pays: on a CPU with more than one core and more than one learner."""
    if config.placement != "auto":
        return config.placement
    return "process" if device == "cpu" and cores > 1 and learners > 1 else "inline"


def resolve_precision(name: str) -> str:
    """`auto` is bf16 where the processor has units for it, float32 elsewhere."""
    return ("bf16" if has_bf16_units() else "float32") if name == "auto" else name


def prepare_process(precision: str) -> None:
    """One thread a process (two lose up to 17-fold beside a busy neighbour), and the precision of products."""
    torch.set_num_threads(1)
    set_precision(resolve_precision(precision))


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
    beside: Beside,
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
    resume_at = None if resume is None else resume.env_steps
    writers = [
        PatientWriter(JsonLines(folder / "metrics.jsonl", resume_at), "metrics.jsonl", tell),
        PatientWriter(TensorBoard(folder, resume_at), "the event file", tell),
    ]
    book = Patient(ledger_file(folder / "channel.csv", resume_at), "channel.csv", tell)
    saver = Saver(folder, config.schedule.keep_checkpoints, [*(writer.rows for writer in writers), book], tell)
    run = Run(
        env_steps=config.env_steps,
        plan=config.schedule,
        team=team,
        names=learner_names(team.members),
        collector=collector,
        channel=Channel(
            nominal, shared, learner_names(team.members), origin_of, make_delivery(config), gate_of(config)
        ),
        beside=beside,
        book=book,
        schedule=Schedule(config.schedule),
        watch=Watch(folder, tell),
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
