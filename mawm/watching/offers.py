"""Which segments of a watched battle the agents would broadcast, by their own selectors and budgets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mawm.agents.agent import Agent
from mawm.agents.world_model import SCORES
from mawm.filming.recording import Battle
from mawm.methods import METHODS
from mawm.sharing.selector import Items, Selector
from mawm.sharing.threshold import Threshold
from mawm.trained.run import TrainedRun
from mawm.types import Bools, Ints, Segment


@dataclass(frozen=True)
class Offer:
    """One segment: its agent, its first and last frame, the bytes of its message, and what became of it.

    losses: those of `SCORES` in nats per arrival; empty if the selector needs none. winner: the loss with the largest
    z-score, for an offered segment; empty if the selector names none. largest, z, needed: for selectors with a
    threshold the loss with the largest z-score, this z-score, and the smallest one that would be offered; else empty
    and None.
    """

    agent: int
    first: int
    last: int
    size: int
    offered: bool
    sent: bool
    losses: tuple[float, ...]
    winner: str
    largest: str = ""
    z: float | None = None
    needed: float | None = None


class ObservedSelector(Selector):
    """Another selector, with the losses that it was shown last, what it made of them, and what decided its offer."""

    def __init__(self, inner: Selector) -> None:
        self.inner, self.active = inner, inner.active
        self.forget()

    def forget(self) -> None:
        """Forget the last item."""
        self.losses: tuple[float, ...] = ()
        self.winner = self.largest = ""
        self.z: float | None = None
        self.needed: float | None = None

    def _score(self, losses: NDArray[np.float64], arrivals: int) -> None:
        """Note the largest z-score of an item, and the one that it needs."""
        if not isinstance(self.inner, Threshold) or len(losses) != len(SCORES) or not np.isfinite(losses).all():
            return
        scores = self.inner.z_scores(losses, arrivals)
        best = int(np.argmax(scores))
        if np.isfinite(scores[best]):
            self.largest, self.z = SCORES[best], float(scores[best])
            self.needed = self.inner.diagnostics()["threshold"]

    def propose(self, losses: NDArray[np.float64], lengths: Ints, items: Items) -> Bools:
        """The other selector's answer for one item."""
        self._score(losses[0], int(lengths[0]))
        before = self.inner.state().get("won", [])
        answer = self.inner.propose(losses, lengths, items)
        after = self.inner.state().get("won", [])
        self.losses = tuple(map(float, losses[0]))
        self.winner = next((n for n, a, b in zip(SCORES, before, after, strict=False) if b > a), "")
        return answer

    def diagnostics(self) -> dict[str, float]:
        """The other selector's numbers."""
        return self.inner.diagnostics()


def offers_in(trained: TrainedRun, battle: Battle, env_steps: int) -> list[Offer]:
    """What becomes of each segment of a battle, learner by learner, in the order in which they were cut.

    The segments pass the learners' own selectors and budgets, which go on from the newest checkpoint; so an offer may
    depend on the watched battles before. `env_steps`: steps at the end of the battle, for a budget per step.
    """
    found = []
    for learner, segments in zip(trained.team.learners, battle.segments, strict=True):
        if isinstance(learner, Agent):
            found += [_offer(learner, segment, env_steps) for segment in segments]
    return found


def _offer(learner: Agent, segment: Segment, env_steps: int) -> Offer:
    selector = learner.experience.selector
    assert isinstance(selector, ObservedSelector)
    selector.forget()
    counts = learner.offer_segments([segment], env_steps=env_steps).counts
    last = segment.start + len(segment) - 1
    offered, sent = counts.offered_items > 0, counts.sent_items > 0
    size = counts.produced_bytes
    return Offer(
        segment.origin.agent, segment.start, last, size, offered, sent, selector.losses, selector.winner,
        selector.largest, selector.z, selector.needed,
    )  # fmt: skip


def sharing_in_words(trained: TrainedRun) -> str:
    """How the run shares experience, for the page."""
    plan, sharing = METHODS[trained.config.method], trained.config.sharing
    if not plan.world_model:
        return "This method has no world model, and its agents send nothing."
    if plan.shares_all:
        return "All experience reaches the one model of the team; the bytes are those that its channel counts."
    if not plan.experience:
        return "The agents of this method share no experience: nothing of a battle is sent."
    control = " The control --channel random would send other segments at the same times."
    return (
        f"Each agent's own selector ({sharing.selector}, bandwidth {sharing.bandwidth:g}) and budget decide, as in the "
        f"training; they go on from the newest checkpoint.{control if sharing.channel == 'random' else ''}"
    )
