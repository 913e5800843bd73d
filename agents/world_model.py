"""One agent's world model: RSSM, two private decoders, three predictors, and the losses of Z Eqs. 1-3."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mawm.agents.categorical import balanced_kl
from mawm.agents.config import WorldModelConfig
from mawm.agents.fixed_heads import Outputs, fixed
from mawm.agents.nets import FeatureLinear, Mlp
from mawm.agents.returns import scalar_output
from mawm.agents.rssm import Latent, Posteriors, Rssm

SCORES = ("avail", "terminal", "reward", "kl")
"""The four losses of Z section 4.2, in the order of the selector's input."""


class Batch(NamedTuple):
    """The tensors of `replay.Sequences`, time first; `own` (B,) marks the agent's own rows."""

    obs: Tensor
    prev_action: Tensor
    reward: Tensor
    terminal: Tensor
    is_first: Tensor
    reset: Tensor
    avail: Tensor
    own: Tensor


class Starts(NamedTuple):
    """Sequences (T, B) in whose states rollouts start: their noise (T, B, G), and the chosen states (S,).

    `usable` (T, B) marks the states in which a rollout may start; `picked` are indices into all T x B states.
    """

    batch: Batch
    noise: Tensor
    usable: Tensor
    picked: Tensor


class Losses(NamedTuple):
    """Unreduced losses (T, B) in nats, zero where a step has no such loss."""

    obs: Tensor
    action: Tensor
    reward: Tensor
    terminal: Tensor
    avail: Tensor
    dyn: Tensor
    rep: Tensor


class Fitted(NamedTuple):
    """The objective of a gradient step, the means of `MEANS` (6,), and the states of the batch."""

    objective: Tensor
    means: Tensor
    states: Posteriors


MEANS = ("obs_loss", "action_loss", "reward_loss", "terminal_loss", "avail_loss", "kl")
"""Losses in the log, in nats per step; those of the decoders per own step."""


class Prediction(NamedTuple):
    """Predictions at latent states: reward (..., R), logits of terminal (...), logits of avail (..., A).

    The reward's outputs are those of an arrival that is not terminal, then (`end_rewards` "apart") of a terminal one.
    """

    reward: Tensor
    terminal: Tensor
    avail: Tensor


def resets(reset: Tensor) -> Tensor:
    """Steps (T, B) at which the memory is reset: those of the batch, and the first step of every sequence."""
    out = reset.clone()
    out[0] = True
    return out


