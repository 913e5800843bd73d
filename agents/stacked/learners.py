"""The learners of a team whose heavy work runs for all of them at once."""

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from mawm.agents.acting_memory import Inputs, decide
from mawm.agents.actor_critic import Replayed, Rows, imagine_from, update_inputs, update_metrics
from mawm.agents.agent import Agent
from mawm.agents.behaviour_trainer import FitPlan, Plan
from mawm.agents.compute import leaves, map_tensors, on_device
from mawm.agents.rssm import Latent
from mawm.agents.stacked.networks import Networks, StackedNetworks, StackedOptimiser
from mawm.agents.stacked.program import Program
from mawm.agents.world_model import Batch
from mawm.types import Bools, Floats, Ints, Metrics, Rollout

T = TypeVar("T")


def stack(trees: Sequence[T]) -> T:
    """Tensors (N, ...) in nested tuples from N trees of tensors of the same shapes."""
    return map_tensors(lambda *parts: torch.stack(parts), *trees)


def row(tree: T, i: int) -> T:
    """The tensors of agent i from a tree of tensors (N, ...)."""
    return map_tensors(lambda x: x[i], tree)


def alike(trees: Sequence[Any]) -> bool:
    """Whether all trees of tensors have the same shapes; False if one of them is None."""
    if any(tree is None for tree in trees):
        return False
    shapes = [[x.shape for x in leaves(tree)] for tree in trees]
    return all(each == shapes[0] for each in shapes)


