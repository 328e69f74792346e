from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from protocol.mux import acks
from protocol.mux.inflight import InFlight
from tests.faults.lines.rules import LANDED, NONE, PACKAGES, SwitchedOff, run, scripts_of


@pytest.mark.parametrize(("rule", "kind"), [(LANDED, InFlight), (NONE, SwitchedOff)])
def test_a_program_runs_with_the_rule(
    rule: str, kind: type[InFlight], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "InFlight", InFlight)  # put back at the end
    found: list[type[InFlight]] = []

    def main() -> int:
        found.append(type(acks.SentFrames().in_flight))
        return 7

    monkeypatch.setitem(sys.modules, "program", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "program.__main__", SimpleNamespace(main=main))
    assert run(rule, "program") == 7
    assert found == [kind]


def test_with_the_rule_switched_off_there_is_always_room() -> None:
    rule = SwitchedOff()
    rule.sent(1 << 30, 0.0)
    assert rule.may_go(0.0)
    assert rule.message_bytes == 16384
    assert InFlight().message_bytes == 2048  # what the landed one begins with


@pytest.mark.parametrize("name", PACKAGES)
def test_a_script_is_the_program_by_its_name(name: str, tmp_path: Path) -> None:
    scripts = scripts_of(NONE, tmp_path / "scripts")
    done = subprocess.run([scripts / name, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(name)
