"""The audit of the gate: claims, test cases, and findings."""

from collections.abc import Iterator
from dataclasses import dataclass

from mawm.auditing.adversaries import ADVERSARIES
from mawm.auditing.fingerprint import divergence, everything, world_model
from mawm.auditing.leaks import LEAKS, untouched_globals
from mawm.auditing.replay import Played, audit_config, closed_loop, on_stream
from mawm.auditing.stream import Round, first_difference
from mawm.configs.train import GateMode
from mawm.sharing.provenance import ProvenanceError

NEEDED = {"replay wraps": 2, "checkpoints": 2, "evaluations": 1, "learning rates": 2}
"""Minimum number of these events in a run; with fewer the equality of two runs would show little."""


@dataclass(frozen=True)
class Finding:
    """One line of the audit's table."""

    claim: str
    case: str
    evidence: str
    holds: bool


def audit_gating(steps: int, seed: int) -> Iterator[Finding]:
    """All findings, one by one."""
    alone = audit_config("off", steps, seed)
    alone_run = closed_loop(alone, everything)
    reference = on_stream(alone, alone_run.rounds, world_model)
    yield _coverage(reference)
    guarded: tuple[GateMode, ...] = ("strict", "policy")
    for gate in guarded:
        for name, adversary in ADVERSARIES.items():
            run = on_stream(audit_config(gate, steps, seed), alone_run.rounds, world_model, adversary=adversary)
            yield _same_model(f"G-A, {gate}", name, reference, run)
    strict = closed_loop(audit_config("strict", steps, seed), everything)
    evidence, equal = _equal(alone_run, strict)
    alike = first_difference(alone_run.rounds, strict.rounds) is None
    yield Finding("G-B, strict", "closed loop: policy and stream too", evidence, equal and alike)
    yield from _policy_mode(steps, seed, alone_run)
    short = alone_run.rounds[: max(16, len(alone_run.rounds) // 2)]
    unharmed = on_stream(alone, short, everything), on_stream(audit_config("strict", steps, seed), short, everything)
    yield Finding("no leak, no alarm", "none is wired in", *_equal(*unharmed))
    for name in LEAKS:
        yield _leak(name, steps, seed, short)


def _coverage(run: Played) -> Finding:
    found = {"replay wraps": run.wraps, **run.events}
    counts = ", ".join(f"{round(count, 1):g} {name}" for name, count in found.items())
    enough = all(found[name] >= least for name, least in NEEDED.items())
    return Finding("the run is long enough", "reference", f"{len(run.hashes)} rounds, {counts}", enough)


def _same_model(claim: str, case: str, reference: Played, run: Played) -> Finding:
    evidence, holds = _equal(reference, run)
    probes = [segment for segments, _ in reference.rounds[-4:] for segment in segments[0]]
    kl = max(divergence(a, b, probes) for a, b in zip(reference.agents, run.agents, strict=True))
    expected = {"crash": "RuntimeError", "hang": "no answer", "forged origin": "ProvenanceError"}.get(case, "")
    out = f"; explorers out: {run.failure}" if run.failure else ""
    as_expected = run.failure.startswith(expected) and bool(run.failure) == bool(expected)
    return Finding(claim, case, f"{evidence}, KL {kl:g}{out}", holds and kl == 0.0 and as_expected)


def _equal(one: Played, other: Played) -> tuple[str, bool]:
    """The number of rounds with equal hashes of every learner, and whether all rounds are equal."""
    agree = [a == b for a, b in zip(one.hashes, other.hashes, strict=False)]
    if all(agree) and len(one.hashes) == len(other.hashes):
        return f"{len(agree)} of {len(agree)} states equal", True
    return f"states differ from round {agree.index(False) + 1 if False in agree else len(agree)} on", False


def _policy_mode(steps: int, seed: int, alone_run: Played) -> Iterator[Finding]:
    """In policy mode the stream changes. On that stream the model equals the one without explorers.

    Explorers provide start states of imagination and the policies of `policy_mi`.
    """
    mixed = closed_loop(audit_config("policy", steps, seed, "policy_mi"), world_model)
    different = first_difference(alone_run.rounds, mixed.rounds)
    evidence = "the streams are equal" if different is None else f"the streams differ from round {different + 1} on"
    yield Finding("policy mode is not strict", "closed loop: the stream must differ", evidence, different is not None)
    replayed = on_stream(audit_config("off", steps, seed, "policy_mi"), mixed.rounds, world_model)
    yield _same_model("G-A, policy", "its own stream, without explorers", mixed, replayed)


def _leak(name: str, steps: int, seed: int, rounds: list[Round]) -> Finding:
    with untouched_globals():
        without = on_stream(audit_config("off", steps, seed), rounds, everything, tamper=LEAKS[name])
        try:
            leaking = on_stream(audit_config("strict", steps, seed), rounds, everything, tamper=LEAKS[name])
        except ProvenanceError as error:
            return Finding("leak is caught", name, f"refused: {error}", True)
    evidence, equal = _equal(without, leaking)
    return Finding("leak is caught", name, evidence, not equal)
