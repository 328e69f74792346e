from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from protocol.http.fields import is_forwarding_name
from tests.edge_fakes import logged
from tunnel_server.visitors.dropped_fields import (
    LONGEST_BYTES,
    OFTEN_SET,
    REMEMBERED_MAX,
    TOLD_A_MINUTE,
    DroppedFields,
)


async def made_up(fields: DroppedFields, *numbers: int) -> None:
    for number in numbers:
        fields.tell(b"x-forwarded-zz%d" % number)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The names in the lines since the last call."""
    names = [line.removeprefix("a trusted proxy has sent ") for line in logged(caplog.records)]
    caplog.clear()
    return [name.partition(",")[0] for name in names]


async def test_what_a_visitor_makes_up_does_not_hide_what_a_proxy_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fields = DroppedFields(frozenset())
    await made_up(fields, *range(40))
    assert len(told(caplog)) == TOLD_A_MINUTE
    for _ in range(2):
        fields.tell(b"x-forwarded-user")
    assert told(caplog) == ["x-forwarded-user"]


async def test_what_nobody_knows_is_told_in_a_later_minute_however_many_were_before(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    fields = DroppedFields(frozenset())
    for start in range(0, 2 * REMEMBERED_MAX, TOLD_A_MINUTE):
        await made_up(fields, *range(start, start + TOLD_A_MINUTE))
        fields.tell(b"x-forwarded-tenant")
        assert len(told(caplog)) == TOLD_A_MINUTE
        await trio.sleep(60)
    for _ in range(2):
        fields.tell(b"x-forwarded-tenant")
    assert told(caplog) == ["x-forwarded-tenant"]
    assert repr(fields) == f"<DroppedFields {REMEMBERED_MAX} told>"


async def test_one_that_comes_with_each_request_is_told_once(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    fields = DroppedFields(frozenset())
    fields.tell(b"x-forwarded-tenant")
    for start in range(0, 2 * REMEMBERED_MAX, TOLD_A_MINUTE):
        await made_up(fields, *range(start, start + TOLD_A_MINUTE))
        fields.tell(b"x-forwarded-tenant")
        await trio.sleep(60)
    assert told(caplog).count("x-forwarded-tenant") == 1


async def test_the_line_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    for trusted, advice in [
        ((), "--trusted-fields x-forwarded-user lets it pass"),
        ((b"x-forwarded-email",), "add x-forwarded-user to --trusted-fields"),
    ]:
        DroppedFields(frozenset(trusted)).tell(b"x-forwarded-user")
        [line] = logged(caplog.records)
        assert line.endswith(f"is dropped; if the proxy sets or clears it, {advice}")
        caplog.clear()
    DroppedFields(frozenset()).tell(b"x_forwarded_user")  # which passes for nobody
    assert logged(caplog.records)[0].endswith("may be what a visitor wrote, and is dropped")


async def test_of_a_name_so_much_is_told_and_remembered(caplog: pytest.LogCaptureFixture) -> None:
    fields = DroppedFields(frozenset())
    for length in (LONGEST_BYTES, LONGEST_BYTES + 1):
        fields.tell((b"x-forwarded-" + b"z" * LONGEST_BYTES)[:length])
    assert [len(name) for name in told(caplog)] == [LONGEST_BYTES]


def test_what_proxies_often_set_are_forwarding_fields_that_are_dropped() -> None:
    assert all(is_forwarding_name(name) for name in OFTEN_SET)
    assert max(map(len, OFTEN_SET)) <= LONGEST_BYTES // 2
