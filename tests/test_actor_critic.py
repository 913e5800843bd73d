"""Imagination and the clipped policy update equal hand computations."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from mawm.agents.actor_critic import ActorCritic, Imagined, Rows, imagine, threshold_avail
from mawm.agents.categorical import masked_logits
from mawm.agents.config import BehaviourConfig, WorldModelConfig
from mawm.agents.returns import lambda_returns
from mawm.agents.rssm import Latent
from mawm.agents.world_model import Batch, Starts, WorldModel

MODEL = WorldModelConfig(deter=8, groups=3, classes=4, hidden=8)
N_ACTIONS = 6


def make_behaviour(**changes: Any) -> ActorCritic:
    config = BehaviourConfig(**{"hidden": 8, "horizon": 4, "bins": 21, **changes})
    return ActorCritic(N_ACTIONS, MODEL, config, torch.Generator().manual_seed(0))


def make_model() -> WorldModel:
    return WorldModel(5, N_ACTIONS, MODEL, bins=21, generator=torch.Generator().manual_seed(1))


def rollouts(batch: int = 32, horizon: int = 4, seed: int = 0) -> tuple[Imagined, torch.Tensor]:
    rng = np.random.default_rng(seed)
    start = Latent(
        torch.randn(batch, 8, generator=torch.Generator().manual_seed(seed)), torch.zeros(batch, 3, dtype=torch.long)
    )
    avail = torch.from_numpy(rng.random((batch, N_ACTIONS)) < 0.4)
    avail[:, 1] = True
    noise = torch.from_numpy(rng.random((horizon, batch, 4), dtype=np.float32))
    out = imagine(make_model(), make_behaviour().actor, start, avail, 0.99, noise)
    return out, avail


def test_imagination_starts_with_the_true_mask_and_takes_available_actions_only() -> None:
    imagined, avail = rollouts()
    assert torch.equal(imagined.avail[0], avail)
    assert imagined.avail.gather(-1, imagined.action.unsqueeze(-1)).all()
    assert torch.softmax(imagined.logits, -1)[~imagined.avail].sum() == 0
    assert imagined.avail.any(-1).all()


def test_imagination_allows_the_likeliest_action_when_none_is_predicted_available() -> None:
    mask = threshold_avail(torch.tensor([[-3.0, -1.0, -2.0], [2.0, -1.0, 0.5]]))
    assert mask.tolist() == [[False, True, False], [True, False, True]]


def test_imagined_step_weight_is_the_product_of_earlier_discounts() -> None:
    imagined, _ = rollouts()
    lived = imagined.discount / 0.99
    assert torch.equal(imagined.weight[0], torch.ones(32))
    assert torch.allclose(imagined.weight[1:], torch.cumprod(lived, 0)[:-1])


@pytest.mark.parametrize(
    ("end_rewards", "total"), [("apart", 5.0 * (1.0 - 0.7**20)), ("shared", 5.0 / 0.3 * (1.0 - 0.7**20))]
)
def test_rollout_contains_the_reward_of_an_uncertain_end_once_at_most(end_rewards: Any, total: float) -> None:
    config = WorldModelConfig(deter=8, groups=3, classes=4, hidden=8, reward_output="squared", end_rewards=end_rewards)
    model = WorldModel(5, N_ACTIONS, config, bins=21, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for head in (model.reward_head, model.terminal_head):
            for weight in head.parameters():
                weight.zero_()
        list(model.reward_head.parameters())[-1][-1] = 5.0  # the reward of an end, or of every state if shared
        list(model.terminal_head.parameters())[-1][:] = math.log(0.3 / 0.7)  # each state ends with probability 0.3
    start, avail = (
        Latent(torch.zeros(2, 8), torch.zeros(2, 3, dtype=torch.long)),
        torch.ones(2, N_ACTIONS, dtype=torch.bool),
    )
    imagined = imagine(model, make_behaviour().actor, start, avail, 1.0, torch.full((20, 2, 4), 0.5))
    assert (imagined.weight * imagined.reward).sum(0).tolist() == pytest.approx([total, total], rel=1e-5)


def rows_of(behaviour: ActorCritic, advantage: list[float], ratio: list[float]) -> Rows:
    """One state a row, with an old policy chosen so that the ratio of the taken action is known."""
    n = len(advantage)
    deter, stoch = torch.zeros(n, 8), torch.zeros(n, 3, dtype=torch.long)
    avail = torch.ones(n, N_ACTIONS, dtype=torch.bool)
    now = torch.log_softmax(masked_logits(behaviour.actor(deter, stoch), avail), -1)[:, 0].detach()
    old = now - torch.tensor(ratio).log()
    action = torch.zeros(n, dtype=torch.long)
    own = torch.zeros(n, dtype=torch.bool)
    return Rows(deter, stoch, avail, action, old, torch.tensor(advantage), torch.zeros(n), torch.ones(n), own)


def test_policy_loss_is_the_clipped_ppo_objective() -> None:
    behaviour = make_behaviour()
    # min(r A, clip(r, .8, 1.2) A): 1.5 * 2 -> 2.4; 0.5 * 2 -> 1.0; 1.5 * -1 -> -1.5; 0.5 * -1 -> -0.8
    rows = rows_of(behaviour, [2.0, 2.0, -1.0, -1.0], [1.5, 0.5, 1.5, 0.5])
    metrics = behaviour.update(rows, entropy_weight=0.0)
    assert metrics["actor/loss"] == pytest.approx(-(2.4 + 1.0 - 1.5 - 0.8) / 4, abs=1e-5)


def test_policy_loss_and_gradient_of_a_huge_ratio_with_negative_advantage_are_bounded() -> None:
    # min(r A, clip(r) A) = -10; the dual clip of received rows: max(-10, 3 * -1) = -3. Where A > 0 nothing changes.
    for received, expected in ((False, -10.0), (True, -3.0)):
        behaviour = make_behaviour()
        rows = rows_of(behaviour, [-1.0], [10.0])._replace(received=torch.tensor([received]))
        metrics = behaviour.update(rows, entropy_weight=0.0)
        assert metrics["actor/loss"] == pytest.approx(-expected, rel=1e-4)
        assert (metrics["actor/grad_norm"] == 0.0) is received
    mild, _ = (make_behaviour() for _ in range(2))
    rows = rows_of(mild, [-1.0, 2.0], [2.0, 50.0])._replace(received=torch.tensor([True, True]))
    assert mild.update(rows, entropy_weight=0.0)["actor/loss"] == pytest.approx(-(-2.0 + 2.4) / 2, rel=1e-4)


def test_ratio_metrics_cover_received_rows_only() -> None:
    behaviour = make_behaviour()
    ratios = [1000.0, *np.linspace(0.55, 4.55, 41).tolist()]
    rows = rows_of(behaviour, [-1.0] * 42, ratios)
    assert behaviour.received_ratios(rows) == {}
    told = behaviour.received_ratios(rows._replace(received=torch.tensor([False] + 41 * [True])))
    assert told["actor/received_ratio_q05"] == pytest.approx(0.75, rel=1e-3)
    assert told["actor/received_ratio_q50"] == pytest.approx(2.55, rel=1e-3)
    assert told["actor/received_ratio_q95"] == pytest.approx(4.35, rel=1e-3)
    # Within .8 and 1.2 lie .85, .95, 1.05 and 1.15; above 3 lie 3.05 to 4.55.
    assert told["actor/received_clipped_share"] == pytest.approx(37 / 41)
    assert told["actor/received_bounded_share"] == pytest.approx(16 / 41)


def test_entropy_is_of_the_masked_policy() -> None:
    behaviour = make_behaviour()
    rows = rows_of(behaviour, [0.0], [1.0])
    avail = torch.zeros(1, N_ACTIONS, dtype=torch.bool)
    avail[0, :2] = True
    metrics = behaviour.update(rows._replace(avail=avail), entropy_weight=0.0)
    assert metrics["actor/entropy"] <= math.log(2) + 1e-6 and metrics["actor/entropy"] > 0.6
    assert metrics["actor/entropy_share"] == pytest.approx(metrics["actor/entropy"] / math.log(2), abs=1e-6)


def test_received_rollout_uses_sender_logits_and_receiver_critic() -> None:
    behaviour = make_behaviour()
    imagined, _ = rollouts()
    sender = masked_logits(torch.randn_like(imagined.logits), imagined.avail)
    rows = behaviour.prepare(imagined._replace(logits=sender), behaviour.value(imagined), received=10)
    assert rows.received.view_as(imagined.action).sum(1).tolist() == [10] * 4
    assert rows.received.view_as(imagined.action)[:, -10:].all()
    expected = torch.log_softmax(sender, -1).gather(-1, imagined.action.unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(rows.old_log_prob, expected.flatten())
    value = behaviour.value_output.mean(behaviour.slow_critic(imagined.deter, imagined.stoch))
    returns = lambda_returns(imagined.reward, imagined.discount, value, behaviour.config.lam)
    assert torch.allclose(rows.returns, returns.flatten())


def test_state_with_one_available_action_has_no_policy_gradient() -> None:
    behaviour = make_behaviour()
    imagined, _ = rollouts()
    only = torch.zeros_like(imagined.avail)
    only[..., 0] = True
    forced = imagined._replace(
        avail=only, action=torch.zeros_like(imagined.action), logits=masked_logits(imagined.logits, only)
    )
    rows = behaviour.prepare(forced, behaviour.value(forced))
    assert rows.advantage.eq(0).all()
    before = [p.clone() for p in behaviour.actor.parameters()]
    behaviour.update(rows, entropy_weight=0.01)
    assert all(torch.equal(a, b) for a, b in zip(before, behaviour.actor.parameters(), strict=True))


def test_rollout_score_is_its_weighted_critic_loss() -> None:
    behaviour = make_behaviour()
    imagined, _ = rollouts(batch=3)
    valued = behaviour.value(imagined)
    rows = behaviour.prepare(imagined, valued)
    logits = behaviour.critic(imagined.deter[:-1], imagined.stoch[:-1])
    loss = behaviour.value_output.loss(logits, rows.returns.view_as(imagined.reward))
    expected = (loss * imagined.weight).sum(0) / imagined.weight.sum(0)
    assert torch.allclose(behaviour.critic_losses(imagined, valued), expected)


def sequence_of(reward: list[float], terminal: list[bool], reset: list[bool], usable: list[bool]) -> tuple[Any, Any]:
    """One sequence, and random states for it."""
    generator = torch.Generator().manual_seed(3)
    states = Latent(torch.randn(len(reward), 1, 8, generator=generator), torch.zeros(len(reward), 1, 3).long())
    given = {"reward": reward, "terminal": terminal, "reset": reset}
    rows = Batch(**{name: torch.tensor(given.get(name, reset)).unsqueeze(1) for name in Batch._fields})
    return Starts(rows, torch.zeros(0), torch.tensor(usable).unsqueeze(1), torch.zeros(0)), states


def test_replayed_returns_hold_real_rewards_up_to_the_end_of_the_battle() -> None:
    behaviour = make_behaviour(discount=0.5, lam=0.8)
    # The first battle ends at state 2 by a terminal arrival; the second one begins at state 3 and goes on after 4.
    ends, begins = [False, False, True, False, False], [True, False, False, True, False]
    starts, states = sequence_of([9.0, 1.0, 4.0, 9.0, 2.0], ends, begins, [False, True, False, True, True])
    with torch.no_grad():
        for p in behaviour.slow_critic.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(4)))
        value = behaviour.value_output.mean(behaviour.slow_critic(*states)).flatten().tolist()
    rows, bias = behaviour.replayed(starts, states)
    # G_1 = 4 at the end; G_0 = 1 + 0.5 (0.2 v_1 + 0.8 G_1); G_3 = 2 + 0.5 v_4. Nothing is known after state 2.
    expected = [1.0 + 0.5 * (0.2 * value[1] + 0.8 * 4.0), 4.0, value[2], 2.0 + 0.5 * value[4]]
    assert rows.returns.tolist() == pytest.approx(expected, abs=1e-5)
    assert rows.weight.tolist() == [0.0, 1.0, 0.0, 1.0]
    assert float(bias) == pytest.approx((value[1] - expected[1] + value[3] - expected[3]) / 2, abs=1e-5)
    assert torch.equal(rows.deter.float(), states.deter[:-1, 0])


def test_replayed_states_train_the_critic_and_not_the_actor() -> None:
    starts, states = sequence_of([0.0] + 30 * [1.0], 31 * [False], [True] + 30 * [False], 31 * [True])
    actors, losses = [], []
    for scale in (0.0, 2.0):
        behaviour = make_behaviour(replay_critic=scale)
        imagined, _ = rollouts()
        rows = behaviour.prepare(imagined, behaviour.value(imagined))
        for _ in range(30):
            replayed, _ = behaviour.replayed(starts, states)
            last = behaviour.update(rows, 0.01, (replayed,))
        actors.append([p.detach().clone() for p in behaviour.actor.parameters()])
        losses.append(last["critic/replay_loss"])
    assert all(torch.equal(a, b) for a, b in zip(*actors, strict=True))
    assert losses[1] < losses[0] - 0.2


def test_slow_critic_follows_the_critic() -> None:
    behaviour = make_behaviour(target_decay=0.5)
    with torch.no_grad():
        for p in behaviour.critic.parameters():
            p.add_(1.0)
    before = [p.clone() for p in behaviour.slow_critic.parameters()]
    behaviour.slow_critic_step()
    for old, new in zip(before, behaviour.slow_critic.parameters(), strict=True):
        assert torch.allclose(new - old, torch.full_like(old, 0.5), atol=1e-6)


def test_entropy_metric_ignores_rows_with_one_available_action() -> None:
    behaviour = make_behaviour()
    imagined, _ = rollouts()
    forced = torch.zeros_like(imagined.avail)
    forced[..., 0] = True
    imagined = imagined._replace(
        avail=forced, logits=masked_logits(imagined.logits, forced), action=torch.zeros_like(imagined.action)
    )
    said = behaviour.update(behaviour.prepare(imagined, behaviour.value(imagined)), 0.1)
    assert np.isnan(said["actor/entropy_share"]), "a share of 0 would raise the entropy's weight to its bound"
