"""One agent's actor and critic, learned from imagined rollouts with clipped ratios (Eqs. 4-5 of Z, docs/paper.md)."""

from typing import NamedTuple, TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn

from mawm.agents.categorical import log_softmax, masked_logits, sample, softmax
from mawm.agents.config import BehaviourConfig, WorldModelConfig
from mawm.agents.entropy_weight import exploration
from mawm.agents.fixed_heads import Outputs, fixed
from mawm.agents.matmul import rounded
from mawm.agents.nets import FeatureLinear, Mlp
from mawm.agents.optimiser import Optimiser
from mawm.agents.returns import advantages, lambda_returns, scalar_output
from mawm.agents.rssm import Latent
from mawm.agents.world_model import Starts, WorldModel, resets

DUAL_CLIP = 3.0
"""The dual clip: the objective of a received row with a negative advantage A is at least this number times A."""


class Imagined(NamedTuple):
    """B rollouts of H actions, time first.

    deter (H+1, B, D) and stoch (H+1, B, G): states 0..H. avail, logits (H, B, A) and action (H, B): at states 0..H-1.
    reward, discount (H, B): of the arrivals at states 1..H. weight (H, B): probability of being alive at states 0..H-1.
    """

    deter: Tensor
    stoch: Tensor
    avail: Tensor
    logits: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    weight: Tensor


class Valued(NamedTuple):
    """Lambda-returns, values of the critic, and losses of the critic, each (H, B), at states 0..H-1 of rollouts."""

    returns: Tensor
    value: Tensor
    loss: Tensor


Rollouts = TypeVar("Rollouts", Imagined, Valued)


def joined(own: Rollouts, others: Rollouts) -> Rollouts:
    """Rollouts, or their values, followed by others."""
    return type(own)(*(torch.cat(pair, 1) for pair in zip(own, others, strict=True)))


class Rows(NamedTuple):
    """Training rows (R, ...): one state and one action each; `received` marks rows from rollouts of other agents.

    `deter` is rounded to the precision of matrix products (`matmul.rounded`), because only products use it.
    """

    deter: Tensor
    stoch: Tensor
    avail: Tensor
    action: Tensor
    old_log_prob: Tensor
    advantage: Tensor
    returns: Tensor
    weight: Tensor
    received: Tensor


class Replayed(NamedTuple):
    """Rows (R, ...) for the critic: replayed states, lambda-returns of real rewards, weights."""

    deter: Tensor
    stoch: Tensor
    returns: Tensor
    weight: Tensor


class UpdateLosses(NamedTuple):
    """The losses of actor and critic in one gradient step, and the values of `LOGGED` (7,)."""

    actor: Tensor
    critic: Tensor
    logged: Tensor


LOGGED = (
    "actor/loss", "actor/entropy", "actor/entropy_share", "actor/clipped_share", "critic/loss", "critic/replay_loss",
    "critic/mean_return",
)  # fmt: skip


def update_inputs(rows: Rows, replayed: tuple[Replayed, ...]) -> dict[str, Tensor]:
    """The inputs of a gradient step by name, for the report of a step that was skipped."""
    return rows._asdict() | {f"replayed_{name}": x for real in replayed for name, x in real._asdict().items()}


def update_metrics(logged: list[float], actor_norm: float, critic_norm: float) -> dict[str, float]:
    """The metrics of a gradient step from the values of `LOGGED` and the norms of both gradients."""
    named = dict(zip(LOGGED, logged, strict=True))
    return named | {"actor/grad_norm": actor_norm, "critic/grad_norm": critic_norm}


class Head(nn.Module):
    """A perceptron whose input is the latent state."""

    def __init__(
        self, model: WorldModelConfig, config: BehaviourConfig, out: int, generator: torch.Generator, out_scale: float
    ) -> None:
        super().__init__()
        self.first = FeatureLinear(model.deter, model.groups, model.classes, config.hidden, generator)
        self.tail = Mlp([config.hidden] * config.layers + [out], generator, out_scale)

    def forward(self, deter: Tensor, stoch: Tensor) -> Tensor:
        """Outputs (..., out) at latent states."""
        out: Tensor = self.tail(self.first(deter, stoch))
        return out

    def fixed(self, count: int) -> Outputs:
        """This perceptron with its present weights, without autograd, for `count` latent states at a time."""
        return fixed(self.first, self.tail, count)


