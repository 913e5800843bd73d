"""Settings of one agent, each class named after what it configures; free of torch, so that `--help` is instant."""

from dataclasses import dataclass, field
from typing import Literal

Scalar = Literal["two_hot", "huber", "squared"]
AdvantageScale = Literal["percentiles", "deviation"]


@dataclass(frozen=True)
class WorldModelConfig:
    """The RSSM, its decoders and predictors, and how they are fitted (Z Eqs. 1-3)."""

    deter: int = 128
    """Width of the recurrent state h."""
    groups: int = 8
    """Number of categorical latents z."""
    classes: int = 8
    """Classes of each latent."""
    hidden: int = 128
    """Width of every hidden layer."""
    layers: int = 1
    """Hidden layers of each encoder and decoder."""
    predictor_layers: int = 1
    """Hidden layers of each predictor: of rewards, terminations and available actions."""
    reward_output: Scalar = "two_hot"
    """How the reward predictor represents a number: `two_hot`, a distribution over `behaviour.bins` (DreamerV3), or one
    output trained with a `huber` or `squared` error."""
    unimix: float = 0.01
    """Share of a uniform distribution mixed into every latent, so that the KL stays finite."""
    free_nats: float = 1.0
    """KL below this many nats is not pushed further down."""
    dyn_scale: float = 0.5
    """Weight of the KL that trains the prior."""
    rep_scale: float = 0.1
    """Weight of the KL that trains the posterior."""
    obs_scale: float = 10.0
    """Precision of the Gaussian observation decoder: -log p = obs_scale * |o - o'|^2 / 2, o scaled to [-1, 1]."""
    action_scale: float = 0.1
    """Weight of the action decoder."""
    decoder_grads: Literal["flow", "detach"] = "flow"
    """`flow`: Eq. 1 trains the RSSM too (Z's GradientStep(phi, Eq. 1)); `detach`: it trains the decoders alone."""
    batch: int = 16
    """Sequences of one update."""
    seq_len: int = 20
    """Arrivals of one sequence, and of one segment on the channel."""
    lr: float = 1e-3
    lr_warmup: int = 0
    """Updates over which the learning rate rises to `lr`."""
    clip: float = 100.0
    """Largest gradient norm."""


@dataclass(frozen=True)
class BehaviourConfig:
    """Actor and critic, learned from imagined rollouts (Z Eqs. 4-5)."""

    hidden: int = 128
    layers: int = 1
    horizon: int = 10
    """Imagined actions of one rollout, H."""
    discount: float = 0.99
    lam: float = 0.95
    """Lambda of the lambda-return."""
    entropy_rule: Literal["target", "env_steps", "updates"] = "target"
    """What the weight of the policy's entropy follows: a `target` for that entropy, or a clock that counts `env_steps`
    or the actor's `updates`."""
    entropy: float = 0.2
    """Initial weight of the policy's entropy. With a target, it is the weight used while the entropy equals the target,
    until the slow part has moved."""
    entropy_target: float = 0.5
    """Share of its greatest entropy to which the weight steers the policy of a team that wins no battle."""
    entropy_final: float = 0.05
    """That share for a team that wins all battles of its training."""
    entropy_decay: float = 1.0
    """Factor per 100 environment steps on the target, for environments whose battles nobody can win (0.9931: half after
    10 000 steps); with another rule, on the weight, per 100 environment steps or per update."""
    actor_lr: float = 5e-4
    critic_lr: float = 1e-3
    clip: float = 20.0
    ppo_clip: float = 0.2
    epochs: int = 1
    """Passes over the imagined rows of one round."""
    starts: int = 96
    """Imagined rollouts of one behaviour update."""
    explorer_starts: float = 0.25
    """Share of imagination that starts where explorers have been, in the gate's policy mode."""
    minibatch: int = 960
    """Rows (state, action) of one gradient step."""
    bins: int = 63
    """Number of bins on the symexp scale, for a reward predictor or critic with `two_hot`."""
    critic_output: Scalar = "two_hot"
    """How the critic represents a value: `two_hot`, `huber` or `squared` (see `world_model.reward_output`)."""
    advantage_scale: AdvantageScale = "deviation"
    """What advantages are divided by: their own standard `deviation` over a round, after their mean is taken away
    (MAMBA), or the range of returns between two `percentiles` (DreamerV3)."""
    averaging: float = 0.999
    """Most weight of the past in the moving average of world model and actor by which the agent acts, per update of the
    world model; 0: it acts by the weights that it learns."""
    target_decay: float = 0.98
    """Decay of the slow critic that bootstraps the lambda-return, per gradient step."""


@dataclass(frozen=True)
class InformationConfig:
    """What imagined observations would tell, as a reward of its own (G Eq. 5, A Eqs. 6-7)."""

    kind: Literal["auto", "none", "param_ig", "policy_mi"] = "auto"
    """`param_ig`: of the model's parameters (an ensemble of heads); `policy_mi`: A Eq. 7 as printed, how far they lie
    from those of other policies, far dearer (see the ETA); `auto`: param_ig when a gate is set, else none."""
    weight: float = 0.3
    """Lambda, in rewards per nat; an imagined rollout is given the mean over its observations."""
    observations: int = 100
    """M: rollouts whose observations are compared at a time."""
    others: int = 20
    """K: members of the mixture that each observation is compared with."""
    snapshot_every: int = 500
    """Environment steps between two of the past policies that `policy_mi` compares with."""
    hidden: int = 64
    """Width of the heads of `param_ig`."""
    lr: float = 1e-3


@dataclass(frozen=True)
class ReplayConfig:
    """Arrivals an agent keeps: its own, and those that it received (kept apart, so that peers never evict its own)."""

    capacity: int = 250_000
    recent_steps: int = 10_000
    """The newest arrivals, together over all battles side by side, that count as recent."""
    recent_share: float = 0.5
    """Share of the stretches of a world-model update that are drawn from recent arrivals; the others come from all."""
    recent_starts: float = 1.0
    """Share of the imagined rollouts that start in recent arrivals; the others start anywhere."""


@dataclass(frozen=True)
class PPOConfig:
    """The model-free methods `ippo` and `mappo`; their discount is `behaviour.discount`, the collector's."""

    hidden: int = 64
    """Width of the layer before the GRU and of the GRU itself, in actor and critic."""
    rollout: int = 64
    """Steps of every battle side by side between two updates."""
    epochs: int = 10
    """Gradient steps of one update, each on all of its battles."""
    lr: float = 5e-4
    ppo_clip: float = 0.2
    lam: float = 0.95
    """Lambda of the generalised advantages."""
    entropy: float = 0.01
    """Weight of the policy's entropy."""
    clip: float = 10.0
    """Largest gradient norm."""


@dataclass(frozen=True)
class AgentConfig:
    """Everything one agent owns."""

    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)
    information: InformationConfig = field(default_factory=InformationConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
