"""The judge of the suite is judged: what is wrong is never counted as allowed."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest
import trio

from tests.faults.ledger import FailedVisibly, GivenUp, Ledger


def a_ledger(*errors: Exception | None) -> Ledger:
    ledger = Ledger()
    for error in errors:
        with ledger.exchange("get"):
            if error is not None:
                raise error
    return ledger


def test_each_end_is_counted_once() -> None:
    cut = trio.BrokenResourceError()
    ledger = a_ledger(None, FailedVisibly("502 tunnel-lost"), cut, GivenUp(), AssertionError("x"))
    tally = ledger.tallies["get"]
    assert (tally.sent, tally.answered, tally.given_up) == (5, 1, 1)
    assert tally.failed == {"502 tunnel-lost": 1, "cut": 1}
    assert tally.wrong == ["AssertionError: x"]
    assert tally.ended == tally.sent


@pytest.mark.parametrize("error", [AssertionError("other bytes"), trio.TooSlowError(), KeyError()])
def test_what_is_wrong_no_fault_allows(error: Exception) -> None:
    with pytest.raises(AssertionError, match="WRONG"):
        a_ledger(error).check(may_fail=("cut",))


def test_of_several_failures_at_once_the_wrong_one_counts() -> None:
    group = ExceptionGroup("", [trio.BrokenResourceError(), ExceptionGroup("", [ValueError("x")])])
    assert a_ledger(group).tallies["get"].wrong == ["ValueError: x"]


def test_of_a_cut_and_a_reason_the_reason_counts() -> None:
    group = ExceptionGroup("", [trio.BrokenResourceError(), FailedVisibly("Close 1014")])
    assert a_ledger(group).tallies["get"].failed == {"Close 1014": 1}


def test_only_what_the_fault_allows_may_have_failed() -> None:
    ledger = a_ledger(FailedVisibly("502 tunnel-lost"), trio.BrokenResourceError())
    ledger.check(may_fail=("502 tunnel-lost", "cut"))
    with pytest.raises(AssertionError, match="tunnel-lost"):
        ledger.check(may_fail=("cut",))
    with pytest.raises(AssertionError, match="cut"):
        ledger.check()


async def test_what_has_not_ended_is_not_forgotten() -> None:
    ledger = Ledger()
    with trio.move_on_after(0), ledger.exchange("get"):
        await trio.sleep_forever()
    with pytest.raises(AssertionError, match="1 sent, 0 answered"):
        ledger.check()


def fail(ledger: Ledger, kind: str, meets: AbstractContextManager[None] | None = None) -> None:
    with ledger.exchange(kind):
        if meets is not None:
            with meets:
                pass
        raise trio.BrokenResourceError


def test_what_met_a_lossy_fault_is_excused_and_nothing_else() -> None:
    ledger = Ledger()
    fail(ledger, "before")
    with ledger.lossy():
        fail(ledger, "within")
    fail(ledger, "across", ledger.lossy())
    fail(ledger, "after")
    assert ledger.unexcused == {"before: cut": 1, "after: cut": 1}