def policy_logits(actor: Head, latent: Latent, avail: Tensor) -> Tensor:
    """Logits (..., A) of a policy at latent states, with the masks (..., A) applied."""
    return masked_logits(actor(latent.deter, latent.stoch), avail)


def log_prob(logits: Tensor, action: Tensor) -> Tensor:
    """Log pi(a) (...) of masked logits (..., A)."""
    return log_softmax(logits).gather(-1, action.unsqueeze(-1)).squeeze(-1)


def threshold_avail(logits: Tensor) -> Tensor:
    """Predicted available actions (..., A): all with a logit above 0; the likeliest one if there is none."""
    best = logits.argmax(-1, keepdim=True) == torch.arange(logits.shape[-1], device=logits.device)
    return (logits > 0) | best


@torch.no_grad()
def imagine(model: WorldModel, actor: Head, start: Latent, avail: Tensor, discount: float, noise: Tensor) -> Imagined:
    """Imagine rollouts of the actor in the model from B posterior states (Z Algorithm 1 line 12).

    `avail` (B, A) is the true mask of the start; later masks are predicted. Uniform noise (H, B, G + 1): of latents,
    then of actions.
    """
    count, rows_of = len(avail), model.rssm.stoch_in.rows
    transition, policy = model.rssm.transition(noise[..., :-1]), actor.fixed(count)
    reward_of, terminal_of, avail_of = model.fixed_predictors(count)
    state, inputs = start, (rounded(start.deter), rows_of(start.stoch))
    steps: list[tuple[Tensor, ...]] = []
    states, arrivals = [start], list[tuple[Tensor, Tensor]]()
    for t, uniform in enumerate(noise[..., -1]):
        logits = masked_logits(policy(*inputs), avail)
        action = sample(softmax(logits), uniform)
        steps.append((avail, logits, action))
        state = transition(t, state, action)
        inputs = rounded(state.deter), rows_of(state.stoch)
        states.append(state)
        arrivals.append(inputs)
        avail = threshold_avail(avail_of(*inputs))
    # All steps of one head, then the next head: the head's weights stay in the processor's cache.
    rewards = torch.stack([reward_of(*arrival) for arrival in arrivals])
    terminal = torch.stack([terminal_of(*arrival) for arrival in arrivals]).squeeze(-1)
    reward, survival = model.expected_reward(rewards, terminal), torch.sigmoid(-terminal)
    weight = torch.cat([torch.ones_like(survival[:1]), survival[:-1].cumprod(0)])
    deter, stoch = (torch.stack(x) for x in zip(*states, strict=True))
    masks, logits, actions = (torch.stack(x) for x in zip(*steps, strict=True))
    return Imagined(deter, stoch, masks, logits, actions, reward, discount * survival, weight)


@torch.no_grad()
def imagine_from(
    model: WorldModel, actor_critic: "ActorCritic", starts: tuple[Starts, ...], noise: Tensor
) -> tuple[Imagined, Latent]:
    """Rollouts from the chosen states of one or two sets of sequences, and the states of the first set's sequences."""
    states, avails, sequences = zip(*(model.start_states(each) for each in starts), strict=True)
    start = Latent(*(torch.cat(parts) for parts in zip(*states, strict=True)))
    discount = actor_critic.config.discount
    return imagine(model, actor_critic.actor, start, torch.cat(avails), discount, noise), sequences[0]


