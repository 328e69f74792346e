from __future__ import annotations

import trio

from tunnel_server.tunnels.claim_gate import _ANSWERED_AT_ONCE, ClaimGate


class Asked:
    """A gate, and the claims that it let pass."""

    def __init__(self) -> None:
        self.gate = ClaimGate()
        self.passed: list[str] = []

    def claim(self, session: str) -> None:
        self.gate.answer(session, lambda: self.passed.append(session))


async def test_an_open_gate_lets_claims_pass() -> None:
    asked = Asked()
    asked.claim("a")
    assert asked.passed == ["a"]
    await asked.gate.open()
    asked.claim("b")
    assert asked.passed == ["a", "b"]
    assert repr(asked.gate) == "<ClaimGate open>"


async def test_what_came_to_a_closed_one_passes_in_its_order_when_it_opens() -> None:
    asked = Asked()
    asked.gate.close()
    for session in ("a", "b", "c"):
        asked.claim(session)
    asked.gate.close()  # once more, and nothing is lost
    assert asked.passed == []
    assert repr(asked.gate) == "<ClaimGate closed, 3 wait>"
    asked.gate.leave("b")  # its session is over
    await asked.gate.open()
    assert asked.passed == ["a", "c"]
    asked.claim("d")
    assert asked.passed == ["a", "c", "d"]


async def test_what_comes_while_it_opens_waits_behind() -> None:
    asked = Asked()
    asked.gate.close()
    early = [f"early {number}" for number in range(2 * _ANSWERED_AT_ONCE + 1)]
    for session in early:
        asked.claim(session)

    async def come() -> None:
        while not asked.passed:
            await trio.lowlevel.checkpoint()
        assert not asked.gate.is_closed
        asked.claim("late")
        assert "late" not in asked.passed

    async with trio.open_nursery() as nursery:
        nursery.start_soon(come)
        nursery.start_soon(asked.gate.open)
    assert asked.passed == [*early, "late"]
    asked.claim("afterwards")
    assert asked.passed[-1] == "afterwards"


async def test_one_that_closes_while_it_opens_keeps_the_rest() -> None:
    asked = Asked()
    asked.gate.close()
    for number in range(3 * _ANSWERED_AT_ONCE):
        asked.claim(f"{number}")

    async def close() -> None:
        while not asked.passed:
            await trio.lowlevel.checkpoint()
        asked.gate.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close)
        nursery.start_soon(asked.gate.open)
    assert 0 < len(asked.passed) < 3 * _ANSWERED_AT_ONCE
    assert asked.gate.is_closed
    await asked.gate.open()
    assert asked.passed == [f"{number}" for number in range(3 * _ANSWERED_AT_ONCE)]


async def test_a_session_that_ends_while_it_opens_needs_no_answer() -> None:
    asked = Asked()
    asked.gate.close()
    for number in range(3 * _ANSWERED_AT_ONCE):
        asked.claim(f"{number}")

    async def leave() -> None:
        while not asked.passed:
            await trio.lowlevel.checkpoint()
        asked.gate.leave(f"{3 * _ANSWERED_AT_ONCE - 1}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave)
        nursery.start_soon(asked.gate.open)
    assert asked.passed == [f"{number}" for number in range(3 * _ANSWERED_AT_ONCE - 1)]
