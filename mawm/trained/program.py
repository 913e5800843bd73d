"""One agent's acting step as a program of torch.export, which runs where this package is not installed."""

import copy
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from mawm.agents.acting_memory import Inputs, decide
from mawm.agents.agent import Agent
from mawm.agents.categorical import masked_logits, sample
from mawm.agents.compute import prepare_process
from mawm.agents.ppo.learner import Ppo
from mawm.agents.rssm import Latent
from mawm.trained.run import TrainedRun

ABOUT = "policy.json"
"""The name of the description inside the file."""
Mode = Literal["sample", "greedy"]


class Part(NamedTuple):
    """One tensor of a memory: its size without the number of battles, and the name of its type in torch."""

    size: tuple[int, ...]
    kind: str


class ModelStep(nn.Module):
    """The acting step of an agent with a world model. Its memory: h (B, D), z (B, G) and the action before (B,)."""

    def __init__(self, agent: Agent, mode: Mode) -> None:
        super().__init__()
        self.rssm, self.actor, self.mode = agent.acting.model.rssm, agent.acting.actor, mode
        model = agent.config.world_model
        self.noise = model.groups + 1
        self.parts = (Part((model.deter,), "float32"), Part((model.groups,), "int64"), Part((), "int64"))

    def forward(
        self, obs: Tensor, mask: Tensor, first: Tensor, noise: Tensor, memory: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Actions (B,) and the next memory."""
        deter, stoch, before = memory
        given = Inputs(obs, before, first, mask, noise, torch.zeros_like(first))
        state, action = decide(self.rssm, self.actor, Latent(deter, stoch), given, self.mode)
        return action, (state.deter, state.stoch, action)


class PpoStep(nn.Module):
    """The acting step of an agent without a world model. Its memory: the actor's hidden state (B, H)."""

    def __init__(self, learner: Ppo, member: int, mode: Mode) -> None:
        super().__init__()
        self.actor, self.mode, self.noise = learner.nets.actor, mode, 1
        self.parts = (Part((learner.nets.hidden,), "float32"),)
        members = len(learner.members)
        # One actor of a whole team also reads which agent it acts for (`PpoNets`).
        self.register_buffer("which", torch.eye(members)[member, : members if members > 1 else 0])

    def forward(
        self, obs: Tensor, mask: Tensor, first: Tensor, noise: Tensor, memory: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Actions (B,) and the next memory."""
        assert isinstance(self.which, Tensor)
        own = torch.cat([obs, self.which.expand(obs.shape[0], -1)], -1)
        logits, hidden = self.actor(own.unsqueeze(0), memory[0].masked_fill(first.unsqueeze(-1), 0.0))
        log_probs = torch.log_softmax(masked_logits(logits[0], mask), -1)
        action = log_probs.argmax(-1) if self.mode == "greedy" else sample(log_probs.exp(), noise[:, -1])
        return action, (hidden,)


@dataclass(frozen=True)
class Policy:
    """One agent's acting step, and what a user of the file must know."""

    step: ModelStep | PpoStep
    about: dict[str, Any]


def policy_of(run: TrainedRun, name: str, mode: Mode) -> Policy:
    """The acting step of an agent of a run. ValueError if there is no such agent, or its learner is of another kind."""
    if name not in run.agents:
        raise ValueError(f"--agent {name}: the team has no such agent; its agents are {', '.join(run.agents)}")
    agent = run.agents.index(name)
    learner, place = run.learner_of(agent)
    if isinstance(learner, Agent):
        step: ModelStep | PpoStep = ModelStep(learner, mode)
    elif isinstance(learner, Ppo):
        step = PpoStep(learner, place, mode)
    else:
        raise ValueError(
            f"{type(learner).__name__} is a learner of your own; only subclasses of Agent and Ppo can be exported"
        )
    about = {
        "agent": name,
        "agent_number": agent,
        "map": run.config.map,
        "method": run.config.method,
        "env_steps": run.checkpoint.env_steps,
        "mode": mode,
        "observation": run.spaces.obs_size,
        "actions": run.spaces.n_actions,
        "noise": step.noise,
        "memory": [list(part) for part in step.parts],
    }
    copied = copy.deepcopy(step).requires_grad_(False).eval()
    for tensor in (*copied.parameters(), *copied.buffers()):
        tensor.data = tensor.data.clone()  # an optimiser's weights are parts of one storage, with the critic's
    return Policy(copied, about)


def initial_memory(policy: Policy, battles: int) -> tuple[Tensor, ...]:
    """The memory before the first step of B battles: zeros."""
    return tuple(torch.zeros(battles, *part.size, dtype=getattr(torch, part.kind)) for part in policy.step.parts)


def write_program(policy: Policy, file: Path) -> None:
    """Write the step as a program of torch.export with `policy.json` beside it. OSError if the file cannot be written.

    The program computes in float32, with every precision of the run, and for any number of battles.
    """
    prepare_process("float32")
    spaces, battles = policy.about, 2
    obs, mask = torch.zeros(battles, spaces["observation"]), torch.ones(battles, spaces["actions"], dtype=torch.bool)
    first, noise = torch.ones(battles, dtype=torch.bool), torch.full((battles, policy.step.noise), 0.5)
    memory = initial_memory(policy, battles)
    rows = {0: torch.export.Dim("battles", min=1)}
    shapes = (rows, rows, rows, rows, tuple(rows for _ in memory))
    with torch.no_grad():
        program = torch.export.export(policy.step, (obs, mask, first, noise, memory), dynamic_shapes=shapes)
    for node in program.graph.nodes:  # the paths of this machine's files
        node.meta.pop("stack_trace", None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={ABOUT: json.dumps(policy.about, indent=1)})
    file.write_bytes(buffer.getvalue())