class WorldModel(nn.Module):
    """Decoders learn from own rows only, predictors and RSSM from the pooled rows (docs/paper.md, decision 4)."""

    def __init__(
        self, obs_size: int, n_actions: int, config: WorldModelConfig, bins: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        c = self.config = config
        latent = (c.deter, c.groups, c.classes)
        self.rssm = Rssm(obs_size, n_actions, c, generator)
        # Heads with the same input compute their first layers in one product, which needs fewer kernels.
        self.decoders_in = FeatureLinear(*latent, 2 * c.hidden, generator)
        self.predictors_in = FeatureLinear(*latent, 3 * c.hidden, generator)
        widths = [c.hidden] * c.layers
        self.obs_decoder = Mlp([*widths, obs_size], generator)
        self.action_decoder = Mlp([*widths, n_actions], generator)
        self.reward_output = scalar_output(c.reward_output, bins)
        widths = [c.hidden] * c.predictor_layers
        rewards = 2 if c.end_rewards == "apart" else 1
        self.reward_head = Mlp([*widths, rewards * self.reward_output.size], generator, out_scale=0.0)
        self.terminal_head = Mlp([*widths, 1], generator)
        self.avail_head = Mlp([*widths, n_actions], generator)

    def decode(self, post: Posteriors) -> tuple[Tensor, Tensor]:
        """Mean scaled observation (T, B, O) and logits of the previous action (T, B, A): the private decoders."""
        deter, probs = post.deter, post.probs
        if self.config.decoder_grads == "detach":
            deter, probs = deter.detach(), probs.detach()
        obs, action = self.decoders_in(deter, post.stoch, probs).chunk(2, -1)
        return self.obs_decoder(obs), self.action_decoder(action)

    def decode_observation(self, latent: Latent) -> Tensor:
        """Mean scaled observation (..., O) of the private decoder at latent states."""
        obs, _ = self.decoders_in(latent.deter, latent.stoch).chunk(2, -1)
        out: Tensor = self.obs_decoder(obs)
        return out

    def predict(self, latent: Latent, probs: Tensor | None = None) -> Prediction:
        """Reward, termination and available actions at latent states (Z: the predictors)."""
        reward, terminal, avail = self.predictors_in(latent.deter, latent.stoch, probs).chunk(3, -1)
        return Prediction(self.reward_head(reward), self.terminal_head(terminal).squeeze(-1), self.avail_head(avail))

    def reward_loss(self, outputs: Tensor, reward: Tensor, terminal: Tensor) -> Tensor:
        """Loss (...) of the reward's outputs (..., R) for rewards and terminal flags (...) of real arrivals."""
        if self.config.end_rewards == "apart":
            going, ended = outputs.chunk(2, -1)
            outputs = torch.where(terminal.unsqueeze(-1), ended, going)
        return self.reward_output.loss(outputs, reward)

    def expected_reward(self, outputs: Tensor, terminal: Tensor) -> Tensor:
        """Expected reward (...) at imagined arrivals from the outputs (..., R) and the logits of termination (...).

        A latent state often leaves open whether the battle has ended. The reward of the end is weighted by the same
        probability that ends the rollout, so that a rollout contains it once at most. With shared outputs, several
        states in a row could each predict a part of it, and the sum of the parts was larger than the reward.
        """
        if self.config.end_rewards == "shared":
            return self.reward_output.mean(outputs)
        going, ended = (self.reward_output.mean(half) for half in outputs.chunk(2, -1))
        return torch.lerp(going, ended, torch.sigmoid(terminal))

    def fixed_predictors(self, count: int) -> list[Outputs]:
        """The predictors of reward, termination and mask with their present weights, for `count` states at a time."""
        width, heads = self.config.hidden, (self.reward_head, self.terminal_head, self.avail_head)
        columns = (slice(i * width, (i + 1) * width) for i in range(len(heads)))
        return [fixed(self.predictors_in, head, count, at) for head, at in zip(heads, columns, strict=True)]

    def losses(self, batch: Batch, noise: Tensor) -> tuple[Losses, Posteriors]:
        """Unreduced Eqs. 1-3 of sequences, with uniform noise (T, B, G).

        The KL is balanced: `dyn` = KL(sg(q), p) trains the prior, `rep` = KL(q, sg(p)) the posterior. Some losses are
        zero: reward, previous action and KL at the first index of a sequence or segment that starts inside a battle,
        because they cannot be predicted without the past; reward and previous action at a battle's first arrival,
        because they do not exist.
        """
        reset = resets(batch.reset)
        post = self.rssm.observe(batch.obs, batch.prev_action, reset, noise)
        prior = self.rssm.prior(post.deter)
        obs_mean, action_logits = self.decode(post)
        predicted = self.predict(Latent(post.deter, post.stoch), post.probs)
        own = batch.own.to(batch.obs.dtype)
        arrived = (~reset).to(batch.obs.dtype)
        known = (~reset | batch.is_first).to(batch.obs.dtype)
        action_loss = functional.cross_entropy(
            action_logits.flatten(0, 1), batch.prev_action.flatten(), reduction="none"
        )
        dyn, rep = balanced_kl(post.probs, prior)
        losses = Losses(
            obs=own * 0.5 * (obs_mean - self.rssm.scale(batch.obs)).square().sum(-1),
            action=own * arrived * action_loss.view_as(batch.reward),
            reward=arrived * self.reward_loss(predicted.reward, batch.reward, batch.terminal),
            terminal=functional.binary_cross_entropy_with_logits(
                predicted.terminal, batch.terminal.to(batch.obs.dtype), reduction="none"
            ),
            avail=functional.binary_cross_entropy_with_logits(
                predicted.avail, batch.avail.to(batch.obs.dtype), reduction="none"
            ).sum(-1),
            dyn=known * dyn,
            rep=known * rep,
        )
        assert all(x.shape == batch.reward.shape for x in losses), [x.shape for x in losses]
        return losses, post

    def fitted(self, batch: Batch, noise: Tensor) -> Fitted:
        """The objective of one gradient step on a batch, with uniform noise (T, B, G)."""
        losses, states = self.losses(batch, noise)
        share = batch.own.to(losses.obs.dtype).sum().clamp_min(1.0) / len(batch.own)
        shared = (losses.reward, losses.terminal, losses.avail, losses.dyn)
        means = [losses.obs.mean() / share, losses.action.mean() / share, *(x.mean() for x in shared)]
        return Fitted(self.objective(losses, batch.own), torch.stack(means).detach(), states)

    @torch.no_grad()
    def start_states(self, starts: Starts) -> tuple[Latent, Tensor, Latent]:
        """The chosen states (S, ...), their true masks (S, A), and the states (T, B, ...) of all sequences."""
        batch = starts.batch
        states = self.rssm.states(batch.obs, batch.prev_action, resets(batch.reset), starts.noise)
        deter, stoch, avail = (
            x.flatten(0, 1).index_select(0, starts.picked) for x in (states.deter, states.stoch, batch.avail)
        )
        return Latent(deter, stoch), avail, states

    def objective(self, losses: Losses, own: Tensor) -> Tensor:
        """The scalar objective of one gradient step, with free nats on the KL.

        Eq. 1 is averaged over own rows only, so that received rows do not reduce the decoders' gradient.
        """
        c = self.config
        share = own.to(losses.obs.dtype).mean().clamp_min(1.0 / len(own))
        decoders = (c.obs_scale * losses.obs.mean() + c.action_scale * losses.action.mean()) / share
        predictors = losses.reward.mean() + losses.terminal.mean() + losses.avail.mean()
        divergence = (
            c.dyn_scale * losses.dyn.clamp_min(c.free_nats).mean()
            + c.rep_scale * losses.rep.clamp_min(c.free_nats).mean()
        )
        total: Tensor = decoders + predictors + divergence
        return total
