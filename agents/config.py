"""Settings of one agent. This module does not import torch, so that `--help` is fast."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval

from mawm.types import Common, Share, Steps, Weight

Scalar = Literal["two_hot", "huber", "squared"]
AdvantageScale = Literal["percentiles", "deviation"]
Rate = Annotated[float, Interval(ge=1e-12, le=10.0)]


@dataclass(frozen=True)
class WorldModelConfig:
    """The world model (an RSSM), its decoders and predictors, and how they are fitted (Z Eqs. 1-3)."""

    deter: Annotated[int, Interval(ge=1, le=8192), Common] = 128
    """Width of the recurrent state h."""
    groups: Annotated[int, Interval(ge=1, le=256)] = 8
    """Number of categorical latents z."""
    classes: Annotated[int, Interval(ge=1, le=256)] = 8
    """Classes of each latent, at most 256: a class index is one byte."""
    hidden: Annotated[int, Interval(ge=1, le=4096)] = 128
    """Width of every hidden layer."""
    layers: Annotated[int, Interval(ge=1, le=8)] = 1
    """Hidden layers of each encoder and decoder."""
    predictor_layers: Annotated[int, Interval(ge=1, le=8)] = 1
    """Hidden layers of each predictor (of rewards, terminations and available actions)."""
    reward_output: Scalar = "two_hot"
    """Output of the reward predictor: `two_hot`, a distribution over `behaviour.bins` (DreamerV3), or one number with a
    `huber` or `squared` error."""
    end_rewards: Literal["apart", "shared"] = "apart"
    """`apart`: outputs of their own predict the reward of a terminal arrival, and imagination weights both predictions
    by the predicted probability of termination; `shared`: the same outputs predict all rewards."""
    unimix: Share = 0.01
    """Share of a uniform distribution mixed into every latent, so that the KL stays finite."""
    free_nats: Weight = 1.0
    """A KL below this many nats is not minimised further."""
    dyn_scale: Weight = 0.5
    """Weight of the KL that trains the prior."""
    rep_scale: Weight = 0.1
    """Weight of the KL that trains the posterior."""
    obs_scale: Annotated[float, Interval(ge=1e-6, le=1e6)] = 10.0
    """Precision of the Gaussian observation decoder: -log p = obs_scale * |o - o'|^2 / 2, o scaled to [-1, 1]."""
    action_scale: Weight = 0.1
    """Weight of the action decoder."""
    decoder_grads: Literal["flow", "detach"] = "flow"
    """`flow`: Eq. 1 trains decoders and RSSM (Z's GradientStep(phi, Eq. 1)); `detach`: it trains the decoders only."""
    batch: Annotated[int, Interval(ge=1, le=10_000), Common] = 16
    """Sequences of one update."""
    seq_len: Annotated[int, Interval(ge=2, le=1000), Common] = 20
    """Arrivals of one sequence, and of one segment on the channel."""
    lr: Annotated[Rate, Common] = 1e-3
    """Learning rate of the world model."""
    lr_warmup: Annotated[int, Interval(ge=0, le=10**9)] = 0
    """Updates over which the learning rate rises to `lr`."""
    clip: Annotated[float, Interval(ge=1e-6, le=1e9)] = 100.0
    """Largest gradient norm."""


