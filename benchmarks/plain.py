"""The baseline of the learner benchmark: a plain implementation without optimisation for speed.

It has dense one-hot inputs, a layer for each head, `torch.distributions` with its default argument checks, float32, and
the default Adam on separate tensors. Sizes, losses and numbers of rows and gradient steps are those of the package's
learner.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    Normal,
    OneHotCategoricalStraightThrough,
    kl_divergence,
)
from torch.nn import functional

from mawm.agents.config import AgentConfig
from mawm.agents.returns import lambda_returns, scalar_output
from mawm.agents.world_model import Batch


def perceptron(fan_in: int, hidden: int, layers: int, fan_out: int) -> nn.Sequential:
    """`layers` hidden layers with ReLU."""
    widths = [fan_in] + [hidden] * layers
    parts: list[nn.Module] = []
    for a, b in pairwise(widths):
        parts += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(widths[-1], fan_out))


class PlainModel(nn.Module):
    """World model of the same sizes as `mawm.agents.world_model.WorldModel`."""

    def __init__(self, obs_size: int, n_actions: int, config: AgentConfig) -> None:
        super().__init__()
        c = self.config = config.world_model
        self.n_actions = n_actions
        self.latent = c.groups * c.classes
        feat = c.deter + self.latent
        self.encoder = perceptron(obs_size, c.hidden, c.layers, c.hidden)
        self.cell = nn.GRUCell(self.latent + n_actions, c.deter)
        self.posterior = perceptron(c.deter + c.hidden, c.hidden, 1, self.latent)
        self.prior = perceptron(c.deter, c.hidden, 1, self.latent)
        self.obs_decoder = perceptron(feat, c.hidden, c.layers, obs_size)
        self.action_decoder = perceptron(feat, c.hidden, c.layers, n_actions)
        self.reward_output = scalar_output(c.reward_output, config.behaviour.bins)
        self.reward = perceptron(feat, c.hidden, c.predictor_layers, self.reward_output.size)
        self.terminal = perceptron(feat, c.hidden, c.predictor_layers, 1)
        self.avail = perceptron(feat, c.hidden, c.predictor_layers, n_actions)

    def dist(self, logits: Tensor) -> "Independent[OneHotCategoricalStraightThrough]":
        """Categorical latents with unimix and straight-through samples."""
        c = self.config
        probs = torch.softmax(logits.unflatten(-1, (c.groups, c.classes)), -1)
        probs = probs * (1 - c.unimix) + c.unimix / c.classes
        return Independent(OneHotCategoricalStraightThrough(probs=probs), 1)

    def observe(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Posterior features (T, B, F), posterior and prior probabilities, and one-hot previous actions."""
        c = self.config
        embed = self.encoder(batch.obs)
        h = batch.obs.new_zeros(batch.obs.shape[1], c.deter)
        z = batch.obs.new_zeros(batch.obs.shape[1], self.latent)
        actions = functional.one_hot(batch.prev_action, self.n_actions).float()
        feats, posts, priors = [], [], []
        for t in range(len(batch.obs)):
            keep = (~batch.reset[t]).float().unsqueeze(-1) if t else torch.zeros_like(h[:, :1])
            h = self.cell(torch.cat([z, actions[t]], -1) * keep, h * keep)
            post = self.dist(self.posterior(torch.cat([h, embed[t]], -1)))
            prior = self.dist(self.prior(h))
            z = post.rsample().flatten(-2)
            feats.append(torch.cat([h, z], -1))
            posts.append(post.base_dist.probs)
            priors.append(prior.base_dist.probs)
        return torch.stack(feats), torch.stack(posts), torch.stack(priors), actions

    def loss(self, batch: Batch) -> Tensor:
        """The objective of Eqs. 1-3 with the same weights."""
        c = self.config
        feats, post, prior, _ = self.observe(batch)
        known = torch.ones_like(batch.reward)
        known[0] = 0.0

        def divergence(p: Tensor, q: Tensor) -> Tensor:
            return kl_divergence(
                Independent(OneHotCategoricalStraightThrough(probs=p), 1),
                Independent(OneHotCategoricalStraightThrough(probs=q), 1),
            )

        obs = -Independent(Normal(self.obs_decoder(feats), 1.0), 1).log_prob(batch.obs)
        action = -Categorical(logits=self.action_decoder(feats)).log_prob(batch.prev_action)
        reward = self.reward_output.loss(self.reward(feats), batch.reward)
        terminal = -Bernoulli(logits=self.terminal(feats).squeeze(-1)).log_prob(batch.terminal.float())
        avail = -Independent(Bernoulli(logits=self.avail(feats)), 1).log_prob(batch.avail.float())
        dyn = divergence(post.detach(), prior).clamp_min(c.free_nats)
        rep = divergence(post, prior.detach()).clamp_min(c.free_nats)
        total: Tensor = (
            c.obs_scale * obs.mean()
            + c.action_scale * (action * known).mean()
            + (reward * known).mean()
            + terminal.mean()
            + avail.mean()
            + c.dyn_scale * (dyn * known).mean()
            + c.rep_scale * (rep * known).mean()
        )
        return total


