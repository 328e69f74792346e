"""The place of credit in a message."""

from __future__ import annotations

from protocol.mux.wire import FrameType
from tests.protocol.mux.pair import OK, CorePair, kinds_of, post


def test_credit_goes_ahead_of_data() -> None:
    pair = CorePair()
    _, bulk = pair.open()
    pair.client.send_head(bulk, OK)
    pair.client.send_data(bulk, bytes(200_000))
    pair.client.next_message(0.0)  # it is in the middle of its data
    pair.open(post("chunked"))  # and this one's body is given more credit
    kinds = kinds_of(pair.client.next_message(0.0))
    assert kinds[0] is FrameType.CREDIT
    assert set(kinds[1:]) == {FrameType.DATA, FrameType.ACK}
