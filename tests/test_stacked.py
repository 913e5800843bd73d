"""The stacked placement: the mathematics of learners one after the other, for all learners at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from mawm.agents import dense
from mawm.agents.agent import Agent
from mawm.agents.categorical import balanced_kl
from mawm.agents.compute import map_tensors, prepare_process
from mawm.agents.stacked.learners import StackedLearners, stack
from mawm.agents.stacked.program import MOST_GRAPHS, WARM_UP, Program
from mawm.build import make_learner, temporary_run
from mawm.configs.presets import load_preset, merge
from mawm.configs.train import TrainConfig
from mawm.estimates import random_segment
from mawm.loop import round_
from mawm.train import main
from mawm.types import Segment, Spaces

Arrays = dict[str, NDArray[Any]]
SPACES = Spaces(n_agents=3, n_actions=9, obs_size=30, state_size=48, episode_limit=60)
HEADS = {  # the paper preset's parts
    "world_model": {
        "reward_output": "huber", "end_rewards": "shared", "unimix": 0.0, "free_nats": 0.0, "predictor_layers": 2,
        "layers": 2, "decoder_grads": "detach", "lr_warmup": 0,
    },
    "behaviour": {
        "critic_output": "squared", "layers": 2, "epochs": 3, "entropy_rule": "updates", "averaging": 0.0,
        "replay_critic": 0.0, "target_decay": 0.0, "greedy_battles": 0.0, "advantage_scale": "percentiles",
    },
}  # fmt: skip


@pytest.fixture
def float64() -> Iterator[None]:
    """Within the test all floating-point tensors have 64 bits."""
    prepare_process("float32")
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def debug(method: str = "both", **changes: Any) -> TrainConfig:
    """The debug preset with a bandwidth of 0.5 and short windows, so that both kinds of items are sent early."""
    sharing = {"bandwidth": 0.5, "window": 40, "rollout_window": 20}
    return merge(load_preset("debug"), {"method": method, "sharing": sharing, **changes}, "test")


def played(config: TrainConfig, placement: str, enough: Callable[[Any], bool]) -> list[Arrays]:
    """Arrays of each learner after rounds of the training loop."""
    with temporary_run(merge(config, {"placement": placement}, "test")) as run:
        while not enough(run):
            round_(run)
        learners = [arrays for arrays, _ in run.team.states()]
    assert all(np.isfinite(x).all() for arrays in learners for x in arrays.values() if x.dtype.kind == "f")
    return learners


def updates_of(run: Any) -> int:
    """Gradient steps of the first learner's world model."""
    steps: int = run.team.learners[0].model_trainer.updates
    return steps


def largest_difference(one: list[Arrays], other: list[Arrays]) -> float:
    """Largest difference of the learners' arrays, which must be finite."""
    assert len(one) == len(other) and all(a.keys() == b.keys() for a, b in zip(one, other, strict=True))
    gaps = [0.0]
    for a, b in zip(one, other, strict=True):
        for name in a:
            assert a[name].shape == b[name].shape, name
            gap = np.abs(a[name].astype(np.float64) - b[name].astype(np.float64))
            assert np.isfinite(gap).all(), name
            gaps.append(float(gap.max(initial=0.0)))
    return max(gaps)


CASES = {
    **{method: debug(method) for method in ("independent", "experience", "rollouts", "both", "centralized")},
    "heads": debug(agent=HEADS),
    "strict": debug(gating={"gate": "strict", "explorers": 1}),
    "policy": debug(gating={"gate": "policy", "explorers": 1}),
    "open": debug(gating={"gate": "open", "explorers": 1}, agent={"information": {"kind": "policy_mi", "others": 2}}),
}
QUICK = ("both", "centralized", "heads")


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "config",
    [pytest.param(config, id=name, marks=[] if name in QUICK else pytest.mark.slow) for name, config in CASES.items()],
)
def test_stacked_learners_equal_inline_learners_after_updates_of_each_kind(config: TrainConfig) -> None:
    def enough(run: Any) -> bool:
        return updates_of(run) >= 6

    assert largest_difference(played(config, "inline", enough), played(config, "stack", enough)) < 1e-9


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("method", ["independent", "both", "centralized"])
def test_stacked_learners_equal_inline_learners_after_200_updates(method: str) -> None:
    def enough(run: Any) -> bool:
        return updates_of(run) >= 200

    config = debug(method, schedule={"updates_per_step": 0.4})
    assert largest_difference(played(config, "inline", enough), played(config, "stack", enough)) < 1e-6


def segments(seed: int) -> list[Segment]:
    """Random battles of one agent in two lanes."""
    rng = np.random.default_rng(seed)
    return [random_segment(rng, SPACES, 20, lane=i % 2, episode=i) for i in range(6)]