@dataclass(frozen=True)
class BehaviourConfig:
    """Actor and critic, learned from imagined rollouts (Z Eqs. 4-5)."""

    hidden: Annotated[int, Interval(ge=1, le=4096)] = 128
    layers: Annotated[int, Interval(ge=1, le=8)] = 1
    horizon: Annotated[int, Interval(ge=1, le=1000), Common] = 10
    """Imagined actions of one rollout, H."""
    discount: Share = 0.99
    lam: Share = 0.95
    """Lambda of the lambda-return."""
    entropy_rule: Literal["target", "env_steps", "updates"] = "target"
    """Rule for the weight of the policy's entropy: it steers the entropy to a `target`, or decays with `env_steps` or
    with the actor's `updates`."""
    entropy: Weight = 0.2
    """Initial weight of the policy's entropy. With a target, it is the weight that applies while the entropy equals the
    target, before the slow term has changed."""
    entropy_target: Annotated[Share, Common] = 0.5
    """Target of the policy's entropy, as a share of its maximum, for a team that wins no battle."""
    entropy_final: Share = 0.05
    """Target of the policy's entropy, as a share of its maximum, for a team that wins all training battles."""
    entropy_decay: Share = 1.0
    """Factor on the target per 100 environment steps, for environments that report no won battles (0.9931: half after
    10 000 steps). With another rule: factor on the weight, per 100 environment steps or per update."""
    greedy_battles: Share = 0.5
    """Share of the parallel training battles in which agents take their likeliest actions; in the others they sample.
    The entropy's target depends on the battles won in both: so it falls when the policy is good, although sampled
    actions may still lose."""
    actor_lr: Annotated[Rate, Common] = 5e-4
    """Learning rate of the actor."""
    critic_lr: Rate = 1e-3
    clip: Annotated[float, Interval(ge=1e-6, le=1e9)] = 20.0
    ppo_clip: Weight = 0.2
    epochs: Annotated[int, Interval(ge=1, le=1000)] = 1
    """Passes over the imagined rows of one round."""
    starts: Annotated[int, Interval(ge=1, le=100_000)] = 96
    """Imagined rollouts of one behaviour update."""
    explorer_starts: Share = 0.25
    """Share of the imagined rollouts that start in explorers' states, in the gate's policy mode."""
    minibatch: Annotated[int, Interval(ge=1, le=10**7)] = 960
    """Rows (state, action) of one gradient step."""
    bins: Annotated[int, Interval(ge=3, le=4096)] = 63
    """Number of bins of a `two_hot` reward predictor or critic, on the symexp scale."""
    critic_output: Scalar = "two_hot"
    """Output of the critic: `two_hot`, `huber` or `squared` (see `world_model.reward_output`)."""
    advantage_scale: AdvantageScale = "deviation"
    """Normalisation of advantages: `deviation`, to mean 0 and standard deviation 1 over a round (MAMBA), or
    `percentiles`, division by the range between two percentiles of returns (DreamerV3)."""
    averaging: Share = 0.999
    """Decay per update of the moving average of world model and actor by which the agent acts; 0: the agent acts by the
    learned weights."""
    replay_critic: Weight = 0.5
    """Weight of the critic's loss on replayed states, whose returns hold real rewards (DreamerV3); 0: only rollouts
    train the critic. Without effect in rounds in which the information term adds a reward: real rewards have none."""
    target_decay: Share = 0.98
    """Decay per gradient step of the slow critic, whose values bootstrap the lambda-return."""


@dataclass(frozen=True)
class InformationConfig:
    """The information gain of imagined observations, as an intrinsic reward (G Eq. 5, A Eqs. 6-7)."""

    kind: Literal["auto", "none", "param_ig", "policy_mi"] = "auto"
    """`param_ig`: information about the model's parameters (an ensemble of heads). `policy_mi`: A Eq. 7 as printed, the
    distance from observations under other policies; much slower (see the ETA). `auto`: param_ig with a gate, else none.
    """
    weight: Weight = 0.3
    """Lambda, in rewards per nat. The sum of a rollout's intrinsic rewards is lambda times its mean gain."""
    observations: Annotated[int, Interval(ge=1, le=100_000)] = 100
    """M, the number of rollouts whose observations are compared at a time."""
    others: Annotated[int, Interval(ge=1, le=1000)] = 20
    """K, the number of members of the mixture that each observation is compared with."""
    snapshot_every: Steps = 500
    """Environment steps between two past policies that `policy_mi` compares with."""
    hidden: Annotated[int, Interval(ge=1, le=4096)] = 64
    """Width of the heads of `param_ig`."""
    lr: Rate = 1e-3


@dataclass(frozen=True)
class ReplayConfig:
    """The replay of an agent: own and received arrivals in separate rings, so that peers never evict its own."""

    capacity: Annotated[int, Interval(ge=2, le=10**8), Common] = 250_000
    """Largest number of arrivals in each ring; new ones replace the oldest."""
    recent_steps: Annotated[int, Interval(ge=1, le=10**8)] = 10_000
    """Number of newest arrivals of an agent that count as recent, summed over all parallel battles."""
    recent_share: Share = 0.5
    """Share of the sequences of a world-model update that are drawn from recent arrivals; the others come from all."""
    recent_starts: Share = 1.0
    """Share of the imagined rollouts that start in recent arrivals; the others start in any."""


@dataclass(frozen=True)
class PPOConfig:
    """The model-free methods `ippo` and `mappo`; their discount is `behaviour.discount`."""

    hidden: Annotated[int, Interval(ge=1, le=4096)] = 64
    """Width of the layer before the GRU and of the GRU itself, in actor and critic."""
    rollout: Annotated[int, Interval(ge=1, le=100_000)] = 64
    """Steps of each parallel battle between two updates."""
    epochs: Annotated[int, Interval(ge=1, le=1000)] = 10
    """Gradient steps of one update, each on all of its battles."""
    lr: Rate = 5e-4
    ppo_clip: Weight = 0.2
    lam: Share = 0.95
    """Lambda of generalised advantage estimation."""
    entropy: Weight = 0.01
    """Weight of the policy's entropy."""
    clip: Annotated[float, Interval(ge=1e-6, le=1e9)] = 10.0
    """Largest gradient norm."""


@dataclass(frozen=True)
class AgentConfig:
    """All settings of one agent."""

    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)
    information: InformationConfig = field(default_factory=InformationConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
