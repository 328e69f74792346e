from __future__ import annotations

from tunnel_server.tunnels.claim_gate import ClaimGate


class Asked:
    """A gate, and the claims that it let pass."""

    def __init__(self) -> None:
        self.gate = ClaimGate()
        self.passed: list[str] = []

    def claim(self, session: str) -> None:
        self.gate.answer(session, lambda: self.passed.append(session))


def test_an_open_gate_lets_claims_pass() -> None:
    asked = Asked()
    asked.claim("a")
    assert asked.passed == ["a"]
    asked.gate.open()
    asked.claim("b")
    assert asked.passed == ["a", "b"]
    assert repr(asked.gate) == "<ClaimGate open>"


def test_what_came_to_a_closed_one_passes_in_its_order_when_it_opens() -> None:
    asked = Asked()
    asked.gate.close()
    for session in ("a", "b", "c"):
        asked.claim(session)
    asked.gate.close()  # once more, and nothing is lost
    assert asked.passed == []
    assert repr(asked.gate) == "<ClaimGate closed, 3 wait>"
    asked.gate.leave("b")  # its session is over
    asked.gate.open()
    assert asked.passed == ["a", "c"]
    asked.claim("d")
    assert asked.passed == ["a", "c", "d"]
