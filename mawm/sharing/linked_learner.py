"""A learner whose messages travel to the other learners without passing through the driver."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

from mawm.sharing.broadcast import Outbox
from mawm.sharing.codec import origin_of
from mawm.sharing.endpoint import Endpoint, Envelope
from mawm.types import Metrics, Origin, Segment

SHORTEST_KEY, LONGEST_KEY = 16, 4096
"""Bytes of a key file."""


class LinkedLearner:
    """A learner with an `Endpoint`: the driver gets envelopes in place of messages. Other calls go to the learner.

    A process of the team makes it, or any other actor with the same calls.
    """

    def __init__(self, learner: Any, endpoint: Endpoint, secret: bytes) -> None:
        self.learner, self.endpoint, self.secret = learner, endpoint, secret

    def __getattr__(self, name: str) -> Any:
        return getattr(self.learner, name)

    def address(self) -> str:
        """The address at which the other learners reach this one."""
        return self.endpoint.address

    def connect(self, addresses: Sequence[str], *, session: bytes) -> None:
        """Connect to the learners that receive from this one."""
        self.endpoint.connect(addresses, session, self.secret)

    def offer_segments(self, segments: list[Segment], *, env_steps: int) -> Outbox:
        """Send the segments that the learner broadcasts; the outbox has their envelopes."""
        return self._sent("experience", self.learner.offer_segments(segments, env_steps=env_steps))

    def offer_rollouts(self, *, env_steps: int) -> Outbox:
        """Send the rollouts that the learner broadcasts; the outbox has their envelopes."""
        return self._sent("rollouts", self.learner.offer_rollouts(env_steps=env_steps))

    def _sent(self, kind: str, outbox: Outbox) -> Outbox:
        envelopes, wire_bytes = self.endpoint.send(kind, outbox.messages)
        # The channel asks of a message only its length and its origin; an envelope has both.
        return replace(outbox, messages=cast(list[bytes], envelopes), wire_bytes=wire_bytes)

    def admit(self, envelopes: list[Envelope]) -> Metrics:
        """Collect the experience of these envelopes, and let the learner keep it."""
        return cast(Metrics, self.learner.admit(self.endpoint.collect("experience", envelopes)))

    def fit_behaviour(self, envelopes: list[Envelope], *, env_steps: int, share_won: float = 0.0) -> Metrics:
        """Collect the rollouts of these envelopes, and take gradient steps with them."""
        messages = self.endpoint.collect("rollouts", envelopes)
        return cast(Metrics, self.learner.fit_behaviour(messages, env_steps=env_steps, share_won=share_won))

    def close(self) -> None:
        """Close the sockets."""
        self.endpoint.close()


class Calls(Protocol):
    """A team, as far as `connect_all` needs it."""

    def call(self, method: Any, *lists: Sequence[Any], **shared: Any) -> list[Any]:
        """Call a method on every learner, with its entry of each list and with `shared`."""


def connect_all(team: Calls, learners: int) -> None:
    """Give every linked learner of a team the addresses of all, and a random number of this start of the run."""
    addresses = team.call(LinkedLearner.address)
    team.call(LinkedLearner.connect, [addresses] * learners, session=secrets.token_bytes(32))


def origin_of_envelope(envelope: Any) -> Origin:
    """The origin in the header of the message of an envelope."""
    return origin_of(envelope.header)


def read_secret(key_file: str) -> bytes:
    """The content of a key file; empty if there is none. ValueError if it cannot be read, or is too short or long."""
    if not key_file:
        return b""
    try:
        with Path(key_file).open("rb") as file:
            secret = file.read(LONGEST_KEY + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"it cannot be read ({reason})") from None
    if not SHORTEST_KEY <= len(secret) <= LONGEST_KEY:
        size = f"more than {LONGEST_KEY}" if len(secret) > LONGEST_KEY else str(len(secret))
        raise ValueError(f"it has {size} bytes")
    return secret