class StackedLearners:
    """Gradient steps, imagination and actions of N agents with the same sizes and settings, all at once.

    An agent remains the owner of its state. It draws its batches and noise with its own generators, and it counts,
    clips and steers for itself. Where the agents' data have different shapes, they work one after the other.
    """

    def __init__(self, agents: Sequence[Agent]) -> None:
        self.agents = list(agents)
        self.device = agents[0].device
        models = [agent.model_trainer.model for agent in agents]
        critics = [agent.actor_critic for agent in agents]
        optimisers = [agent.model_trainer.optimiser for agent in agents]
        self.model_opt = StackedOptimiser(optimisers, models[0], "model.")
        self.actor_opt = StackedOptimiser([each.actor_opt for each in critics], critics[0].actor, "actor_critic.actor.")
        self.critic_opt = StackedOptimiser(
            [each.critic_opt for each in critics], critics[0].critic, "actor_critic.critic."
        )
        weights = self.model_opt.weights | self.actor_opt.weights | self.critic_opt.weights
        pairs = zip(models, critics, strict=True)
        self.learned = StackedNetworks(
            [Networks({"model": model, "actor_critic": each}) for model, each in pairs], weights
        )
        acting = [Networks({"model": agent.acting.model, "actor": agent.acting.actor}) for agent in agents]
        self.acting = StackedNetworks(acting, self._acting_weights())
        parts = (self._model_step, self._imagine, self._behaviour_step)
        self.model_step, self.imagination, self.behaviour_step = (Program(part, self.device) for part in parts)
        self.decisions = {
            mode: Program(partial(self._decide, mode), self.device) for mode in ("greedy", "sample", "random")
        }

    def _acting_weights(self) -> dict[str, Tensor]:
        """The learned weights, if the agents act by them, under their names in `acting`."""
        if self.agents[0].acting.decay:
            return {}
        renamed = {name.removeprefix("actor_critic."): x.detach() for name, x in self.learned.weights.items()}
        return {name: x for name, x in renamed.items() if name.startswith(("model.", "actor."))}

    def forget_graphs(self) -> None:
        """Let programs record again, after a checkpoint was loaded."""
        for program in (self.model_step, self.imagination, self.behaviour_step, *self.decisions.values()):
            program.forget()

    # Gradient steps on the world models

    def _model_step(self, scales: Any, batch: Batch, noise: Tensor) -> Any:
        fitted = self.learned.call(lambda n, *given: n.model.fitted(*given), scales, batch, noise)
        norms = self.model_opt.step(fitted.objective)
        objective = fitted.objective.detach()
        return torch.cat([fitted.means, objective[:, None], norms[:, None]], 1), map_tensors(
            Tensor.detach, fitted.states
        )

    def fit_world_models(self, updates: int) -> list[Metrics]:
        """Gradient steps on Eqs. 1-3 for each agent (`ModelTrainer.fit`)."""
        trainers = [agent.model_trainer for agent in self.agents]
        if not all(trainer.ready(updates) for trainer in trainers):
            return [trainer.fit(updates) for trainer in trainers]
        self.model_opt.prepare()
        logged, batches = [], []
        for _ in range(updates):
            batch, noise = on_device(stack([trainer.draw() for trainer in trainers]), self.device)
            values, states = self.model_step(self.learned.scales(), batch, noise)
            for i, trainer in enumerate(trainers):
                trainer.stepped(row(batch, i), row(states, i))
            logged.append(values)
            batches.append(batch)
        steps = torch.stack(logged).tolist()
        for values, batch in zip(steps, batches, strict=True):
            self.model_opt.count([each[-1] for each in values], partial(_inputs_of, batch))
        return [trainer.metrics([values[i] for values in steps]) for i, trainer in enumerate(trainers)]

    # Imagination

    def _imagine(self, scales: Any, plan: Plan) -> Any:
        def of_one(networks: Any, plan: Plan) -> Any:
            model, actor_critic = networks.model, networks.actor_critic
            imagined, states = imagine_from(model, actor_critic, *plan)
            real = actor_critic.replayed(plan.starts[0], states) if actor_critic.config.replay_critic > 0.0 else ()
            return imagined, actor_critic.value(imagined), real

        return self.learned.call(of_one, scales, plan)

    def imagine(self, updates: int) -> None:
        """Rollouts of each agent (`BehaviourTrainer.imagine`)."""
        trainers = [agent.behaviour_trainer for agent in self.agents]
        plans = [trainer.plan_imagination(updates) for trainer in trainers]
        if not alike(plans):
            for trainer, own in zip(trainers, plans, strict=True):
                trainer.imagine_as_planned(own)
            return
        plan = on_device(stack([own for own in plans if own is not None]), self.device)
        imagined, valued, real = self.imagination(self.learned.scales(), plan)
        for i, trainer in enumerate(trainers):
            trainer.keep(row(plan, i), row(imagined, i), row(valued, i), row(real, i) if real else None)

    # Gradient steps on actors and critics

    def _behaviour_step(self, scales: Any, rows: Rows, weights: Tensor, replayed: tuple[Replayed, ...]) -> Tensor:
        losses = self.learned.call(lambda n, *given: n.actor_critic.losses(*given), scales, rows, weights, replayed)
        norms = self.actor_opt.step(losses.actor), self.critic_opt.step(losses.critic)
        self._slow_critic_step()
        return torch.cat([losses.logged, *(norm[:, None] for norm in norms)], 1)

    @torch.no_grad()
    def _slow_critic_step(self) -> None:
        share = 1.0 - self.agents[0].actor_critic.config.target_decay
        for name, slow in self.learned.weights.items():
            if name.startswith("actor_critic.slow_critic."):
                slow.lerp_(self.learned.weights[name.replace("slow_critic", "critic")], share)

    def fit_behaviours(self, received: Sequence[Sequence[Rollout]], env_steps: int) -> list[Metrics]:
        """Gradient steps on Eqs. 4-5 for each agent (`BehaviourTrainer.fit`)."""
        trainers = [agent.behaviour_trainer for agent in self.agents]
        plans = [trainer.plan_fit(rollouts) for trainer, rollouts in zip(trainers, received, strict=True)]
        steps = [None if plan is None else (tuple(plan.minibatches), tuple(plan.replayed)) for plan in plans]
        if not alike(steps):
            pairs = zip(trainers, plans, strict=True)
            return [{} if plan is None else trainer.fit_as_planned(plan, env_steps) for trainer, plan in pairs]
        every = [plan for plan in plans if plan is not None]
        self.actor_opt.prepare()
        self.critic_opt.prepare()
        pool, logged = _padded_pool(every), []
        for step in range(len(every[0].minibatches)):
            index = stack([plan.minibatches[step] for plan in every])
            replayed = stack([plan.replayed[step] for plan in every])
            logged.append(self._minibatch(pool, index, replayed, env_steps))
        of_agents = zip(*logged, strict=True)
        return [
            plan.metrics | trainer.finish_fit(list(each), env_steps)
            for trainer, plan, each in zip(trainers, every, of_agents, strict=True)
        ]

    def _minibatch(
        self, pool: Rows, index: Tensor, replayed: tuple[Replayed, ...], env_steps: int
    ) -> list[dict[str, float]]:
        """One gradient step of each agent; returns its metrics."""
        rules = [agent.actor_critic.exploration for agent in self.agents]
        of_agent = torch.arange(len(rules), device=index.device).unsqueeze(1)
        rows = map_tensors(lambda x: x[of_agent, index], pool)
        weights = pool.advantage.new_tensor([rule.weight(env_steps) for rule in rules])
        values = self.behaviour_step(self.learned.scales(), rows, weights, replayed).tolist()

        def inputs_of(i: int) -> dict[str, Tensor]:
            return update_inputs(*row((rows, replayed), i))

        self.actor_opt.count([each[-2] for each in values], inputs_of)
        self.critic_opt.count([each[-1] for each in values], inputs_of)
        metrics = [update_metrics(each[:-2], *each[-2:]) for each in values]
        for rule, each in zip(rules, metrics, strict=True):
            rule.adapt(each["actor/entropy_share"], env_steps)
        return metrics

    # Actions

    def _decide(self, mode: str, scales: Any, state: Latent, given: Inputs) -> Any:
        return self.acting.call(lambda n, s, g: decide(n.model.rssm, n.actor, s, g, mode), scales, state, given)

    def act(
        self, obs: Sequence[Floats], avail: Sequence[Bools], is_first: Sequence[Bools], slot: str, mode: str
    ) -> list[Ints]:
        """Actions (L,) of each agent from its own observations (L, O) and memory."""
        memories = [agent.memories[slot] for agent in self.agents]
        seen = zip(self.agents, memories, obs, avail, is_first, strict=True)
        inputs = [memory.inputs(o, a, first, agent.acting_rng(slot)) for agent, memory, o, a, first in seen]
        given = on_device(stack(inputs), self.device)
        state = stack([memory.state for memory in memories])
        states, actions = self.decisions[mode](self.acting.scales(), state, given)
        of_agents = actions.cpu()
        return [memory.keep(row(states, i), of_agents[i]) for i, memory in enumerate(memories)]


def _inputs_of(batch: Batch, i: int) -> dict[str, Tensor]:
    return row(batch, i)._asdict()


def _padded_pool(plans: Sequence[FitPlan]) -> Rows:
    """Rows (N, R, ...) of all agents. Pools of agents that received less end in zeros, which are never drawn."""
    most = max(len(plan.rows.action) for plan in plans)

    def padded(x: Tensor) -> Tensor:
        return torch.cat([x, x.new_zeros(most - len(x), *x.shape[1:])])

    return stack([map_tensors(padded, plan.rows) for plan in plans])