def learned(data: list[list[Segment]], device: str = "cpu", rounds: int = 2) -> tuple[list[Arrays], list[Agent]]:
    """Arrays of stacked learners after updates of each kind on these segments, and the learners."""
    config = debug("independent")
    agents = [make_learner(i, config=config, spaces=SPACES, device=device) for i in range(3)]
    assert all(isinstance(agent, Agent) for agent in agents)
    team: list[Any] = list(agents)
    for agent, own in zip(team, data, strict=True):
        agent.remember(own)
    learners = StackedLearners(team)
    for _ in range(rounds):
        learners.fit_world_models(2)
        learners.imagine(1)
        learners.fit_behaviours([[], [], []], env_steps=100)
    return [agent.state()[0] for agent in team], team


def same(a: Arrays, b: Arrays) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_data_of_one_agent_change_nothing_of_the_others_bit_for_bit() -> None:
    data = [segments(seed) for seed in range(3)]
    before, _ = learned(data)
    after, _ = learned([data[0], segments(7), data[2]])
    assert [same(a, b) for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_non_finite_gradient_of_one_agent_skips_the_steps_of_that_agent_alone() -> None:
    data = [segments(seed) for seed in range(3)]
    before, agents = learned(data)
    assert [agent.incidents() for agent in agents] == [{}, {}, {}]
    for segment in data[1]:
        segment.reward[:] = np.nan
    after, agents = learned(data)
    assert [same(a, b) for a, b in zip(before, after, strict=True)] == [True, False, True]
    in_a_row, batch = agents[1].incidents()["world_model"]
    assert in_a_row == 4 and np.isnan(batch["reward"]).any() and agents[1].model_trainer.optimiser.skipped == 4
    fresh: Any = make_learner(1, config=debug("independent"), spaces=SPACES, device="cpu")
    pairs = zip(*(each.model_trainer.model.parameters() for each in (agents[1], fresh)), strict=True)
    assert all(torch.equal(weight, first) for weight, first in pairs)
    assert agents[0].incidents() == {} and agents[0].model_trainer.optimiser.skipped == 0


class NoWaiting(TorchDispatchMode):
    """Raises at an operation that would wait for a GPU, because the processor needs a value of a tensor."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal.default", "is_nonzero")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in str(func) for name in self.WAITING):
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


@contextmanager
def no_waiting(learners: StackedLearners, mode: Callable[[], Any] = NoWaiting) -> Iterator[None]:
    """Within the context the recorded functions of the learners run in `mode`, in which waiting is an error."""
    programs = [learners.model_step, learners.imagination, learners.behaviour_step, *learners.decisions.values()]
    functions = [program.function for program in programs]

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*inputs: Any) -> Any:
            with mode():
                return function(*inputs)

        return call

    for program, function in zip(programs, functions, strict=True):
        program.function = watched(function)
    try:
        yield
    finally:
        for program, function in zip(programs, functions, strict=True):
            program.function = function


def use_all(learners: StackedLearners) -> None:
    """One call of everything that is recorded."""
    learners.fit_world_models(1)
    learners.imagine(1)
    learners.fit_behaviours([[], [], []], env_steps=100)
    for agent in learners.agents:
        agent.begin("train", 2)
    obs, avail, first = np.zeros((2, 30), np.float32), np.ones((2, 9), np.bool_), np.ones(2, np.bool_)
    for mode in ("sample", "greedy", "random"):
        actions = learners.act([obs] * 3, [avail] * 3, [first] * 3, "train", mode)
        assert [each.shape for each in actions] == [(2,)] * 3


def test_recorded_functions_do_not_wait_for_the_device() -> None:
    with pytest.raises(AssertionError, match="waits for the device"), NoWaiting():
        float(torch.ones(1).sum())
    _, agents = learned([segments(seed) for seed in range(3)])
    learners = StackedLearners(agents)
    with no_waiting(learners):
        use_all(learners)


class CountingProgram(Program):
    """A program for a GPU whose graphs are records of the function's results."""

    captures = 0

    def __call__(self, *inputs: Any) -> Any:
        """Behave as on a GPU."""
        return self._on_gpu(inputs)

    def _beside(self, inputs: Any) -> Any:
        return self.function(*inputs)

    def _captured(self, inputs: Any) -> Any:
        self.captures += 1
        given = map_tensors(torch.clone, inputs)
        program = self

        class Graph:
            def replay(self) -> None:
                program.graphs[tuple((tuple(x.shape), x.dtype) for x in given)][2].copy_(program.function(*given))

        return Graph(), given, self.function(*given)


def test_program_captures_each_shape_after_two_calls_and_reads_new_inputs() -> None:
    program = CountingProgram(lambda x, y: x + y, "cuda:0")
    for call in range(5):
        out = program(torch.full((2,), float(call)), torch.ones(2))
        assert out.tolist() == [call + 1.0] * 2
        assert program.captures == int(call >= WARM_UP)
    kept = program(torch.zeros(2), torch.zeros(2))
    program(torch.ones(2), torch.ones(2))
    assert kept.tolist() == [0.0, 0.0], "the results of a later call are another tensor"
    for size in range(3, 3 + 2 * MOST_GRAPHS):
        for _ in range(WARM_UP + 1):
            assert program(torch.ones(size), torch.ones(size)).tolist() == [2.0] * size
    assert program.captures == len(program.graphs) == MOST_GRAPHS
    program.forget()
    program(torch.ones(2), torch.ones(2))
    assert program.captures == MOST_GRAPHS and not program.graphs


def test_divergences_of_plain_formulas_have_the_gradient_of_the_usual_ones_below_the_least_probability() -> None:
    gradients = []
    for context in (nullcontext, dense.formulas):
        logits = torch.tensor([[[0.0, 0.3, 0.1]], [[0.0, -25.0, 0.2]]], requires_grad=True)
        with context():
            p, q = torch.softmax(logits, -1).unbind(0)
            dyn, rep = balanced_kl(p.unsqueeze(0), q.unsqueeze(0))
        (dyn + 0.5 * rep).sum().backward()
        assert logits.grad is not None
        gradients.append(logits.grad)
    assert torch.allclose(*gradients, atol=1e-6) and gradients[0].abs().max() > 0.1


def test_non_finite_behaviour_losses_of_one_agent_skip_the_steps_of_that_agent_alone() -> None:
    found = []
    for spoil in (False, True):
        _, agents = learned([segments(seed) for seed in range(3)])
        learners = StackedLearners(agents)
        learners.imagine(1)
        if spoil:
            trainer = agents[1].behaviour_trainer
            assert trainer.imagined is not None
            trainer.valued = None
            trainer.imagined = trainer.imagined._replace(reward=torch.full_like(trainer.imagined.reward, torch.nan))
        learners.fit_behaviours([[], [], []], env_steps=100)
        found.append([agent.state()[0] for agent in agents])
    assert [same(a, b) for a, b in zip(*found, strict=True)] == [True, False, True]
    assert agents[1].actor_critic.actor_opt.skipped > 0 and agents[1].actor_critic.critic_opt.skipped > 0
    assert agents[0].actor_critic.actor_opt.skipped == agents[2].actor_critic.critic_opt.skipped == 0
    assert np.isnan(agents[1].incidents()["critic"][1]["returns"]).any()


def test_agents_with_data_of_different_shapes_learn_one_after_the_other() -> None:
    _, agents = learned([segments(seed) for seed in range(3)])
    learners = StackedLearners(agents)
    agents[0].model_trainer.replay.own._written[:] = 0  # this agent has nothing to sample from
    before = [agent.model_trainer.updates for agent in agents]
    metrics = learners.fit_world_models(1)
    learners.imagine(1)
    assert [bool(each) for each in metrics] == [False, True, True]
    assert [agent.model_trainer.updates - old for agent, old in zip(agents, before, strict=True)] == [0, 1, 1]
    assert [agent.behaviour_trainer.count > 0 for agent in agents] == [False, True, True]
    assert [bool(each) for each in learners.fit_behaviours([[], [], []], env_steps=0)] == [False, True, True]


def test_stack_of_trees_keeps_their_structure() -> None:
    trees = [(torch.full((2,), float(i)), (torch.tensor([i]),), ()) for i in range(3)]
    whole = stack(trees)
    assert whole[0].shape == (3, 2) and whole[1][0].tolist() == [[0], [1], [2]] and whole[2] == ()
    assert map_tensors(lambda x: x + 1, whole)[1][0].tolist() == [[1], [2], [3]]


gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")


@gpu
@pytest.mark.usefixtures("float64")
def test_recorded_graphs_on_a_gpu_equal_the_cpu() -> None:
    data = [segments(seed) for seed in range(3)]
    (cpu, _), (cuda, agents) = learned(data, "cpu", rounds=6), learned(data, "cuda:0", rounds=6)
    assert largest_difference(cpu, cuda) < 1e-6
    assert all(agent.model_trainer.updates == 12 for agent in agents)


@gpu
def test_data_of_one_agent_change_nothing_of_the_others_on_a_gpu() -> None:
    data = [segments(seed) for seed in range(3)]
    (before, _), (after, _) = (learned(each, "cuda:0", rounds=6) for each in (data, [data[0], segments(7), data[2]]))
    assert [same(a, b) for a, b in zip(before, after, strict=True)] == [True, False, True]


@contextmanager
def no_synchronisation() -> Iterator[None]:
    """Within the context a call that waits for the GPU is an error."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@gpu
def test_recorded_functions_do_not_synchronise_with_the_gpu() -> None:
    _, agents = learned([segments(seed) for seed in range(3)], "cuda:0")
    learners = StackedLearners(agents)
    with no_waiting(learners, no_synchronisation):
        for _ in range(WARM_UP + 2):
            use_all(learners)
    assert (
        len(learners.model_step.graphs) == len(learners.imagination.graphs) == len(learners.behaviour_step.graphs) == 1
    )


@gpu
def test_run_on_a_gpu_is_stacked_and_goes_on_after_a_checkpoint(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--preset", "debug", "--device", "cuda", "--bandwidth", "0.5", "--run-dir", f"{tmp_path}/run"]
    assert main([*small, "--env-steps", "300"]) == 0
    assert "in one stack" in capsys.readouterr().out
    assert main(["--resume", f"{tmp_path}/run", "--env-steps", "600"]) == 0
    assert "not exact" not in capsys.readouterr().err