class ActorCritic(nn.Module):
    """Policy pi(a|z,h) and value V(z,h) of one agent, with their optimisers and the normalisation of advantages."""

    def __init__(
        self,
        n_actions: int,
        model: WorldModelConfig,
        config: BehaviourConfig,
        generator: torch.Generator,
        device: str = "cpu",
    ) -> None:
        super().__init__()
        self.config = config
        self.actor = Head(model, config, n_actions, generator, 0.01)
        self.value_output = scalar_output(config.critic_output, config.bins)
        self.critic = Head(model, config, self.value_output.size, generator, 0.0)
        self.slow_critic = Head(model, config, self.value_output.size, generator, 0.0)
        self.advantages = advantages(config.advantage_scale)
        self.exploration = exploration(config)
        self.to(device)
        # The optimisers hold the parameters in flat arrays, which stay on the device of their creation.
        self.actor_opt = Optimiser(self.actor, self.config.actor_lr, self.config.clip)
        self.critic_opt = Optimiser(self.critic, self.config.critic_lr, self.config.clip)
        self.slow_critic.requires_grad_(False)
        self.slow_critic.load_state_dict(self.critic.state_dict())

    def policy(self, latent: Latent, avail: Tensor) -> Tensor:
        """Masked logits (B, A) at latent states."""
        return policy_logits(self.actor, latent, avail)

    @torch.no_grad()
    def value(self, imagined: Imagined) -> Valued:
        """Values, lambda-returns and losses of rollouts, computed once a round for the selector and for the update.

        The networks run on one time step after the other, so that its data stay in the processor's cache.
        """
        states = list(zip(rounded(imagined.deter), self.slow_critic.first.stoch.rows(imagined.stoch), strict=True))
        count = imagined.deter.shape[1]
        critic, slow_critic = (critic.fixed(count) for critic in (self.critic, self.slow_critic))
        slow = torch.stack([slow_critic(*state) for state in states])
        returns = lambda_returns(imagined.reward, imagined.discount, self.value_output.mean(slow), self.config.lam)
        # Without decay the slow critic equals the critic.
        same = self.config.target_decay == 0.0
        outputs = slow[:-1] if same else torch.stack([critic(*state) for state in states[:-1]])
        return Valued(returns, self.value_output.mean(outputs), self.value_output.loss(outputs, returns))

    def critic_losses(self, imagined: Imagined, valued: Valued) -> Tensor:
        """Critic loss (B,) of each rollout, which is the selector's input (Z section 4.2)."""
        return (valued.loss * imagined.weight).sum(0) / imagined.weight.sum(0).clamp_min(1e-6)

    @torch.no_grad()
    def prepare(self, imagined: Imagined, valued: Valued, received: int = 0) -> Rows:
        """Training rows of rollouts, with returns and advantages; the last `received` rollouts come from other agents.

        The values of received rollouts come from this agent's critic. Their `logits` come from the sender's policy mu,
        so the ratio pi(a)/mu(a) of the update corrects for the difference between the policies.
        """
        old = log_prob(imagined.logits, imagined.action)
        # The advantage is 0 at a state with one available action (a dead agent's no-op).
        choice = imagined.avail.sum(-1) > 1
        advantage = self.advantages.normalise(valued.returns, valued.value, imagined.weight * choice)
        rollouts = imagined.action.shape[1]
        is_received = torch.arange(rollouts, device=old.device) >= rollouts - received
        rows = Rows(
            rounded(imagined.deter[:-1]),
            imagined.stoch[:-1],
            imagined.avail,
            imagined.action,
            old,
            torch.where(choice, advantage, 0.0),
            valued.returns,
            imagined.weight,
            is_received.expand_as(imagined.action),
        )
        return Rows(*(rearrange(x, "steps rollouts ... -> (steps rollouts) ...") for x in rows))

    @torch.no_grad()
    def replayed(self, starts: Starts, states: Latent) -> tuple[Replayed, Tensor]:
        """Rows of replayed sequences, and the mean of value less return, which is positive for a critic that overrates.

        `states` (T, B, ...) are the sequences' posterior states. The return of state t holds the rewards of the
        arrivals t + 1, ... of its battle in the sequence, and the slow critic's value of the last one. Past policies
        earned these rewards, so the returns suit the present policy only in recent sequences. The weight is 1, or 0 if
        the return is unknown or no rollout may start in the state.
        """
        batch, value = starts.batch, self.value_output.mean(self.slow_critic(*states))
        known = ~resets(batch.reset)[1:]
        # Where the next arrival belongs to another battle, nothing is known: the return is the value itself.
        reward = torch.where(known, batch.reward[1:], value[:-1])
        discount = self.config.discount * (known & ~batch.terminal[1:])
        returns = lambda_returns(reward, discount, value, self.config.lam)
        weight = (known & starts.usable[:-1]).to(value.dtype)
        bias = (weight * (value[:-1] - returns)).sum() / weight.sum().clamp_min(1.0)
        deter, stoch = (state[:-1].flatten(0, 1) for state in states)
        return Replayed(rounded(deter), stoch, returns.flatten(), weight.flatten()), bias

    def losses(self, rows: Rows, entropy_weight: float | Tensor, replayed: tuple[Replayed, ...]) -> UpdateLosses:
        """The losses of actor and critic on rows (R, ...) of rollouts, and on none or one set of replayed rows.

        The actor's loss is -min(r A, clip(r) A) - w x entropy, with the ratio r = pi(a)/mu(a) and w = `entropy_weight`.
        pi is this agent's present policy. mu is the policy that acted in the rollout: this agent's policy before the
        updates of the round, or the sender's policy in a received rollout.

        For a received row with A < 0 the minimum has no lower bound, because the policy and the latents of another
        agent may give any ratio. The dual clip is used there: max(min(r A, clip(r) A), 3 A).

        The critic's loss is the loss of the lambda-return (two-hot: -log p). Both losses are weighted by the
        probability of being alive. `replay_critic` times the mean loss on replayed rows is added.
        """
        weight = rows.weight / rows.weight.sum().clamp_min(1e-6)
        logits = masked_logits(self.actor(rows.deter, rows.stoch), rows.avail)
        log_probs = log_softmax(logits)
        ratio = (log_probs.gather(-1, rows.action.unsqueeze(-1)).squeeze(-1) - rows.old_log_prob).exp()
        clipped = ratio.clamp(1.0 - self.config.ppo_clip, 1.0 + self.config.ppo_clip)
        objective = torch.minimum(ratio * rows.advantage, clipped * rows.advantage)
        floor = torch.where(rows.received & (rows.advantage < 0), DUAL_CLIP * rows.advantage, -torch.inf)
        objective = torch.maximum(objective, floor)
        entropy = -(log_probs.exp() * log_probs.clamp_min(-50.0)).sum(-1)
        max_entropy = (weight * rows.avail.sum(-1).to(weight.dtype).log()).sum()
        actor_loss = -(weight * (objective + entropy_weight * entropy)).sum()
        critic_loss = (weight * self.value_output.loss(self.critic(rows.deter, rows.stoch), rows.returns)).sum()
        replay_loss = torch.zeros_like(critic_loss)
        for real in replayed:
            losses = self.value_output.loss(self.critic(real.deter, real.stoch), real.returns)
            replay_loss = (real.weight * losses).sum() / real.weight.sum().clamp_min(1.0)
        mean_entropy = (weight * entropy).sum()
        logged = (
            actor_loss,
            mean_entropy,
            mean_entropy / max_entropy,  # NaN if no row has more than one available action
            (weight * (ratio != clipped)).sum(),
            critic_loss,
            replay_loss,
            (weight * rows.returns).sum(),
        )
        return UpdateLosses(
            actor_loss, critic_loss + self.config.replay_critic * replay_loss, torch.stack(logged).detach()
        )

    def update(self, rows: Rows, entropy_weight: float, replayed: tuple[Replayed, ...] = ()) -> dict[str, float]:
        """One gradient step of actor and critic (see `losses`); returns losses for the log."""
        losses = self.losses(rows, entropy_weight, replayed)
        inputs = update_inputs(rows, replayed)
        norms = self.actor_opt.step(losses.actor, inputs), self.critic_opt.step(losses.critic, inputs)
        self.slow_critic_step()
        return update_metrics(losses.logged.tolist(), *norms)

    @torch.no_grad()
    def received_ratios(self, rows: Rows) -> dict[str, float]:
        """Metrics of the ratio pi(a)/mu(a) (see `update`) of received rows; empty without such rows.

        They are computed before the first gradient step of a round: quantiles of the ratio, the share of rows outside
        the clip range, and the share of rows that the dual clip bounds.
        """
        received = Rows(*(x[rows.received] for x in rows))
        if not len(received.action):
            return {}
        logits = masked_logits(self.actor(received.deter, received.stoch), received.avail)
        ratio = (log_prob(logits, received.action) - received.old_log_prob).exp()
        bounded = (ratio > DUAL_CLIP) & (received.advantage < 0)
        low, middle, high = torch.quantile(ratio, torch.tensor([0.05, 0.5, 0.95], device=ratio.device)).tolist()
        return {
            "actor/received_ratio_q05": low,
            "actor/received_ratio_q50": middle,
            "actor/received_ratio_q95": high,
            "actor/received_clipped_share": float(((ratio - 1.0).abs() > self.config.ppo_clip).float().mean()),
            "actor/received_bounded_share": float(bounded.float().mean()),
        }

    @torch.no_grad()
    def slow_critic_step(self) -> None:
        """Move the weights of the slow critic towards those of the critic."""
        for slow, fast in zip(self.slow_critic.parameters(), self.critic.parameters(), strict=True):
            slow.lerp_(fast, 1.0 - self.config.target_decay)
