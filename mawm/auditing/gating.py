"""The audit of the gate: claims, what was run for each, and what was found."""

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
"""What must fall inside the run for its equality to mean anything."""


@dataclass(frozen=True)
class Finding:
    """One line of the audit."""

    claim: str
    case: str
    evidence: str
    holds: bool


def audit_gating(steps: int, seed: int) -> Iterator[Finding]:
    """All findings, one after the other as they are made."""
    alone = audit_config("off", steps, seed)
    solo = closed_loop(alone, everything)
    reference = on_stream(alone, solo.rounds, world_model)
    yield _coverage(reference)
    guarded: tuple[GateMode, ...] = ("strict", "policy")
    for gate in guarded:
        for name, adversary in ADVERSARIES.items():
            run = on_stream(audit_config(gate, steps, seed), solo.rounds, world_model, adversary=adversary)
            yield _same_model(f"G-A, {gate}", name, reference, run)
    strict = closed_loop(audit_config("strict", steps, seed), everything)
    evidence, equal = _equal(solo, strict)
    alike = first_difference(solo.rounds, strict.rounds) is None
    yield Finding("G-B, strict", "closed loop: policy and stream too", evidence, equal and alike)
    yield from _policy_mode(steps, seed, solo)
    short = solo.rounds[: max(16, len(solo.rounds) // 2)]
    unharmed = on_stream(alone, short, everything), on_stream(audit_config("strict", steps, seed), short, everything)
    yield Finding("no leak, no alarm", "none is wired in", *_equal(*unharmed))
    for name in LEAKS:
        yield _leak(name, steps, seed, short)


def _coverage(run: Played) -> Finding:
    found = {
        "replay wraps": run.wraps,
        "checkpoints": run.checkpoints,
        "evaluations": run.evaluations,
        "learning rates": run.learning_rates,
    }
    told = ", ".join(
        f"{value:.1f} {name}" if name == "replay wraps" else f"{value} {name}" for name, value in found.items()
    )
    return Finding(
        "the run is long enough",
        "reference",
        f"{len(run.hashes)} rounds, {told}",
        all(found[k] >= v for k, v in NEEDED.items()),
    )


def _same_model(claim: str, case: str, reference: Played, run: Played) -> Finding:
    evidence, holds = _equal(reference, run)
    probes = [segment for lived, _ in reference.rounds[-4:] for segment in lived[0]]
    apart = max(divergence(a, b, probes) for a, b in zip(reference.agents, run.agents, strict=True))
    expected = {"crash": "RuntimeError", "hang": "no answer", "forged origin": "ProvenanceError"}.get(case, "")
    out = f"; explorers out: {run.failure}" if run.failure else ""
    as_meant = run.failure.startswith(expected) and bool(run.failure) == bool(expected)
    return Finding(claim, case, f"{evidence}, KL {apart:g}{out}", holds and apart == 0.0 and as_meant)


def _equal(one: Played, other: Played) -> tuple[str, bool]:
    """How many rounds agree in every learner's hash, and whether all do."""
    agree = [a == b for a, b in zip(one.hashes, other.hashes, strict=False)]
    whole = all(agree) and len(one.hashes) == len(other.hashes)
    if whole:
        return f"{len(agree)} of {len(agree)} states equal", True
    return f"states differ from round {agree.index(False) + 1 if False in agree else len(agree)} on", False


def _policy_mode(steps: int, seed: int, solo: Played) -> Iterator[Finding]:
    """In policy mode the stream changes, and on that stream the model is what it would be without explorers.

    There explorers are both where imagination starts and the policies of `policy_mi`.
    """
    mixed = closed_loop(audit_config("policy", steps, seed, "policy_mi"), world_model)
    apart = first_difference(solo.rounds, mixed.rounds)
    evidence = "the streams are equal" if apart is None else f"the streams differ from round {apart + 1} on"
    yield Finding("policy mode is not strict", "closed loop: the stream must differ", evidence, apart is not None)
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