class PlainLearner:
    """The world-model update, the rollouts and the policy epoch of one agent."""

    def __init__(self, obs_size: int, n_actions: int, config: AgentConfig, device: str = "cpu") -> None:
        b = self.config = config.behaviour
        self.model = PlainModel(obs_size, n_actions, config)
        feat = config.world_model.deter + self.model.latent
        self.actor = perceptron(feat, b.hidden, b.layers, n_actions)
        self.value_output = scalar_output(b.critic_output, b.bins)
        self.critic = perceptron(feat, b.hidden, b.layers, self.value_output.size)
        self.slow_critic = perceptron(feat, b.hidden, b.layers, self.value_output.size)
        for module in (self.model, self.actor, self.critic, self.slow_critic, self.value_output):
            module.to(device)
        self.clip_model = config.world_model.clip
        self.model_opt = torch.optim.Adam(self.model.parameters(), lr=config.world_model.lr)
        self.actor_opt = torch.optim.Adam(self.actor.parameters(), lr=b.actor_lr)
        self.critic_opt = torch.optim.Adam(self.critic.parameters(), lr=b.critic_lr)

    def world_model_update(self, batch: Batch) -> None:
        """One gradient step on Eqs. 1-3."""
        self.model_opt.zero_grad()
        self.model.loss(batch).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_model)
        self.model_opt.step()

    @torch.no_grad()
    def rollout(self, batch: Batch, starts: int) -> tuple[Tensor, ...]:
        """Rollouts from `starts` posterior states, time first.

        Features of all states, then for each action: features, mask, action, log-probability, reward, discount, weight.
        """
        b, m = self.config, self.model
        feats, *_ = m.observe(batch)
        feat = feats.flatten(0, 1)[:starts]
        avail = batch.avail.flatten(0, 1)[:starts]
        h, z = feat.split([m.config.deter, m.latent], -1)
        out: list[tuple[Tensor, ...]] = []
        all_feats, weight = [feat], torch.ones(starts, device=feat.device)
        for _ in range(b.horizon):
            policy = Categorical(logits=self.actor(feat).masked_fill(~avail, -1e9))
            action = policy.sample()
            h = m.cell(torch.cat([z, functional.one_hot(action, m.n_actions).float()], -1), h)
            z = m.dist(m.prior(h)).sample().flatten(-2)
            out_feat, feat = feat, torch.cat([h, z], -1)
            reward = m.reward_output.mean(m.reward(feat))
            survival = 1 - Bernoulli(logits=m.terminal(feat).squeeze(-1)).probs
            out.append((out_feat, avail, action, policy.log_prob(action), reward, b.discount * survival, weight))
            avail = Bernoulli(logits=m.avail(feat)).probs > 0.5
            avail[:, 1] = True
            weight = weight * survival
            all_feats.append(feat)
        return torch.stack(all_feats), *(torch.stack(x) for x in zip(*out, strict=True))

    @torch.no_grad()
    def prepare(self, rollout: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Flat rows of features, masks, actions, old log-probabilities, advantages, returns and weights."""
        all_feats, feats, avails, actions, log_probs, rewards, discounts, weights = rollout
        value = self.value_output.mean(self.slow_critic(all_feats))
        returns = lambda_returns(rewards, discounts, value, self.config.lam)
        advantage = returns - self.value_output.mean(self.critic(feats))
        rows = (feats, avails, actions, log_probs, advantage, returns, weights)
        return tuple(x.flatten(0, 1) for x in rows)

    def policy_epoch(self, rows: tuple[Tensor, ...]) -> None:
        """One pass over the imagined rows in minibatches: clipped ratios for the actor, two-hot for the critic."""
        b = self.config
        for index in torch.randperm(len(rows[0]), device=rows[0].device).split(b.minibatch):
            if len(index) < b.minibatch and len(rows[0]) >= b.minibatch:
                break
            feat, avail, action, old, advantage, returns, weight = (x[index] for x in rows)
            policy = Categorical(logits=self.actor(feat).masked_fill(~avail, -1e9))
            ratio = (policy.log_prob(action) - old).exp()
            clipped = ratio.clamp(1 - b.ppo_clip, 1 + b.ppo_clip)
            gain = torch.minimum(ratio * advantage, clipped * advantage) + b.entropy * policy.entropy()
            self._step(self.actor_opt, self.actor, -(weight * gain).mean())
            loss = self.value_output.loss(self.critic(feat), returns)
            self._step(self.critic_opt, self.critic, (weight * loss).mean())
            with torch.no_grad():
                for slow, fast in zip(self.slow_critic.parameters(), self.critic.parameters(), strict=True):
                    slow.lerp_(fast, 1 - b.target_decay)

    def _step(self, optimiser: torch.optim.Optimizer, module: nn.Module, loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), self.config.clip)
        optimiser.step()
