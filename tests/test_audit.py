"""The audit in its short form: it passes, detects planted leaks, and refuses bad input."""

import json
from pathlib import Path

import pytest

from mawm import audit
from mawm.auditing.adversaries import ADVERSARIES
from mawm.auditing.fingerprint import divergence, everything, world_model
from mawm.auditing.leaks import LEAKS
from mawm.auditing.replay import Played, audit_config, closed_loop, on_stream
from mawm.auditing.stream import first_difference
from mawm.configs.train import GateMode
from mawm.sharing.provenance import ProvenanceError

STEPS = 500


@pytest.fixture(scope="module")
def solo() -> Played:
    return closed_loop(audit_config("off", STEPS, 3), everything)


@pytest.fixture(scope="module")
def reference(solo: Played) -> Played:
    return on_stream(audit_config("off", STEPS, 3), solo.rounds, world_model)


def test_playback_equals_the_recorded_stream(solo: Played) -> None:
    again = on_stream(audit_config("off", STEPS, 3), solo.rounds, everything)
    assert first_difference(solo.rounds, again.rounds) is None
    assert solo.wraps >= 2 and solo.events["checkpoints"] >= 2 and solo.events["evaluations"] >= 1
    assert not solo.rounds[5][0][0][0].obs.flags.writeable


@pytest.mark.parametrize("name", ["explorers", "all NaN", "forged origin"])
@pytest.mark.parametrize("gate", ["strict", "policy"])
def test_world_model_is_unchanged_by_adversarial_explorers(
    gate: GateMode, name: str, solo: Played, reference: Played
) -> None:
    run = on_stream(audit_config(gate, STEPS, 3), solo.rounds, world_model, adversary=ADVERSARIES[name])
    assert run.hashes == reference.hashes
    assert divergence(reference.agents[0], run.agents[0], solo.rounds[-1][0][0]) == 0.0
    assert run.failure.startswith("ProvenanceError") is (name == "forged origin")


@pytest.mark.parametrize("name", ["an aliased array", "a learning rate on mixed metrics", "counters fed by explorers"])
def test_audit_detects_a_leak(name: str, solo: Played) -> None:
    rounds = solo.rounds[:12]
    without = on_stream(audit_config("off", STEPS, 3), rounds, everything, tamper=LEAKS[name])
    leaking = on_stream(audit_config("strict", STEPS, 3), rounds, everything, tamper=LEAKS[name])
    assert without.hashes != leaking.hashes


def test_audit_refuses_a_checkpoint_of_mixed_roles(solo: Played) -> None:
    with pytest.raises(ProvenanceError, match="learned from explorer data"):
        on_stream(audit_config("strict", STEPS, 3), solo.rounds, everything, tamper=LEAKS["a mixed checkpoint"])


def test_audit_refuses_too_few_steps(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        audit.main(["gating", "--steps", "10"])
    assert end.value.code == 2 and "--steps must be at least 500" in capsys.readouterr().err


@pytest.mark.slow
def test_audit_command_passes_and_writes_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main(["gating", "--seed", "5", "--out", str(tmp_path / "audit.json")]) == 0
    found = json.loads((tmp_path / "audit.json").read_text())
    assert found["passed"] and all(finding["holds"] for finding in found["findings"])
    assert sum(finding["claim"] == "leak is caught" for finding in found["findings"]) == len(LEAKS) >= 13
    assert f"{len(LEAKS)} of {len(LEAKS)} leaks caught" in capsys.readouterr().out
